"""How the cost of boosting grows with rows: one fit each, binning included, as a picture.

    python scripts/tree_rows.py measure rows.json --rows 100000 1000000 --threads 2
    python scripts/tree_rows.py draw rows.json docs/pictures/tree_rows.svg

The data and settings are those of `pyllm bench --suite trees` (255 leaves), with few trees.
10,000,000 rows take 3 GB and some minutes. Measuring again adds to the file, and replaces what it
measures anew.
"""

import argparse
import json
import time
from pathlib import Path

import pyllm
from pyllm.bench.boosting import Boosting
from pyllm.bench.higgs import FEATURES, higgs_like
from pyllm.cli.info import facts

TREES, LEAVES = 10, 255


def boosting(rows: int) -> dict:
    """A fit a side, on the rows of benchmarks/bench_trees.py."""
    given = Boosting(*higgs_like(rows, 1), trees=TREES, leaves=LEAVES, binning=True)
    return given.sides("lightgbm", "xgboost")


def measure(path: Path, sizes: list[int], threads: int | None) -> None:
    if threads is not None:
        pyllm.set_num_threads(threads)
    record = json.loads(path.read_text()) if path.exists() else {}
    settings = {
        "trees": TREES,
        "leaves": LEAVES,
        "threads": pyllm.get_num_threads(),
        "isa": pyllm.get_isa(),
        "cpu": facts()["CPU"],
    }
    if record and record["settings"] != settings:
        raise SystemExit(f"{path}: was measured with {record['settings']}, not {settings}")
    seconds = record.get("seconds", {})
    for fit in boosting(1000).values():  # imports are not the first fit's
        fit()
    for rows in sizes:
        for side, fit in boosting(rows).items():
            start = time.perf_counter()
            fit()
            seconds.setdefault(side, {})[str(rows)] = time.perf_counter() - start
            print(f"{rows} rows, {side}: {seconds[side][str(rows)]:.2f} s", flush=True)
        path.write_text(json.dumps({"settings": settings, "seconds": seconds}, indent=1) + "\n")


def draw(path: Path, picture: Path) -> None:
    import matplotlib
    from matplotlib.figure import Figure

    record = json.loads(path.read_text())
    figure = Figure(figsize=(6.4, 4), layout="constrained")
    axes = figure.subplots()
    for side, seconds in record["seconds"].items():
        points = sorted((int(rows), time) for rows, time in seconds.items())
        rows, times = zip(*points, strict=True)
        axes.plot(rows, times, marker="o", label=side, linewidth=2 if side == "pyllm" else 1.2)
    rows, times = zip(
        *sorted((int(r), t) for r, t in record["seconds"]["pyllm"].items()), strict=True
    )
    slope = times[-1] / rows[-1]
    axes.plot(rows, [slope * r for r in rows], ":", color="#888888", label="linear in rows")
    axes.set(xscale="log", yscale="log", xlabel="rows", ylabel="seconds a fit")
    s = record["settings"]
    axes.set_title(
        f"{s['trees']} trees of {s['leaves']} leaves, {FEATURES} features, binning included\n"
        f"{s['threads']} threads, {s['cpu']}, {s['isa']}",
        fontsize=9,
    )
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    with matplotlib.rc_context({"svg.fonttype": "none"}):  # text stays text
        figure.savefig(picture)


def main() -> None:
    parser = argparse.ArgumentParser(description="Cost of boosting by rows.")
    commands = parser.add_subparsers(required=True, dest="command")
    first = commands.add_parser("measure")
    first.add_argument("json", type=Path)
    first.add_argument("--rows", type=int, nargs="+", default=[10**5, 10**6, 10**7])
    first.add_argument("--threads", type=int)
    second = commands.add_parser("draw")
    second.add_argument("json", type=Path)
    second.add_argument("picture", type=Path)
    arguments = parser.parse_args()
    if arguments.command == "measure":
        measure(arguments.json, arguments.rows, arguments.threads)
    else:
        draw(arguments.json, arguments.picture)


if __name__ == "__main__":
    main()
