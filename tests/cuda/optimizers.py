"""What tests of the CUDA optimizers share: tables of tensors, and the CPU's op as an oracle."""

import ml_dtypes
import numpy as np

from tests.cuda.emulator.client import inout

FLOAT32 = np.dtype(np.float32)
BFLOAT16 = np.dtype(ml_dtypes.bfloat16)
FLOAT16 = np.dtype(np.float16)
# Empty, below a vector, ragged, one chunk of 4096, and past it.
SIZES = [1, 0, 3, 5, 1000, 4096, 4099]
# Parameter, gradient, master copy.
STORAGE = [
    (FLOAT32, FLOAT32, False),
    (BFLOAT16, BFLOAT16, True),
    (BFLOAT16, FLOAT32, True),
    (FLOAT16, FLOAT16, False),
]
READ_ONLY = ("grad", "n")


def tensors_of(rng, sizes, param_dtype, grad_dtype, master, **states):
    """Tensors with parameters, gradients and states; states: name -> function of n, or None."""
    made = []
    for n in sizes:
        weights = rng.standard_normal(n).astype(np.float32)
        made.append(
            {
                "param": weights.astype(param_dtype),
                "grad": rng.standard_normal(n).astype(grad_dtype),
                "master": weights if master else None,
                "n": n,
            }
            | {name: None if start is None else start(n) for name, start in states.items()}
        )
    return made


def step(emulator, launcher, struct, tensors, *, grad_scale=None, grad_factor=1.0, **fields):
    """One launch; results are under "tensors[i].name"."""
    table = [
        {
            name: value if value is None or name in READ_ONLY else inout(value)
            for name, value in t.items()
        }
        for t in tensors
    ]
    return emulator.call(
        launcher,
        f"{struct}Step",
        tensors=(f"{struct}Tensor", table),
        count=len(table),
        grad_scale=None if grad_scale is None else np.array([grad_scale], np.float32),
        grad_factor=grad_factor,
        param_dtype=tensors[0]["param"].dtype,
        grad_dtype=tensors[0]["grad"].dtype,
        **fields,
    )


def start_of(t):
    """What a step starts from, in float64."""
    return (t["param"] if t["master"] is None else t["master"]).astype(np.float64)


def check_rounded(got, i, t):
    """The 16-bit parameter is the rounding of its master copy."""
    if t["master"] is not None:
        master = got[f"tensors[{i}].master"]
        np.testing.assert_array_equal(got[f"tensors[{i}].param"], master.astype(t["param"].dtype))


def check_codes(got, expected, scale, signed):
    """Codes as the CPU makes them; on an edge between two bins float32 may fall to either side."""
    differ = got != expected
    assert differ.mean() <= 0.002
    wide = np.int8 if signed else np.uint8
    steps = np.abs(got.view(wide).astype(int) - expected.view(wide).astype(int))
    assert (steps[differ] <= 1).all()
    assert np.isfinite(scale).all()
