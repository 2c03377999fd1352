"""Which kernels a build with PYLLM_TRITON_AOT=ON holds: what csrc/bindings_cuda/embedded_* launch.

One file for families that are cut alike. Sizes along which memory is contiguous must be multiples
of 16; other launches, and options that are not listed, are left to the CUDA kernels.
"""

from pyllm.kernels.triton.embedded import attention, histogram, losses, optim, rows

CAPABILITIES = (80, 90, 100)
STORAGE = ("fp32", "fp16", "bf16")


def embedded():
    """All of them, the first that suits a launch first."""
    for storage in STORAGE:
        for family in (rows, losses, attention, optim):
            yield from family.specialisations(storage)
    yield from histogram.specialisations()
