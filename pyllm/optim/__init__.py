"""Optimizers and learning-rate schedules."""

from pyllm.optim import schedules
from pyllm.optim.adafactor import Adafactor
from pyllm.optim.adam import Adam, AdamW
from pyllm.optim.lion import Lion
from pyllm.optim.optimizer import Optimizer
from pyllm.optim.sgd import SGD

__all__ = ["SGD", "Adafactor", "Adam", "AdamW", "Lion", "Optimizer", "schedules"]
