"""NumPy arrays as torch tensors and back, bfloat16 by its bits; the memory is shared."""

import ml_dtypes
import numpy as np
import torch

from pyllm import ops

BFLOAT16 = np.dtype(ml_dtypes.bfloat16)


def to_torch(x):
    if isinstance(x, tuple):
        return tuple(map(to_torch, x))
    if not isinstance(x, np.ndarray):
        return x
    if x.dtype == BFLOAT16:
        return torch.from_numpy(x.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(x)


def to_numpy(x):
    if x.dtype == torch.bfloat16:
        return x.view(torch.int16).numpy().view(BFLOAT16)
    return x.numpy()


class NumpyOps:
    """`pyllm.ops` with NumPy arrays in and out, by way of torch tensors that share their memory."""

    def __getattr__(self, name):
        op = getattr(ops, name)

        def run(*args, **kwargs):
            tensors = [*map(to_torch, args)]
            named = {key: to_torch(x) for key, x in kwargs.items()}
            given = {id(named[key]): x for key, x in kwargs.items()}

            def back(x):
                if isinstance(x, tuple):
                    return tuple(map(back, x))
                if isinstance(x, torch.Tensor):
                    return given[id(x)] if id(x) in given else to_numpy(x)
                return x

            return back(op(*tensors, **named))

        return run


numpy_ops = NumpyOps()
