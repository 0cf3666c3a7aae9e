"""Calls of modules and the hooks that run before and after them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Self


class RemovableHandle:
    """Handle that removes a hook: by `remove()`, or at the end of a `with` block."""

    def __init__(self, hooks: dict[object, Callable[..., Any]], hook: Callable[..., Any]) -> None:
        self._hooks, self._key = hooks, object()
        hooks[self._key] = hook

    def remove(self) -> None:
        """Remove the hook. Later calls have no effect."""
        self._hooks.pop(self._key, None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: Any) -> None:
        self.remove()


class HookedCallable:
    """Base class of `Module`: calling it runs `forward` and the registered hooks."""

    _forward_pre_hooks: Mapping[object, Callable[..., Any]] = MappingProxyType({})
    _forward_hooks: Mapping[object, Callable[..., Any]] = MappingProxyType({})

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Compute the output. Subclasses define this method; users call the module itself.

        Parameters
        ----------
        *args, **kwargs
            The arguments of the call.

        Returns
        -------
        object
            The output.
        """
        raise NotImplementedError(f"{type(self).__name__} does not define forward()")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        for hook in tuple(self._forward_pre_hooks.values()):
            new_args = hook(self, args)
            if new_args is not None:
                args = new_args if isinstance(new_args, tuple) else (new_args,)
        output = self.forward(*args, **kwargs)
        for hook in tuple(self._forward_hooks.values()):
            new_output = hook(self, args, output)
            if new_output is not None:
                output = new_output
        return output

    def register_forward_pre_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Register a function to be called before each `forward`.

        Parameters
        ----------
        hook : callable
            `hook(module, args)`. A result other than None replaces the positional arguments.

        Returns
        -------
        RemovableHandle
            Handle that removes the hook.
        """
        return RemovableHandle(vars(self).setdefault("_forward_pre_hooks", {}), hook)

    def register_forward_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Register a function to be called after each `forward`.

        Parameters
        ----------
        hook : callable
            `hook(module, args, output)`. A result other than None replaces the output.

        Returns
        -------
        RemovableHandle
            Handle that removes the hook.
        """
        return RemovableHandle(vars(self).setdefault("_forward_hooks", {}), hook)
