"""Module: a tree of parameters; FlatParameters: many parameters in one array."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from pyllm import cuda
from pyllm.autograd import Tensor
from pyllm.autograd.arrays import is_float, zeros


class Parameter(Tensor):
    """A tensor that is trained."""

    __slots__ = ()

    def __init__(self, data: npt.ArrayLike) -> None:
        super().__init__(data, requires_grad=True)


class Module:
    """Base of layers and models: parameters and modules among its attributes are found by name."""

    training = True

    def __call__(self, *arguments: Any, **keywords: Any) -> Any:
        return self.forward(*arguments, **keywords)

    def forward(self, *arguments: Any, **keywords: Any) -> Any:
        raise NotImplementedError(f"{type(self).__name__} has no forward")

    def children(self) -> Iterator[tuple[str, "Module"]]:
        for name, value in vars(self).items():
            if isinstance(value, Module):
                yield name, value

    def modules(self) -> Iterator["Module"]:
        for _, module in self.named_modules():
            yield module

    def named_modules(self, prefix: str = "") -> Iterator[tuple[str, "Module"]]:
        """This module (named by `prefix`, without a dot at the end) and all within it."""
        yield prefix, self
        for name, child in self.children():
            yield from child.named_modules(f"{prefix}.{name}" if prefix else name)

    def named_parameters(self, prefix: str = "") -> Iterator[tuple[str, Parameter]]:
        """All parameters by their place; one that has several places comes several times."""
        for name, value in vars(self).items():
            if isinstance(value, Parameter):
                yield prefix + name, value
        for name, child in self.children():
            yield from child.named_parameters(f"{prefix}{name}.")

    def parameters(self) -> list[Parameter]:
        """Every parameter once, also one that is shared by several modules."""
        return list({id(p): p for _, p in self.named_parameters()}.values())

    def num_parameters(self) -> int:
        """Numbers in all parameters."""
        return sum(p.size for p in self.parameters())

    def requires_grad_(self, requires_grad: bool = True) -> "Module":
        """Train the parameters, or freeze them."""
        for parameter in self.parameters():
            parameter.requires_grad = requires_grad
        return self

    def zero_grad(self) -> None:
        for parameter in self.parameters():
            parameter.zero_grad()

    def train(self, mode: bool = True) -> "Module":
        for module in self.modules():
            module.training = mode
        return self

    def eval(self) -> "Module":
        return self.train(False)

    def state_dict(self) -> dict[str, npt.NDArray[Any]]:
        """The parameters' arrays by name: views, not copies."""
        return {name: parameter.data for name, parameter in self.named_parameters()}

    def load_state_dict(
        self, state: Mapping[str, npt.NDArray[Any]], *, strict: bool = True
    ) -> None:
        """Copy arrays into the parameters of the same names; dtypes are converted.

        Args:
            strict: refuse names that are missing from `state` or unknown here.

        Raises:
            ValueError: a shape differs, or with strict the names do; nothing has changed then.
        """
        own = dict(self.named_parameters())
        problems = []
        if strict:
            problems += [f"missing: {name}" for name in own if name not in state]
            problems += [f"unexpected: {name}" for name in state if name not in own]
        problems += [
            f"{name}: expected shape {own[name].shape}, got {np.shape(array)}"
            for name, array in state.items()
            if name in own and np.shape(array) != own[name].shape
        ]
        if problems:
            raise ValueError("state: " + "; ".join(problems))
        for name, array in state.items():
            if name in own:
                own[name].data[...] = array
                own[name].mark_changed()

    def to(self, dtype: npt.DTypeLike) -> "Module":
        """Convert the parameters, or move them to "cpu", "cuda" or "cuda:N"; gradients are lost.

        Raises:
            TypeError: no floating dtype.
            RuntimeError: an optimizer holds the parameters in a buffer as they were, or there is
                no such device.
            MemoryError: the device's memory does not suffice; nothing has moved then.
        """
        if isinstance(dtype, str) and dtype.split(":")[0] in ("cpu", "cuda"):
            return self._move(dtype)
        wanted = np.dtype(dtype)
        if not is_float(wanted):
            raise TypeError(f"dtype: expected a floating dtype, got {wanted}")
        changed = [p for p in self.parameters() if p.dtype != wanted]
        if any(p._buffer is not None for p in changed):
            raise RuntimeError("to: convert the module before making an optimizer for it")
        for parameter in changed:
            parameter.data = parameter.data.astype(wanted)
            parameter.zero_grad()
        return self

    def _move(self, device: str) -> "Module":
        parameters = self.parameters()
        moved = [cuda.move(p.data, device) for p in parameters]
        for parameter, data in zip(parameters, moved, strict=True):
            if data is not parameter.data and parameter._buffer is not None:
                raise RuntimeError("to: move the module before making an optimizer for it")
        for parameter, data in zip(parameters, moved, strict=True):
            if data is not parameter.data:
                parameter.data = data
                parameter.zero_grad()
        return self


class Sequential(Module):
    """Modules applied one after the other, named by their number."""

    def __init__(self, *modules: Module) -> None:
        for number, module in enumerate(modules):
            setattr(self, str(number), module)

    def forward(self, x: Any) -> Any:
        for _, module in self.children():
            x = module(x)
        return x


class ModuleList(Module):
    """A list of modules, named by their number."""

    def __init__(self, modules: list[Module]) -> None:
        for number, module in enumerate(modules):
            setattr(self, str(number), module)

    def __iter__(self) -> Iterator[Any]:
        return (child for _, child in self.children())

    def __len__(self) -> int:
        return sum(1 for _ in self.children())

    def __getitem__(self, number: int) -> Any:
        return list(self)[number]


class FlatParameters:
    """Parameters of one dtype as views of two flat arrays, `data` and `grad`.

    Each starts at a multiple of `align` elements; what lies between stays zero.
    """

    def __init__(self, parameters: list[Parameter], align: int = 1) -> None:
        total = sum(-(-parameter.size // align) * align for parameter in parameters)
        dtype = parameters[0].dtype
        like = parameters[0].data
        self.data, self.grad = zeros((total,), dtype, like), zeros((total,), dtype, like)
        start = 0
        for parameter in parameters:
            end = start + parameter.size
            view = self.data[start:end].reshape(parameter.shape)
            view[...] = parameter.data
            parameter.data = view
            parameter.set_grad_buffer(self.grad[start:end].reshape(parameter.shape))
            start += -(-parameter.size // align) * align

    def complete(self, parameters: list[Parameter]) -> None:
        """Zero the gradients that no backward has written since `zero_grad`."""
        for parameter in parameters:
            if parameter.grad is None:
                buffer, _ = parameter.take_buffer()
                assert buffer is not None
                buffer[...] = 0
