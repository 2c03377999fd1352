"""Cheap results that backward computes again instead of keeping.

A norm or an activation costs little beside the product that reads it, and the product's backward
needs it a second time. So the op leaves a recipe with its result, and `keep` gives the product that
instead of the array, whose memory is free as soon as the forward has gone on. (What the recipe
reads is saved anyway, for the backward of the op itself.) In a GPT block this leaves 10 arrays of
the width of the residual stream of the 16 that would stay otherwise.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from pyllm.autograd.arrays import Array
from pyllm.autograd.version import Saved

if TYPE_CHECKING:
    from pyllm.autograd.variable import Variable


class Recipe:
    """How to compute a result again.

    Attributes:
        make: computes it.
        reads: versions of the values that `make` reads.
        result: version of the result itself.
    """

    __slots__ = ("make", "reads", "result")

    def __init__(self, make: Callable[[], Array], reads: list[Saved], result: Saved) -> None:
        self.make, self.reads, self.result = make, reads, result


def leave_recipe(
    result: "Variable", make: Callable[[], Array], reads: Sequence["Variable | None"]
) -> None:
    """Let nodes that would save `result` call `make` in their backward instead.

    Args:
        result: what an op has just recorded; without a history nothing is left.
        make: returns the array again.
        reads: the tensors that it reads, which must not change before then.
    """
    if result._node is not None:
        saved = [Saved(t) for t in reads if t is not None]
        result._recipe = Recipe(make, saved, Saved(result))


def keep(x: "Variable") -> tuple[Callable[[], Array], list[Saved]]:
    """What gives the present value of `x` in a backward, and the versions for `record` to save."""
    data, recipe = x.data, x._recipe
    version = Saved(x)
    if recipe is not None and not recipe.result.changes:
        return recipe.make, [version, *recipe.reads]
    return lambda: data, [version]
