"""`pyllm bench`: pyllm beside its peers on this machine, in one run."""

import json
import platform
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

import pyllm
from pyllm.bench import (
    DEVICE_SUITES,
    SUITES,
    Ceilings,
    Row,
    load_cases,
    measure,
    measure_ceilings,
)
from pyllm.bench.device import measure_device_ceilings, synchronize, why_no_device


def bench(
    suite: Annotated[
        str, typer.Option(help=f"What to measure: {', '.join(SUITES)}, or all.")
    ] = "ops",
    match: Annotated[
        str, typer.Option("--match", "-k", help="Only cases whose name contains this.")
    ] = "",
    device: Annotated[
        str, typer.Option(help="cpu, or cuda: the CUDA kernels beside torch's (benchmarks/gpu).")
    ] = "cpu",
    threads: Annotated[
        int | None, typer.Option(help="Threads for both sides. Default: as pyllm would use.")
    ] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write the rows and the machine to this file.")
    ] = None,
    plot_file: Annotated[
        Path | None, typer.Option("--plot", help="Draw the ratios into this PNG or SVG.")
    ] = None,
) -> None:
    """Measure pyllm beside PyTorch and other peers: interleaved, medians, same threads.

    Each row gives our time, how many times longer each peer takes, and the share of the machine's
    own limit that we reach: the multiply-add peak, or the bandwidth of a pass that only moves as
    many bytes in the same way, timed beside the case.
    """
    console = Console()
    if not console.is_terminal:  # a log file has no width: never cut a name
        console = Console(width=180)
    if device not in ("cpu", "cuda"):
        raise typer.BadParameter(f"--device: expected cpu or cuda, got {device!r}")
    if device == "cuda" and (why := why_no_device()):
        console.print(f"No CUDA device to measure on: {why}", style="red", markup=False)
        raise typer.Exit(1)
    if suite != "all" and suite not in SUITES:
        raise typer.BadParameter(f"expected one of {', '.join(SUITES)}, all; got {suite!r}")
    _set_threads(threads)
    suites = DEVICE_SUITES if device == "cuda" else SUITES if suite == "all" else (suite,)

    def leave_out(what: str, missing: ModuleNotFoundError) -> None:
        console.print(
            f"{what} is left out, it needs {missing.name}: pip install 'pyllm[bench]'",
            style="yellow",
            markup=False,
        )

    cases = load_cases(suites, match, leave_out)
    if not cases:
        console.print("No case is left to run.", style="red")
        raise typer.Exit(1)

    rows: list[Row] = []
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeRemainingColumn(), console=console, transient=True) as progress:
        task = progress.add_task("measuring the machine", total=len(cases))
        on_device = device == "cuda"
        ceilings = measure_device_ceilings() if on_device else measure_ceilings()
        for case in cases:
            progress.update(task, description=case.name)
            try:
                rows.append(measure(case, ceilings, *([synchronize] if on_device else [])))
            except ModuleNotFoundError as missing:
                leave_out(case.name, missing)
            progress.advance(task)
    if not rows:
        console.print("No case could be run.", style="red")
        raise typer.Exit(1)

    machine = describe_machine(ceilings)
    console.print(table_of(rows))
    console.print(
        f"{machine['cpu']}, {machine['isa']}, {machine['threads']} threads; "
        f"{ceilings.flops / 1e9:.0f} GFLOP/s at most, bandwidth as each row says. "
        f"A ratio is peer time / pyllm time, the median over interleaved rounds."
    )
    if json_file:
        record = {"machine": machine, "rows": [asdict(row) for row in rows]}
        json_file.write_text(json.dumps(record, indent=1) + "\n")
    if plot_file:
        from pyllm.bench.plot import plot_ratios

        plot_ratios(rows, plot_file)


def table_of(rows: list[Row]) -> Table:
    """Rows as a table: one line a peer."""
    with_memory = any(row.peak_bytes for row in rows)
    with_auc = any(row.auc for row in rows)
    table = Table()
    table.add_column("case", no_wrap=True)
    titles = ["pyllm", "peer", "time", "ratio", "of limit", "GB/s"]
    titles += ["peak MB"] * with_memory + ["AUC"] * with_auc
    for title in titles:
        table.add_column(title, justify="left" if title == "peer" else "right", no_wrap=True)
    for row in rows:
        ours = next(iter(row.seconds))
        share = "" if row.share is None else f"{row.share:.0%}"
        for i, peer in enumerate(row.ratio or [""]):
            first = i == 0
            cells = [row.name, format_seconds(row.seconds[ours])] if first else ["", ""]
            if peer:
                ratio = row.ratio[peer]
                colour = "green" if ratio >= 1 else "red"
                cells += [peer, format_seconds(row.seconds[peer]), f"[{colour}]{ratio:.2f}x[/]"]
            else:
                cells += ["", "", ""]
            limit = "" if row.bandwidth is None else f"{row.bandwidth / 1e9:.0f}"
            cells += [share, limit] if first else ["", ""]
            if with_memory:
                peak = row.peak_bytes
                cells.append(
                    f"{peak[ours] / 1e6:.0f} / {peak[peer] / 1e6:.0f}" if peer and peak else ""
                )
            if with_auc and row.auc:
                cells.append(_compare_auc(row.auc[ours], row.auc.get(peer)))
            table.add_row(*cells)
    return table


# A model this much worse than a peer's would have won its time by doing less.
_AUC_SLACK = 0.001


def _compare_auc(ours: float, theirs: float | None) -> str:
    """Both, ours in red where it falls behind."""
    if theirs is None:
        return f"{ours:.4f}"
    colour = "green" if ours >= theirs - _AUC_SLACK else "red"
    return f"[{colour}]{ours:.4f}[/] / {theirs:.4f}"


def format_seconds(seconds: float) -> str:
    """Three digits and a unit: 2.35 ms."""
    for unit, scale in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6)):
        if seconds >= scale:
            return f"{seconds / scale:.3g} {unit}"
    return f"{seconds / 1e-9:.3g} ns"


def describe_machine(ceilings: Ceilings) -> dict[str, Any]:
    """What the rows were measured on, for the JSON record."""
    from pyllm.cli.info import facts

    torch = sys.modules.get("torch")
    return {
        "command": " ".join(["pyllm", *sys.argv[1:]]),
        "cpu": facts()["CPU"],
        "cuda": facts()["CUDA"],
        "isa": pyllm.get_isa(),
        "threads": pyllm.get_num_threads(),
        "python": platform.python_version(),
        "pyllm": pyllm.__version__,
        "torch": getattr(torch, "__version__", None),
        "flops": ceilings.flops,
    }


def _set_threads(threads: int | None) -> None:
    """The same thread count for every side, before any of them starts a pool."""
    if threads is not None:
        if threads < 1:
            raise typer.BadParameter(f"--threads: expected at least 1, got {threads}")
        pyllm.set_num_threads(threads)
    try:
        import torch
    except ModuleNotFoundError:  # the cases that need it say so
        return
    torch.set_num_threads(pyllm.get_num_threads())
