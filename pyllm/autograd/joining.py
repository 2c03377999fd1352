"""concat, stack, split, where: several tensors in one, or one in several."""

from collections.abc import Sequence

import numpy as np

from pyllm.autograd.arrays import (
    Array,
    as_array,
    axis_of,
    beside,
    cast,
    copy,
    empty,
    fit,
    promote,
    zeros,
)
from pyllm.autograd.tape import record
from pyllm.autograd.tensor import Tensor
from pyllm.autograd.variable import Operand
from pyllm.device_array import is_on_device


def concat(tensors: Sequence[Tensor], axis: int = 0) -> Tensor:
    """The tensors one after the other along an axis.

    Raises:
        ValueError: there are none, or their other sizes differ.
    """
    if not tensors:
        raise ValueError("tensors: expected at least one")
    place = axis_of(axis, tensors[0].ndim)
    sizes = [_others(t.shape, place) for t in tensors]
    if any(t.ndim != tensors[0].ndim for t in tensors) or len(set(sizes)) > 1:
        raise ValueError(
            f"tensors: expected equal shapes but for axis {axis}, got "
            + ", ".join(str(t.shape) for t in tensors)
        )
    dtypes = [t.dtype for t in tensors]
    dtype = dtypes[0]
    for other in dtypes[1:]:
        dtype = promote(dtype, other)
    ends = np.cumsum([t.shape[place] for t in tensors])
    shape = list(tensors[0].shape)
    shape[place] = int(ends[-1])
    y = empty(tuple(shape), dtype, tensors[0].data)
    for part, t in zip(np.split(y, ends[:-1], place), tensors, strict=True):
        np.copyto(part, t.data, casting="unsafe")

    def backward(g: Array) -> list[Array]:
        parts = np.split(g, ends[:-1], place)
        return [cast(part, own) for part, own in zip(parts, dtypes, strict=True)]

    return record("concat", y, tensors, backward)


def stack(tensors: Sequence[Tensor], axis: int = 0) -> Tensor:
    """The tensors, of one shape, along a new axis.

    Raises:
        ValueError: there are none, or their shapes differ.
    """
    if len({t.shape for t in tensors}) > 1:
        raise ValueError(f"tensors: expected one shape, got {[t.shape for t in tensors]}")
    return concat([t.unsqueeze(axis) for t in tensors], axis)


def split(x: Tensor, sizes: int | Sequence[int], axis: int = 0) -> tuple[Tensor, ...]:
    """Views of consecutive stretches of an axis.

    Args:
        sizes: of every stretch but perhaps the last, or of each.

    Raises:
        ValueError: sizes that do not add up to the axis, or below 0 (0, if it is one number).
    """
    place = axis_of(axis, x.ndim)
    length = x.shape[place]
    if isinstance(sizes, int | np.integer):
        if sizes < 1:
            raise ValueError(f"sizes: expected at least 1, got {sizes}")
        starts = range(0, max(length, 1), int(sizes))
        sizes = [min(int(sizes), length - start) for start in starts]
    if sum(sizes) != length or any(n < 0 for n in sizes):
        raise ValueError(f"sizes: expected a sum of {length}, got {list(sizes)}")
    ends = np.cumsum(sizes)[:-1]
    shape, dtype = x.shape, x.dtype

    def backward(*gradients: Array | None) -> tuple[Array]:
        given = next(g for g in gradients if g is not None)
        made = empty(shape, dtype, given)
        for part, g in zip(np.split(made, ends, place), gradients, strict=True):
            part[...] = 0 if g is None else g
        return (made,)

    return record("split", tuple(np.split(x.data, ends, place)), (x,), backward, view_of=x)


def where(condition: Operand, a: Operand, b: Operand) -> Tensor:
    """a where the condition holds, b elsewhere; all three are broadcast.

    Beside tensors on a device the condition may be on the CPU: it is copied over.

    Raises:
        TypeError: the condition is not boolean, neither a nor b is a tensor or an array, or one of
            them is on a device and the other is not.
    """
    chosen = as_array(condition.data if isinstance(condition, Tensor) else condition)
    if chosen.dtype != bool:
        raise TypeError(f"condition: expected booleans, got {chosen.dtype}")
    first = next((t for t in (a, b) if isinstance(t, Tensor)), None)
    if first is None:
        first = Tensor(np.asarray(a) if isinstance(a, np.ndarray) else np.asarray(b))
    x, y = first._operand(a), first._operand(b)
    dtype = promote(x.dtype, y.dtype)
    like = next((t for t in (chosen, x.data, y.data) if is_on_device(t)), None)
    chosen = beside(chosen, like)
    z = empty(np.broadcast_shapes(chosen.shape, x.shape, y.shape), dtype, like)
    np.copyto(z, y.data, casting="unsafe")
    np.copyto(z, x.data, where=chosen, casting="unsafe")
    shapes, dtypes = (x.shape, y.shape), (x.dtype, y.dtype)
    needs = x.requires_grad, y.requires_grad

    def backward(g: Array) -> tuple[Array | None, Array | None]:
        made: list[Array | None] = [None, None]
        if needs[0]:
            of_x = zeros(g.shape, g.dtype, g)
            np.copyto(of_x, g, where=chosen)
            made[0] = fit(of_x, shapes[0], dtypes[0])
        if needs[1]:
            of_y = copy(g)
            np.copyto(of_y, 0, where=chosen)
            made[1] = fit(of_y, shapes[1], dtypes[1])
        return made[0], made[1]

    return record("where", z, (x, y), backward)


def _others(shape: tuple[int, ...], axis: int) -> tuple[int, ...]:
    return shape[:axis] + shape[axis + 1 :]
