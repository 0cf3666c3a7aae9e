"""Modules: objects whose attributes are parameters and other modules.

There is no registry. The parameters of a module are those of its attributes that are Parameters,
and the parameters of those that are Modules, in the order in which they were assigned.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Self

import numpy as np

from autograd import Tensor, backend, tensor, zeros


class Parameter(Tensor):
    """A tensor that a module learns."""

    __slots__ = ()

    def __init__(self, data: Any) -> None:
        super().__init__((data if isinstance(data, Tensor) else tensor(data)).data)
        self.requires_grad_()


def parameter(*shape: int, dtype: Any = None, device: str | None = None) -> Parameter:
    """A parameter of zeros, to be initialised."""
    return Parameter(zeros(shape, dtype=dtype, device=device))


class Module:
    """A part of a network: assign parameters and modules to attributes, and write `forward`."""

    training = True

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError(f"{type(self).__name__} has no forward()")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.forward(*args, **kwargs)

    # --- what is in it ----------------------------------------------------------------------------

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """The modules among the attributes."""
        for name, value in vars(self).items():
            if isinstance(value, Module):
                yield name, value

    def named_modules(self, prefix: str = "") -> Iterator[tuple[str, Module]]:
        """This module ("" or `prefix`) and all below it."""
        yield prefix, self
        for name, child in self.named_children():
            yield from child.named_modules(_join(prefix, name))

    def modules(self) -> Iterator[Module]:
        for _, module in self.named_modules():
            yield module

    def _own_parameters(self) -> Iterator[tuple[str, Parameter]]:
        """The parameters among the attributes. A module that names its children's as its own
        overrides this.
        """
        for name, value in vars(self).items():
            if isinstance(value, Parameter):
                yield name, value

    def _all_parameters(self, prefix: str) -> Iterator[tuple[str, Parameter]]:
        for name, value in self._own_parameters():
            yield _join(prefix, name), value
        for name, child in self.named_children():
            yield from child._all_parameters(_join(prefix, name))

    def named_parameters(self) -> Iterator[tuple[str, Parameter]]:
        """All parameters with their names, "layer.weight"; one that is shared appears once."""
        seen = set()
        for name, value in self._all_parameters(""):
            if value not in seen:
                seen.add(value)
                yield name, value

    def parameters(self) -> Iterator[Parameter]:
        for _, value in self.named_parameters():
            yield value

    # --- state ------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, np.ndarray]:
        """Copies of all parameters on the host, by name."""
        return {name: value.numpy() for name, value in self._all_parameters("")}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Set all parameters from arrays (NumPy's, or anything that `np.asarray` takes) by name.

        Raises ValueError that lists everything missing, unexpected or of another shape; nothing is
        changed then.
        """
        own = dict(self._all_parameters(""))
        arrays = {name: np.asarray(value) for name, value in state.items()}
        complex_ = [name for name, array in arrays.items() if array.dtype.kind == "c"]
        wrong = [f"{name}: complex numbers" for name in complex_]
        wrong += [f"missing: {name}" for name in own if name not in arrays]
        wrong += [f"unexpected: {name}" for name in arrays if name not in own]
        wrong += [
            f"{name}: expected shape {own[name].shape}, got {array.shape}"
            for name, array in arrays.items()
            if name in own and own[name].shape != array.shape
        ]
        if wrong:
            raise ValueError(
                f"these parameters do not fit {type(self).__name__}: {'; '.join(wrong)}"
            )
        for name, value in own.items():
            value.data = backend.of(value.data).asarray(arrays[name].astype(value.dtype))

    # --- modes and places -------------------------------------------------------------------------

    def train(self, mode: bool = True) -> Self:
        """Switch what differs in training (dropout) on or off, here and below."""
        for module in self.modules():
            module.training = mode
        return self

    def eval(self) -> Self:
        return self.train(False)

    def zero_grad(self) -> None:
        for value in self.parameters():
            value.grad = None

    def apply(self, fn: Callable[[Module], Any]) -> Self:
        """Call `fn` on every module, the innermost first."""
        for module in reversed(list(self.modules())):
            fn(module)
        return self

    def to(self, target: Any) -> Self:
        """Move all parameters to a device ("cuda") or a dtype, in place; gradients are dropped."""
        for value in self.parameters():
            value.grad = None
            value.data = value.detach().to(target).data
        return self

    def extra_repr(self) -> str:
        """What stands in the parentheses of the repr."""
        return ""

    def __repr__(self) -> str:
        children = [
            f"({name}): {child!r}".replace("\n", "\n  ") for name, child in self.named_children()
        ]
        inside = (
            self.extra_repr()
            + "".join(f"\n  {child}" for child in children)
            + ("\n" if children else "")
        )
        return f"{type(self).__name__}({inside})"


class ModuleList(Module):
    """Modules in a row, named "0", "1", ..."""

    def __init__(self, modules: Any = ()) -> None:
        for module in modules:
            self.append(module)

    def append(self, module: Module) -> Self:
        setattr(self, str(len(self)), module)
        return self

    def __len__(self) -> int:
        return sum(1 for _ in self.named_children())

    def __iter__(self) -> Iterator[Module]:
        return (child for _, child in self.named_children())

    def __getitem__(self, index: int) -> Module:
        return list(self)[index]


def _join(prefix: str, name: str) -> str:
    return f"{prefix}.{name}" if prefix else name
