"""Training runs: settings, the loop, checkpoints, metrics."""

from pyllm.train.callbacks import (
    Callback,
    EvaluationMetrics,
    MetricsFile,
    StepMetrics,
    read_metrics,
)
from pyllm.train.config import TrainConfig
from pyllm.train.plot import plot_loss
from pyllm.train.progress import ProgressBar
from pyllm.train.trainer import Trainer

__all__ = [
    "Callback",
    "EvaluationMetrics",
    "MetricsFile",
    "ProgressBar",
    "StepMetrics",
    "TrainConfig",
    "Trainer",
    "plot_loss",
    "read_metrics",
]
