"""Old names of functions, attributes and parameters that keep working, with a warning."""

from __future__ import annotations

import functools
import importlib
import warnings
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable[..., Any])


def moved_names(module: str, targets: Mapping[str, str]) -> Callable[[str], Any]:
    """Return a module-level `__getattr__` that resolves old names and warns about them.

    Parameters
    ----------
    module
        The `__name__` of the module that defines `__getattr__`.
    targets
        For each old name the full path of the object, such as `"package.module.name"`.

    Examples
    --------
    >>> __getattr__ = moved_names(__name__, {"watch": "tinygrad_rnn.insight.capture"})
    """

    def __getattr__(name: str) -> Any:
        if name not in targets:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        _warn(f"{module}.{name}", targets[name])
        owner, _, attribute = targets[name].rpartition(".")
        return getattr(importlib.import_module(owner), attribute)

    return __getattr__


class RenamedAttribute:
    """Old name of an attribute or method of an instance or class.

    Parameters
    ----------
    name
        The new name.
    """

    def __init__(self, name: str) -> None:
        self._name = name

    def __set_name__(self, owner: type, old_name: str) -> None:
        self._old = f"{owner.__name__}.{old_name}"

    def __get__(self, instance: Any, owner: type) -> Any:
        _warn(self._old, self._name)
        return getattr(owner if instance is None else instance, self._name)


def renamed_class_attributes(**new_names: str) -> Any:
    """Return an `__init_subclass__` that accepts overrides under the old names of attributes.

    Parameters
    ----------
    **new_names
        The new name of each attribute, by its old name.

    Examples
    --------
    >>> __init_subclass__ = renamed_class_attributes(figure="metric_name")
    """

    def __init_subclass__(cls: type) -> None:
        for old in new_names.keys() & vars(cls).keys():
            _warn(f"{cls.__name__}.{old}", new_names[old])
            setattr(cls, new_names[old], vars(cls)[old])

    return classmethod(__init_subclass__)


def renamed_parameters(**new_names: str) -> Callable[[F], F]:
    """Return a decorator that accepts the old names of keyword arguments and warns about them.

    Parameters
    ----------
    **new_names
        The new name of each parameter, by its old name.
    """

    def decorate(function: F) -> F:
        @functools.wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            for old in new_names.keys() & kwargs.keys():
                _warn(f"{function.__qualname__}({old}=...)", f"{new_names[old]}=...")
                kwargs[new_names[old]] = kwargs.pop(old)
            return function(*args, **kwargs)

        return wrapper  # type: ignore[return-value]

    return decorate


def _warn(old: str, new: str) -> None:
    warnings.warn(f"{old} is deprecated; use {new}", DeprecationWarning, stacklevel=3)
