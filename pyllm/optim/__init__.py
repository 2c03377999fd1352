"""Optimizers and learning-rate schedules."""

from pyllm.optim import schedules
from pyllm.optim.adam import Adam, AdamW

__all__ = ["Adam", "AdamW", "schedules"]
