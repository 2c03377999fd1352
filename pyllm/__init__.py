"""Fast kernels for language models and tree ensembles, and the models on top of them."""

from importlib.metadata import PackageNotFoundError, version

from pyllm import memory, ops, random
from pyllm.autograd import Tensor, no_grad
from pyllm.random import seed
from pyllm.runtime import get_isa, get_num_threads, set_num_threads

try:
    __version__ = version("pyllm")
except PackageNotFoundError:  # run from a source tree that was never installed
    __version__ = "0+source"

__all__ = [
    "Tensor",
    "get_isa",
    "get_num_threads",
    "memory",
    "no_grad",
    "ops",
    "random",
    "seed",
    "set_num_threads",
]
