"""Assembled models."""

from pyllm.models.config import PRESETS, GPTConfig
from pyllm.models.gpt import GPT

__all__ = ["GPT", "PRESETS", "GPTConfig"]
