"""Write the benchmark table of README.md from results files.

    python scripts/benchmark_table.py benchmarks/results/ops-2-threads-avx512.json ...

A row a case, a column a machine setting (threads, instruction set): how many times longer the
peers take (torch, where none is named), the share of the machine's limit that pyllm reaches, and
the peak memory of each side where it was measured, ours first. What stands between the two markers
in README.md is replaced. `--skip REGEX` leaves out the cases whose names it matches.
"""

import argparse
import json
import re
import sys
from pathlib import Path

START, END = "<!-- benchmark table: scripts/benchmark_table.py -->", "<!-- end of table -->"


def cell(row: dict | None) -> str:
    """`2.1x, 84 %` or `2.0x xgboost, 2.1x lightgbm`, or what of it there is."""
    if row is None:
        return ""
    fastest_first = sorted(row["ratio"].items(), key=lambda peer: peer[1])
    parts = [
        f"{ratio:.2f}x" if peer == "torch" else f"{ratio:.2f}x {peer}"
        for peer, ratio in fastest_first
    ]
    if row["share"] is not None:
        parts.append(f"{row['share']:.0%}")
    peaks = row["peak_bytes"].values()  # ours first
    if peaks:
        parts.append("/".join(f"{peak / 1e6:.0f}" for peak in peaks) + " MB")
    return ", ".join(parts)


def title(machine: dict) -> str:
    threads = machine["threads"]
    return f"{threads} thread{'s' * (threads > 1)}, {machine['isa']}"


def table(records: list[dict], skip: str | None) -> str:
    """Markdown. Cases in the order of the first file that has them."""
    columns: dict[str, dict[str, dict]] = {}
    for record in records:
        rows = columns.setdefault(title(record["machine"]), {})
        rows.update((row["name"], row) for row in record["rows"])
    names = [
        name
        for name in dict.fromkeys(name for rows in columns.values() for name in rows)
        if skip is None or not re.search(skip, name)
    ]
    lines = [
        f"| | {' | '.join(columns)} |",
        f"|---{'|---:' * len(columns)}|",
        *(
            f"| {name} | {' | '.join(cell(rows.get(name)) for rows in columns.values())} |"
            for name in names
        ),
    ]
    machines = sorted({f"{r['machine']['cpu']}, PyTorch {r['machine']['torch']}" for r in records})
    return "\n".join([*lines, "", f"Measured on: {'; '.join(machines)}."])


def main() -> None:
    parser = argparse.ArgumentParser(description="Write the benchmark table of README.md.")
    parser.add_argument(
        "results", nargs="+", type=Path, help="files that `pyllm bench --json` made"
    )
    parser.add_argument("--skip", metavar="REGEX", help="leave out the cases that this matches")
    arguments = parser.parse_args()
    records = [json.loads(path.read_text()) for path in arguments.results]
    readme = Path(__file__).parent.parent / "README.md"
    text = readme.read_text()
    if START not in text or END not in text:
        sys.exit(f"README.md: expected the lines {START!r} and {END!r}")
    before, rest = text.split(START)
    after = rest.split(END)[1]
    readme.write_text(f"{before}{START}\n{table(records, arguments.skip)}\n{END}{after}")


if __name__ == "__main__":
    main()
