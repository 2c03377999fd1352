"""The GPU kernels written in Python: `kernels/triton` of the source tree is installed here."""

import logging
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

_here = Path(__file__).parent
if not (_here / "triton").is_dir():  # a source tree, where they stand at the top
    __path__.append(str(_here.parent.parent / "kernels"))


def missing_for_triton() -> list[str]:
    """Packages that `load_triton` needs and that are not installed."""
    return [name for name in ("torch", "triton") if find_spec(name) is None]


@cache
def load_triton() -> ModuleType:
    """The Triton kernels, a module with the functions of `pyllm._cpu` that they serve.

    Raises:
        ImportError: torch or Triton is not installed.
    """
    if missing := missing_for_triton():
        raise ImportError(
            f"the Triton back end needs {' and '.join(missing)}: pip install 'pyllm[triton]', or "
            "build pyllm with CUDA and PYLLM_TRITON_AOT=ON"
        )
    return import_module("pyllm.kernels.triton")


@cache
def _say_once() -> None:
    logging.getLogger("pyllm").warning(
        "torch CUDA tensors are served by the Triton kernels: pyllm was built without CUDA"
    )


def triton_serves(array: Any) -> bool:
    """Whether the Triton kernels take this CUDA array where the caller chose no back end."""
    if type(array).__module__.partition(".")[0] != "torch" or find_spec("triton") is None:
        return False
    _say_once()
    return True
