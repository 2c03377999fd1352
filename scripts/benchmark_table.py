"""Write the benchmark table of README.md from results files.

    python scripts/benchmark_table.py benchmarks/results/ops-2-threads-avx512.json ...

A row a case, a column a file: how many times longer PyTorch takes, and the share of the machine's
limit that pyllm reaches. What stands between the two markers in README.md is replaced.
"""

import json
import sys
from pathlib import Path

START, END = "<!-- benchmark table: scripts/benchmark_table.py -->", "<!-- end of table -->"


def cell(row: dict | None) -> str:
    """`2.1x, 84 %`, or what of it there is."""
    if row is None:
        return ""
    ratio = next(iter(row["ratio"].values()), None)
    parts = [f"{ratio:.2f}x"] if ratio is not None else []
    if row["share"] is not None:
        parts.append(f"{row['share']:.0%}")
    return ", ".join(parts)


def title(machine: dict) -> str:
    threads = machine["threads"]
    return f"{threads} thread{'s' * (threads > 1)}, {machine['isa']}"


def table(records: list[dict]) -> str:
    """Markdown. Cases in the order of the first file that has them."""
    names = list(dict.fromkeys(row["name"] for record in records for row in record["rows"]))
    by_name = [{row["name"]: row for row in record["rows"]} for record in records]
    titles = [title(record["machine"]) for record in records]
    lines = [
        f"| | {' | '.join(titles)} |",
        f"|---{'|---:' * len(titles)}|",
        *(f"| {name} | {' | '.join(cell(rows.get(name)) for rows in by_name)} |" for name in names),
    ]
    machines = sorted({f"{r['machine']['cpu']}, PyTorch {r['machine']['torch']}" for r in records})
    return "\n".join([*lines, "", f"Measured on: {'; '.join(machines)}."])


def main() -> None:
    if len(sys.argv) < 2:
        sys.exit(f"usage: {sys.argv[0]} RESULTS.json ...")
    records = [json.loads(Path(path).read_text()) for path in sys.argv[1:]]
    readme = Path(__file__).parent.parent / "README.md"
    text = readme.read_text()
    if START not in text or END not in text:
        sys.exit(f"README.md: expected the lines {START!r} and {END!r}")
    before, rest = text.split(START)
    after = rest.split(END)[1]
    readme.write_text(f"{before}{START}\n{table(records)}\n{END}{after}")


if __name__ == "__main__":
    main()
