"""Types of public signatures."""

from typing import Any, TypeAlias

# A numpy.ndarray, torch.Tensor, jax.Array, ...: anything NumPy-like or with __dlpack__.
Array: TypeAlias = Any
