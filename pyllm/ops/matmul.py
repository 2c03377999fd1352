"""Matrix products, batched and broadcast as NumPy does."""

from pyllm.ops.backend import backend_of
from pyllm.ops.types import Array


def matmul(
    a: Array,
    b: Array,
    *,
    transpose_a: bool = False,
    transpose_b: bool = False,
    out: Array | None = None,
) -> Array:
    """a b over the last two axes.

    Transposed and strided views are read in place where one of the last two strides is 1.
    bfloat16 and float16 are widened panel by panel and accumulated in float32.

    Args:
        a: (..., m, k) or (k,); float32, bfloat16, float16 or float64.
        b: (..., k, n) or (k,), dtype of a. Leading axes broadcast against those of a.
        transpose_a, transpose_b: read the argument with its last two axes swapped.
        out: where to write the result; must not overlap a or b.

    Returns:
        (..., m, n), without the axes that a one-dimensional argument lacks, as `numpy.matmul`.

    Raises:
        TypeError: an argument is no array, or the dtypes differ or are not supported.
        ValueError: shapes that do not fit.
    """
    return backend_of(a).matmul(a, b, transpose_a, transpose_b, out)
