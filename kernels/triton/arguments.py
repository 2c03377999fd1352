"""What the launchers check, in the words of the CPU's bindings."""

import math

import torch

from pyllm.kernels.triton.storage import INTERPRETED, TYPES

_INTEGERS = (torch.int32, torch.int64)


def name_of(dtype):
    return str(dtype).removeprefix("torch.")


def tensor(x, name):
    """x, if these kernels can read it.

    Raises:
        TypeError: no torch tensor, or one on a device that Triton does not serve.
        BufferError: a tensor whose gradient torch would expect back.
    """
    if not isinstance(x, torch.Tensor):
        raise TypeError(f"{name}: the Triton back end takes torch tensors, got {type(x).__name__}")
    if x.requires_grad and torch.is_grad_enabled():
        raise BufferError(f"{name}: requires a gradient, which pyllm.ops keeps no track of; pass "
                          f"{name}.detach()")  # fmt: skip
    if x.device.type != ("cpu" if INTERPRETED.value else "cuda"):
        raise TypeError(
            f"{name}: expected a CPU tensor under TRITON_INTERPRET=1, got one on {x.device}"
            if INTERPRETED.value
            else f"{name}: the Triton back end computes on CUDA tensors, got one on {x.device}; "
            "on the CPU set TRITON_INTERPRET=1 before its first use"
        )
    return x


def floating(x, name):
    if tensor(x, name).dtype not in TYPES:
        raise TypeError(
            f"{name}: expected float32, bfloat16 or float16 (Triton), got {name_of(x.dtype)}"
        )
    return x


def beside(x, name, like, dtypes=None, shape=None):
    """x, checked to lie on like's device, with one of `dtypes` (default like's) and `shape`."""
    tensor(x, name)
    if x.device != like.device:
        raise ValueError(f"{name}: expected a tensor on {like.device}, got one on {x.device}")
    dtypes = (like.dtype,) if dtypes is None else dtypes
    if x.dtype not in dtypes:
        expected = " or ".join(name_of(d) for d in dtypes)
        raise TypeError(f"{name}: expected dtype {expected}, got {name_of(x.dtype)}")
    if shape is not None and x.shape != tuple(shape):
        raise ValueError(f"{name}: expected shape {tuple(shape)}, got {tuple(x.shape)}")
    return x


def same(x, name, like, like_name):
    """x, checked to have like's device, dtype and shape."""
    if tensor(x, name).dtype != like.dtype:
        raise TypeError(f"{name}: expected the dtype of {like_name}, {name_of(like.dtype)}, got "
                        f"{name_of(x.dtype)}")  # fmt: skip
    return beside(x, name, like, shape=like.shape)


def integers(x, name, like, shape=None):
    return beside(x, name, like, _INTEGERS, shape)


def broadcast(x, name, shape):
    """x repeated by strides of 0, as NumPy broadcasts."""
    try:
        return x.expand(shape)
    except RuntimeError:
        raise ValueError(
            f"{name}: shape {tuple(x.shape)} does not broadcast to {tuple(shape)}"
        ) from None


def word(value, name):
    """A number below 2^64."""
    if not 0 <= int(value) < 2**64:
        raise ValueError(f"{name}: expected a number from 0 to 2^64 - 1, got {value}")
    return int(value)


class Output:
    """Where a kernel writes: `data`, contiguous; `result()` is what the caller gets.

    Args:
        out: the caller's tensor, or None for a fresh one.
        like: whose device it is on; dtype and shape too unless given.
        inputs: by name; out must be one of them or lie apart from it.
        unshared: by name; out must lie apart from these.
    """

    def __init__(self, out, like, inputs=(), unshared=(), *, dtype=None, shape=None, name="out"):
        dtype, shape = dtype or like.dtype, like.shape if shape is None else tuple(shape)
        self.given = out
        if out is not None:
            beside(out, name, like, (dtype,), shape)
            if any(n > 1 and s == 0 for n, s in zip(out.shape, out.stride(), strict=True)):
                raise ValueError(f"{name}: elements overlap each other (stride 0); pass a tensor "
                                 "of its own")  # fmt: skip
            apart(out, name, dict(inputs), same_is_fine=True)
            apart(out, name, dict(unshared))
        fits = out is not None and out.is_contiguous()
        self.data = out if fits else torch.empty(shape, dtype=dtype, device=like.device)

    def result(self):
        if self.given is None or self.given is self.data:
            return self.data
        return self.given.copy_(self.data)


def apart(out, name, inputs, same_is_fine=False):
    """Raise if `out` shares memory with an input, other than by being it."""
    for other, x in inputs.items():
        if x is None or not _touch(out, x) or _in_columns_apart(out, x):
            continue
        identical = (out.data_ptr(), out.dtype, out.shape, out.stride()) == (
            x.data_ptr(), x.dtype, x.shape, x.stride(),
        )  # fmt: skip
        if not (identical and same_is_fine):
            raise ValueError(f"{name}: overlaps the memory of {other}")


def _width(x, axis=0):
    """Elements from the first to the last along the axes from `axis` on."""
    return 1 + sum((n - 1) * s for n, s in zip(x.shape[axis:], x.stride()[axis:], strict=True))


def _extent(x):
    size = _width(x) * x.element_size() if x.numel() else 0
    return x.data_ptr(), x.data_ptr() + size


def _touch(a, b):
    (low, high), (other_low, other_high) = _extent(a), _extent(b)
    return low < other_high and other_low < high


def _in_columns_apart(a, b):
    """Do two tensors lie in different columns of the rows of one buffer?"""
    if a.ndim != b.ndim or a.dtype != b.dtype:
        return False
    distance = (b.data_ptr() - a.data_ptr()) // a.element_size()
    for axis in range(a.ndim - 1):
        pitch = a.stride(axis)
        outer = (*a.stride()[:axis], *b.stride()[:axis])
        if pitch <= 0 or b.stride(axis) != pitch or any(s % pitch for s in outer):
            continue
        first, second = (_width(x, axis + 1) for x in (a, b))
        if first <= distance % pitch <= pitch - second:
            return True
    return False


def rows(x):
    """x as (rows, n) with n contiguous: a view where the strides allow it, else a copy."""
    n = x.shape[-1]
    flat = x.reshape(math.prod(x.shape[:-1]), n)
    return flat if flat.stride(1) == 1 or n == 1 else flat.contiguous()


def in_range(x, name, what, end):
    """Raise unless 0 <= x < end everywhere: one look at the device, left out in a graph capture."""
    if x.numel() == 0 or (x.is_cuda and torch.cuda.is_current_stream_capturing()):
        return
    low, high = (int(v) for v in torch.stack(torch.aminmax(x)).tolist())
    if low < 0 or high >= end:
        raise ValueError(f"{name}: expected 0 <= {what} < {end}, got {low if low < 0 else high}")
