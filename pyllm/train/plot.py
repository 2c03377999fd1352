"""The loss curve of a run, from its metrics.jsonl."""

from pathlib import Path

from pyllm.files import write_atomically
from pyllm.train.callbacks import read_metrics


def plot_loss(run: Path) -> Path:
    """Draw run/loss.png.

    Raises:
        ModuleNotFoundError: matplotlib is not installed.
        FileNotFoundError: the run has no metrics.
    """
    from matplotlib.figure import Figure

    lines = read_metrics(run / "metrics.jsonl")
    if not lines:
        raise FileNotFoundError(f"plot: {run / 'metrics.jsonl'} has no lines")
    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.subplots()
    for key, label, style in (
        ("loss", "training", {"linewidth": 0.8, "alpha": 0.7}),
        ("validation_loss", "validation", {"marker": "o", "markersize": 4}),
    ):
        points = [(line["step"], line[key]) for line in lines if key in line]
        if points:
            axes.plot(*zip(*points, strict=True), label=label, **style)
    axes.set(xlabel="step", ylabel="loss (nats per token)", title=run.name)
    axes.grid(alpha=0.3)
    axes.legend()
    path = run / "loss.png"
    write_atomically(path, lambda temporary: figure.savefig(temporary, dpi=120, format="png"))
    return path
