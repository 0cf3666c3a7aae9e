"""Modules that contain other modules: as a list, a chain of calls, or a dictionary."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Self, overload

from .module import Module


class ModuleList(Module):
    """List of modules.

    The modules are named "0", "1", .... An index selects a module, and a slice a ModuleList of the
    selected modules.

    Parameters
    ----------
    modules : iterable of Module, default ()
        Initial contents.
    """

    def __init__(self, modules: Iterable[Module] = ()) -> None:
        self.extend(modules)

    def append(self, module: Module) -> Self:
        """Append a module.

        Parameters
        ----------
        module : Module
            The module.

        Returns
        -------
        ModuleList
            This list.
        """
        self._add_module(str(len(self)), module)
        return self

    def extend(self, modules: Iterable[Module]) -> Self:
        """Append several modules.

        Parameters
        ----------
        modules : iterable of Module
            The modules.

        Returns
        -------
        ModuleList
            This list.
        """
        for module in modules:
            self.append(module)
        return self

    def __len__(self) -> int:
        return sum(1 for _ in self.named_children())

    def __iter__(self) -> Iterator[Module]:
        return self.children()

    @overload
    def __getitem__(self, index: int) -> Module: ...
    @overload
    def __getitem__(self, index: slice) -> Self: ...
    def __getitem__(self, index: int | slice) -> Module | Self:
        if isinstance(index, slice):
            return type(self)().extend(list(self)[index])
        return list(self)[index]


class Sequential(ModuleList):
    """Chain of modules: `Sequential(a, b)(x)` is `b(a(x))`.

    Parameters
    ----------
    *modules : Module or mapping of str to Module
        The modules, which are named "0", "1", ..., or one mapping that also names them.

    Examples
    --------
    >>> classifier = nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 3))
    >>> classifier(ag.zeros((5, 8))).shape
    (5, 3)
    """

    def __init__(self, *modules: Any) -> None:
        if len(modules) == 1 and isinstance(modules[0], Mapping):
            for name, module in modules[0].items():
                self._add_module(name, module)
        else:
            self.extend(modules)

    def forward(self, input: Any) -> Any:
        """Call the modules in order, each with the output of the previous one.

        Parameters
        ----------
        input : object
            Argument of the first module.

        Returns
        -------
        object
            Output of the last module.
        """
        for module in self:
            input = module(input)
        return input


class ModuleDict(Module):
    """Dictionary of modules.

    Iteration, `len`, `in`, indexing, assignment and deletion work as for a dict. A name must not be
    the name of another attribute of the module.

    Parameters
    ----------
    modules : mapping of str to Module, optional
        Initial contents.
    """

    def __init__(self, modules: Mapping[str, Module] | None = None) -> None:
        self.update(modules or {})

    def update(self, modules: Mapping[str, Module]) -> None:
        """Add or replace modules.

        Parameters
        ----------
        modules : mapping of str to Module
            The modules by name.
        """
        for name, module in modules.items():
            self[name] = module

    def __setitem__(self, name: str, module: Module) -> None:
        if name in self:
            delattr(self, name)
        self._add_module(name, module)

    def __getitem__(self, name: str) -> Module:
        return dict(self.items())[name]

    def __delitem__(self, name: str) -> None:
        self.pop(name)

    def pop(self, name: str) -> Module:
        """Remove and return a module.

        Parameters
        ----------
        name : str
            Name of the module.

        Returns
        -------
        Module
        """
        module = self[name]
        delattr(self, name)
        return module

    def __contains__(self, name: object) -> bool:
        return name in self.keys()

    def __len__(self) -> int:
        return len(self.keys())

    def __iter__(self) -> Iterator[str]:
        return iter(self.keys())

    def keys(self) -> list[str]:
        """Return the names.

        Returns
        -------
        list of str
        """
        return [name for name, _ in self.named_children()]

    def values(self) -> list[Module]:
        """Return the modules.

        Returns
        -------
        list of Module
        """
        return list(self.children())

    def items(self) -> list[tuple[str, Module]]:
        """Return the names and modules.

        Returns
        -------
        list of (str, Module)
        """
        return list(self.named_children())
