"""Modules: objects whose attributes are parameters and other modules.

There is no registry. The parameters of a module are those of its attributes that are Parameters,
and the parameters of those that are Modules, in the order in which they were assigned. Buffers are
attributes too; only their names are noted, so that another tensor can take a buffer's place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple, Self, TypeVar

import numpy as np

from autograd import Tensor, backend, no_grad, tensor, zeros, zeros_like

T = TypeVar("T")


class Parameter(Tensor):
    """A tensor that a module learns, or, without `requires_grad`, keeps as it is."""

    __slots__ = ()

    def __init__(self, data: Any, requires_grad: bool = True) -> None:
        super().__init__((data if isinstance(data, Tensor) else tensor(data)).data)
        self.requires_grad_(requires_grad)


def parameter(*shape: int, dtype: Any = None, device: str | None = None) -> Parameter:
    """A parameter of zeros, to be initialised."""
    return Parameter(zeros(shape, dtype=dtype, device=device))


def check_sizes(**sizes: Any) -> None:
    """Raise TypeError for a size that is no integer, ValueError for one below 0, by its name."""
    for name, size in sizes.items():
        if not isinstance(size, (int, np.integer)) or isinstance(size, bool):
            raise TypeError(f"{name} must be an integer, not {size!r}")
        if size < 0:
            raise ValueError(f"{name} must not be negative: {size}")


class IncompatibleKeys(NamedTuple):
    """The names in which a state and a module differ."""

    missing_keys: list[str]
    unexpected_keys: list[str]


class RemovableHandle:
    """What registering a hook returns: `remove()` takes the hook away, and so does the end of a
    `with` block.
    """

    def __init__(self, hooks: dict[object, Callable[..., Any]], hook: Callable[..., Any]) -> None:
        self._hooks, self._key = hooks, object()
        hooks[self._key] = hook

    def remove(self) -> None:
        self._hooks.pop(self._key, None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: Any) -> None:
        self.remove()


class Module:
    """A part of a network: assign parameters and modules to attributes, and write `forward`.

    Modules can be copied (`copy.deepcopy`) and pickled; copies have no gradients.
    """

    training = True
    _buffers: Mapping[str, bool] = MappingProxyType({})  # names, and whether each is saved
    _forward_pre_hooks: Mapping[object, Callable[..., Any]] = MappingProxyType({})
    _forward_hooks: Mapping[object, Callable[..., Any]] = MappingProxyType({})

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError(f"{type(self).__name__} has no forward()")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        for hook in tuple(self._forward_pre_hooks.values()):
            changed = hook(self, args)
            if changed is not None:
                args = changed if isinstance(changed, tuple) else (changed,)
        output = self.forward(*args, **kwargs)
        for hook in tuple(self._forward_hooks.values()):
            changed = hook(self, args, output)
            if changed is not None:
                output = changed
        return output

    def register_forward_pre_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call `hook(module, args)` before each `forward`; what it returns, if not None, takes the
        place of the positional arguments.
        """
        return RemovableHandle(vars(self).setdefault("_forward_pre_hooks", {}), hook)

    def register_forward_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call `hook(module, args, output)` after each `forward`; what it returns, if not None,
        takes the place of the output.
        """
        return RemovableHandle(vars(self).setdefault("_forward_hooks", {}), hook)

    # --- what is in it ----------------------------------------------------------------------------

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """The modules among the attributes."""
        for name, value in vars(self).items():
            if isinstance(value, Module):
                yield name, value

    def children(self) -> Iterator[Module]:
        for _, child in self.named_children():
            yield child

    def named_modules(self, prefix: str = "") -> Iterator[tuple[str, Module]]:
        """This module ("" or `prefix`) and all below it; one that is shared appears once."""
        below = (
            pair
            for name, child in self.named_children()
            for pair in child.named_modules(join_names(prefix, name))
        )
        yield prefix, self
        yield from _unique(below)

    def modules(self) -> Iterator[Module]:
        for _, module in self.named_modules():
            yield module

    def _direct_parameters(self) -> Iterator[tuple[str, Parameter]]:
        """The parameters among the attributes."""
        for name, value in vars(self).items():
            if isinstance(value, Parameter):
                yield name, value

    def _direct_buffers(self, saved: bool = False) -> Iterator[tuple[str, Tensor]]:
        """The buffers among the attributes; with `saved`, only those that are part of the state."""
        for name, persistent in self._buffers.items():
            value = getattr(self, name, None)
            if value is None or (saved and not persistent):
                continue
            if not isinstance(value, Tensor):
                raise TypeError(f"buffer {name!r} must be a Tensor or None, not {value!r}")
            yield name, value

    def _direct_tensors(self, saved: bool = False) -> Iterator[tuple[str, Tensor]]:
        yield from self._direct_parameters()
        yield from self._direct_buffers(saved)

    def _named_members(
        self, own: Callable[[Module], Iterable[tuple[str, T]]], prefix: str = ""
    ) -> Iterator[tuple[str, T]]:
        """What `own` gives for this module and all below it, with full names. A module that has
        names of its own for what is below it overrides this.
        """
        for name, value in own(self):
            yield join_names(prefix, name), value
        for name, child in self.named_children():
            yield from child._named_members(own, join_names(prefix, name))

    def named_parameters(self) -> Iterator[tuple[str, Parameter]]:
        """All parameters with their names, "layer.weight"; one that is shared appears once."""
        return _unique(self._named_members(lambda module: module._direct_parameters()))

    def parameters(self) -> Iterator[Parameter]:
        for _, value in self.named_parameters():
            yield value

    def named_buffers(self) -> Iterator[tuple[str, Tensor]]:
        """All buffers with their names; one that is shared appears once."""
        return _unique(self._named_members(lambda module: module._direct_buffers()))

    def buffers(self) -> Iterator[Tensor]:
        for _, value in self.named_buffers():
            yield value

    def register_buffer(self, name: str, tensor: Tensor | None, persistent: bool = True) -> None:
        """Make `tensor` an attribute that belongs to the state but is not learned: it moves with
        the module and, unless `persistent` is False, is saved with it.

        Whatever tensor is assigned to the attribute later is the buffer then. Raises TypeError for
        what is no Tensor, KeyError for a name that cannot be or is taken.
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
        """Raise KeyError if `name` cannot be a further attribute with a place in the state,
        TypeError if it is no name at all.
        """
        if not isinstance(name, str):
            raise TypeError(f"a name is a string, not {name!r}")
        if not name or "." in name:
            raise KeyError(f"a name can't be empty or contain '.': {name!r}")
        if hasattr(self, name):
            raise KeyError(f"attribute {name!r} already exists")

    def _add(self, name: str, module: Module) -> None:
        """Make `module` an attribute by a name that no code has chosen."""
        if not isinstance(module, Module):
            raise TypeError(f"{type(module).__name__} is not a Module, at {name!r}")
        self._check_name(name)
        setattr(self, name, module)

    # --- state ------------------------------------------------------------------------------------

    def _state(self) -> Iterator[tuple[str, Tensor]]:
        """Parameters and saved buffers, shared ones under each of their names."""
        return self._named_members(lambda module: module._direct_tensors(saved=True))

    def state_dict(self) -> dict[str, np.ndarray]:
        """Copies of all parameters and saved buffers on the host, by name."""
        return {name: value.numpy() for name, value in self._state()}

    def load_state_dict(self, state: Mapping[str, Any], strict: bool = True) -> IncompatibleKeys:
        """Write arrays (NumPy's, or anything that `np.asarray` takes) into all parameters and
        buffers by name.

        Raises ValueError that lists everything missing, unexpected or of another shape; nothing is
        changed then. With `strict=False`, what is missing keeps its value and what is unexpected is
        left; their names are returned.
        """
        own = dict(self._state())
        arrays = {name: np.asarray(value) for name, value in state.items()}
        missing = [name for name in own if name not in arrays]
        unexpected = [name for name in arrays if name not in own]
        wrong = [
            f"{name}: complex numbers" for name, array in arrays.items() if array.dtype.kind == "c"
        ]
        if strict:
            wrong += [f"missing: {name}" for name in missing]
            wrong += [f"unexpected: {name}" for name in unexpected]
        wrong += [
            f"{name}: expected shape {own[name].shape}, got {array.shape}"
            for name, array in arrays.items()
            if name in own and own[name].shape != array.shape
        ]
        if wrong:
            raise ValueError(
                f"these parameters do not fit {type(self).__name__}: {'; '.join(wrong)}"
            )
        cast = {name: arrays[name].astype(own[name].dtype) for name in own if name in arrays}
        with no_grad():
            for name, array in cast.items():
                own[name][...] = backend.of_array(own[name].data).asarray(array)
        return IncompatibleKeys(missing, unexpected)

    # --- modes and places -------------------------------------------------------------------------

    def train(self, mode: bool = True) -> Self:
        """Switch what differs in training (dropout) on or off, here and below."""
        for module in self.modules():
            module.training = mode
        return self

    def eval(self) -> Self:
        return self.train(False)

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Drop all gradients, or, without `set_to_none`, make those that there are zeros."""
        for value in self.parameters():
            value.grad = None if set_to_none or value.grad is None else zeros_like(value)

    def apply(self, fn: Callable[[Module], Any]) -> Self:
        """Call `fn` on every module, children before their parents and in their order."""
        for child in self.children():
            child.apply(fn)
        fn(self)
        return self

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """Whether the parameters are learned (False: frozen), here and below."""
        for parameter in self.parameters():
            parameter.requires_grad_(requires_grad)
        return self

    def to(self, *targets: Any, device: str | None = None, dtype: Any = None) -> Self:
        """Move all parameters and buffers to a device ("cuda"), a floating dtype, or both, in
        place; gradients are dropped, and integer buffers keep their dtype. TypeError for other
        dtypes.
        """
        wanted = [target for target in (*targets, device, dtype) if target is not None]
        if not wanted:
            raise TypeError("to() wants a device, a dtype, or both")
        for parameter in self.parameters():
            parameter.grad = None
        for value in (*self.parameters(), *self.buffers()):
            for target in wanted:
                moved = value.detach().to(target)
                if value.dtype.kind == "f" != moved.dtype.kind:
                    raise TypeError(f"to() wants float16, float32 or float64, not {moved.dtype}")
                if value.dtype.kind == "f" or moved.dtype == value.dtype:
                    value.data = moved.data
        return self

    def float(self) -> Self:
        """`to("float32")`."""
        return self.to("float32")

    def double(self) -> Self:
        """`to("float64")`."""
        return self.to("float64")

    def half(self) -> Self:
        """`to("float16")`."""
        return self.to("float16")

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


def _unique(pairs: Iterable[tuple[str, T]]) -> Iterator[tuple[str, T]]:
    """Pairs of a name and a thing, each thing under the first of its names only."""
    seen = set()
    for name, value in pairs:
        if value not in seen:
            seen.add(value)
            yield name, value


def join_names(prefix: str, name: str) -> str:
    return f"{prefix}.{name}" if prefix else name
