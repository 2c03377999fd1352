"""The benchmark's table as a picture."""

from pathlib import Path

from pyllm.bench.measure import Row


def plot_ratios(rows: list[Row], path: Path) -> None:
    """Bars of peer time over our time, one a case and peer, on a logarithmic axis.

    Raises:
        ModuleNotFoundError: matplotlib is missing (pip install 'pyllm[viz]').
    """
    from matplotlib.figure import Figure

    peers = list(dict.fromkeys(peer for row in rows for peer in row.ratio))
    bars = [(row.name, peer, row.ratio[peer]) for row in rows for peer in row.ratio]
    figure = Figure(figsize=(9, 1.2 + 0.28 * len(bars)), layout="constrained")
    axes = figure.subplots()
    for y, (_, peer, ratio) in enumerate(reversed(bars)):
        axes.barh(y, ratio - 1, left=1, color=f"C{peers.index(peer)}")
        axes.annotate(f"{ratio:.2f}x", (ratio, y), va="center", fontsize=8)
    axes.set_yticks(
        range(len(bars)), [f"{name}  vs {peer}" for name, peer, _ in reversed(bars)], fontsize=8
    )
    axes.set_xscale("log", base=2)
    axes.set_xticks(ticks := [0.5, 1, 2, 4, 8, 16], [f"{t:g}x" for t in ticks])
    axes.axvline(1, color="black", linewidth=0.8)
    axes.set_xlabel("peer time / pyllm time (right of 1x: pyllm is faster)")
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=150)
