"""Text generation: sampling filters, stop strings, streaming."""

from pyllm.generation.generate import CausalModel, Piece, generate, generate_ids, stream
from pyllm.generation.sampling import Sampler, SamplingConfig, process
from pyllm.generation.stopping import StopFilter

__all__ = [
    "CausalModel",
    "Piece",
    "Sampler",
    "SamplingConfig",
    "StopFilter",
    "generate",
    "generate_ids",
    "process",
    "stream",
]
