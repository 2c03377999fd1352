"""Fast kernels for language models and tree ensembles, and the models on top of them."""

from importlib.metadata import PackageNotFoundError, version

from pyllm import memory, ops
from pyllm.runtime import get_isa, get_num_threads, set_num_threads

try:
    __version__ = version("pyllm")
except PackageNotFoundError:  # run from a source tree that was never installed
    __version__ = "0+source"

__all__ = ["get_isa", "get_num_threads", "memory", "ops", "set_num_threads"]
