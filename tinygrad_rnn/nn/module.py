"""The base class of layers, models and losses.

A module has no registry. Its parameters and child modules are the attributes that are Parameters
and Modules, in the order of assignment. Buffers are attributes too. The module stores their names,
so that assigning another tensor to the attribute replaces the buffer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, Self, TypeVar

from autograd import Tensor, tensor

from .hooks import HookedCallable
from .module_state import ModuleState
from .parameter import Parameter

T = TypeVar("T")


class Module(HookedCallable, ModuleState):
    """Base class of all parts of a network.

    A subclass assigns parameters and modules to attributes and defines `forward`. Modules can be
    copied (`copy.deepcopy`) and pickled; copies have no gradients.

    Attributes
    ----------
    training : bool
        True in training mode. `train` and `eval` set it for a module and all modules below it.

    Examples
    --------
    >>> class Affine(nn.Module):
    ...     def __init__(self, size):
    ...         self.scale = nn.Parameter(ag.ones(size))
    ...         self.linear = nn.Linear(size, size)
    ...
    ...     def forward(self, x):
    ...         return self.scale * self.linear(x)
    >>> [name for name, _ in Affine(3).named_parameters()]
    ['scale', 'linear.weight', 'linear.bias']
    """

    training = True
    _buffers: Mapping[str, bool] = MappingProxyType({})  # name: True if it is saved

    # --- submodules, parameters and buffers -------------------------------------------------------

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """Iterate over the child modules and their attribute names.

        Returns
        -------
        iterator of (str, Module)
        """
        for name, value in vars(self).items():
            if isinstance(value, Module):
                yield name, value

    def children(self) -> Iterator[Module]:
        """Iterate over the child modules.

        Returns
        -------
        iterator of Module
        """
        for _, child in self.named_children():
            yield child

    def named_modules(self, prefix: str = "") -> Iterator[tuple[str, Module]]:
        """Iterate over this module and all modules below it, with their paths.

        A shared module appears once.

        Parameters
        ----------
        prefix : str, default ""
            Path of this module.

        Returns
        -------
        iterator of (str, Module)
        """
        descendants = (
            pair
            for name, child in self.named_children()
            for pair in child.named_modules(join_names(prefix, name))
        )
        yield prefix, self
        yield from _unique(descendants)

    def modules(self) -> Iterator[Module]:
        """Iterate over this module and all modules below it.

        Returns
        -------
        iterator of Module
        """
        seen: set[Module] = set()
        remaining: list[Module] = [self]
        while remaining:
            module = remaining.pop()
            if module not in seen:
                seen.add(module)
                yield module
                remaining += [m for m in vars(module).values() if isinstance(m, Module)][::-1]

    def _direct_parameters(self) -> Iterator[tuple[str, Parameter]]:
        """Iterate over the attributes that are parameters."""
        for name, value in vars(self).items():
            if isinstance(value, Parameter):
                yield name, value

    def _direct_buffers(self, saved: bool = False) -> Iterator[tuple[str, Tensor]]:
        """Iterate over the attributes that are buffers; with `saved`, only the persistent ones."""
        for name, persistent in self._buffers.items():
            value = getattr(self, name, None)
            if value is None or (saved and not persistent):
                continue
            if not isinstance(value, Tensor):
                raise TypeError(f"buffer {name!r} must be a Tensor or None, got {value!r}")
            yield name, value

    def _direct_tensors(self, saved: bool = False) -> Iterator[tuple[str, Tensor]]:
        yield from self._direct_parameters()
        yield from self._direct_buffers(saved)

    def _named_members(
        self, members: Callable[[Module], Iterable[tuple[str, T]]], prefix: str = ""
    ) -> Iterator[tuple[str, T]]:
        """Iterate over `members(module)` of this module and all modules below it, with full names.

        `Recurrent` overrides this to name the parameters of its cells.
        """
        for name, value in members(self):
            yield join_names(prefix, name), value
        for name, child in self.named_children():
            yield from child._named_members(members, join_names(prefix, name))

    def named_parameters(self) -> Iterator[tuple[str, Parameter]]:
        """Iterate over all parameters and their names, such as "layer.weight".

        A shared parameter appears once.

        Returns
        -------
        iterator of (str, Parameter)
        """
        return _unique(self._named_members(lambda module: module._direct_parameters()))

    def parameters(self) -> Iterator[Parameter]:
        """Iterate over all parameters; a shared parameter appears once.

        Returns
        -------
        iterator of Parameter
        """
        for _, value in self.named_parameters():
            yield value

    def named_buffers(self) -> Iterator[tuple[str, Tensor]]:
        """Iterate over all buffers and their names; a shared buffer appears once.

        Returns
        -------
        iterator of (str, Tensor)
        """
        return _unique(self._named_members(lambda module: module._direct_buffers()))

    def buffers(self) -> Iterator[Tensor]:
        """Iterate over all buffers; a shared buffer appears once.

        Returns
        -------
        iterator of Tensor
        """
        for _, value in self.named_buffers():
            yield value

    def _named_state(self) -> Iterator[tuple[str, Tensor]]:
        """Iterate over parameters and persistent buffers; shared ones under each of their names."""
        return self._named_members(lambda module: module._direct_tensors(saved=True))

    def register_buffer(self, name: str, tensor: Tensor | None, persistent: bool = True) -> None:
        """Add a buffer: a tensor that belongs to the state but is not learned.

        Assigning another tensor to the attribute replaces the buffer.

        Parameters
        ----------
        name : str
            Name of the attribute.
        tensor : Tensor or None
            Initial value. None reserves the name.
        persistent : bool, default True
            If False, the buffer moves with the module but is not part of `state_dict()`.

        Raises
        ------
        TypeError
            If `tensor` is neither a Tensor nor None, or `name` is not a string.
        KeyError
            If `name` is empty, contains a dot, or is the name of another attribute.
        """
        if not (tensor is None or isinstance(tensor, Tensor)):
            raise TypeError(
                f"cannot assign {type(tensor).__name__!r} object to buffer {name!r} "
                "(Tensor or None required)"
            )
        if name not in self._buffers:
            self._check_name(name)
        self._buffers = {**self._buffers, name: persistent}
        setattr(self, name, tensor)

    def _check_name(self, name: str) -> None:
        """Raise TypeError or KeyError if `name` cannot become the name of a buffer or module."""
        if not isinstance(name, str):
            raise TypeError(f"the name must be a string, got {name!r}")
        if not name or "." in name:
            raise KeyError(f"the name can't be empty or contain '.', got {name!r}")
        if hasattr(self, name):
            raise KeyError(f"attribute {name!r} already exists")

    def _add_module(self, name: str, module: Module) -> None:
        """Make `module` an attribute after checking its type and name."""
        if not isinstance(module, Module):
            raise TypeError(f"{name!r} must be a Module, got {type(module).__name__}")
        self._check_name(name)
        setattr(self, name, module)

    # --- mode and representation ------------------------------------------------------------------

    def train(self, mode: bool = True) -> Self:
        """Set training or evaluation mode of this module and all modules below it.

        Parameters
        ----------
        mode : bool, default True
            True sets training mode, which enables dropout. False sets evaluation mode.

        Returns
        -------
        Module
            This module.
        """
        for module in self.modules():
            module.training = mode
        return self

    def eval(self) -> Self:
        """Set evaluation mode: `train(False)`.

        Returns
        -------
        Module
            This module.
        """
        return self.train(False)

    def apply(self, fn: Callable[[Module], Any]) -> Self:
        """Call a function with every module below this one and then with this one.

        Children come before their parents, in the order of assignment.

        Parameters
        ----------
        fn : callable
            `fn(module)`, whose result is ignored.

        Returns
        -------
        Module
            This module.
        """
        for child in self.children():
            child.apply(fn)
        fn(self)
        return self

    def extra_repr(self) -> str:
        """Return the text between the parentheses of the representation.

        Returns
        -------
        str
        """
        return ""

    def __repr__(self) -> str:
        children = [
            f"({name}): {child!r}".replace("\n", "\n  ") for name, child in self.named_children()
        ]
        body = (
            self.extra_repr()
            + "".join(f"\n  {child}" for child in children)
            + ("\n" if children else "")
        )
        return f"{type(self).__name__}({body})"


def to_model_device(model: Any, values: Any) -> Tensor:
    """Return values as a Tensor. Arrays are moved to the device of the model's weights."""
    if isinstance(values, Tensor):
        return values
    weights = model.parameters() if isinstance(model, Module) else iter(())
    return tensor(values, device=next((weight.device for weight in weights), None))


def _unique(pairs: Iterable[tuple[str, T]]) -> Iterator[tuple[str, T]]:
    """Iterate over the pairs (name, value), each value under its first name only."""
    seen = set()
    for name, value in pairs:
        if value not in seen:
            seen.add(value)
            yield name, value


def join_names(prefix: str, name: str) -> str:
    return f"{prefix}.{name}" if prefix else name
