"""Operations on all parameters and buffers of a module: save, load, freeze, move."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, Self

import numpy as np

from autograd import Tensor, backend, no_grad, zeros_like

from .parameter import Parameter


class IncompatibleKeys(NamedTuple):
    """Names in which a state and a module differ."""

    missing_keys: list[str]
    unexpected_keys: list[str]


class ModuleState:
    """Base class of `Module`, which defines how its parameters and buffers are enumerated."""

    def modules(self) -> Iterator[Any]:
        raise NotImplementedError

    def parameters(self) -> Iterator[Parameter]:
        raise NotImplementedError

    def buffers(self) -> Iterator[Tensor]:
        raise NotImplementedError

    def _named_state(self) -> Iterator[tuple[str, Tensor]]:
        raise NotImplementedError

    def state_dict(self) -> dict[str, np.ndarray]:
        """Return host copies of all parameters and persistent buffers.

        Returns
        -------
        dict of str to ndarray
            Arrays by name. A shared tensor appears under each of its names.
        """
        return {name: value.numpy() for name, value in self._named_state()}

    def load_state_dict(self, state: Mapping[str, Any], strict: bool = True) -> IncompatibleKeys:
        """Write arrays into the parameters and persistent buffers.

        Values are converted to the dtype and device of each tensor.

        Parameters
        ----------
        state : mapping of str to array_like
            Arrays by name, as returned by `state_dict()`.
        strict : bool, default True
            If False, ignore unexpected names and leave tensors unchanged whose names are missing.

        Returns
        -------
        IncompatibleKeys
            Named tuple of `missing_keys` and `unexpected_keys`.

        Raises
        ------
        ValueError
            If shapes differ, an array is complex, or, with `strict`, names differ. The message
            lists all differences. The module is unchanged.
        """
        tensors = dict(self._named_state())
        arrays = {name: np.asarray(value) for name, value in state.items()}
        missing = [name for name in tensors if name not in arrays]
        unexpected = [name for name in arrays if name not in tensors]
        errors = _state_errors(tensors, arrays)
        if strict:
            errors += [f"missing: {name}" for name in missing]
            errors += [f"unexpected: {name}" for name in unexpected]
        if errors:
            raise ValueError(
                f"cannot load this state into {type(self).__name__}: {'; '.join(errors)}"
            )
        converted = {
            name: arrays[name].astype(value.dtype)
            for name, value in tensors.items()
            if name in arrays
        }
        with no_grad():
            for name, array in converted.items():
                tensors[name][...] = backend.of_array(tensors[name].data).asarray(array)
        return IncompatibleKeys(missing, unexpected)

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Reset the gradients of all parameters.

        Parameters
        ----------
        set_to_none : bool, default True
            If False, replace existing gradients by zeros instead of None.
        """
        for module in self.modules():
            for _, value in module._direct_parameters():
                value.grad = None if set_to_none or value.grad is None else zeros_like(value)

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """Set `requires_grad` of all parameters.

        Parameters
        ----------
        requires_grad : bool, default True
            False freezes the module.

        Returns
        -------
        Module
            This module.
        """
        for parameter in self.parameters():
            parameter.requires_grad_(requires_grad)
        return self

    def to(self, *targets: Any, device: str | None = None, dtype: Any = None) -> Self:
        """Move all parameters and buffers to a device, a floating-point dtype, or both, in place.

        Gradients are dropped. Integer buffers keep their dtype.

        Parameters
        ----------
        *targets : str or dtype
            A device such as "cuda", a dtype such as "float64", or both.
        device : str, optional
            Device, by keyword.
        dtype : dtype, optional
            Floating-point dtype, by keyword.

        Returns
        -------
        Module
            This module.

        Raises
        ------
        TypeError
            If there is neither a device nor a dtype, or if the dtype is not a floating-point dtype.
        """
        all_targets = [target for target in (*targets, device, dtype) if target is not None]
        if not all_targets:
            raise TypeError("to() requires a device, a dtype, or both")
        for parameter in self.parameters():
            parameter.grad = None
        for value in (*self.parameters(), *self.buffers()):
            for target in all_targets:
                moved = value.detach().to(target)
                if value.dtype.kind == "f" != moved.dtype.kind:
                    raise TypeError(f"to() accepts float16, float32 or float64, got {moved.dtype}")
                if value.dtype.kind == "f" or moved.dtype == value.dtype:
                    value.data = moved.data
        return self

    def float(self) -> Self:
        """Convert to single precision: `to("float32")`.

        Returns
        -------
        Module
            This module.
        """
        return self.to("float32")

    def double(self) -> Self:
        """Convert to double precision: `to("float64")`.

        Returns
        -------
        Module
            This module.
        """
        return self.to("float64")

    def half(self) -> Self:
        """Convert to half precision: `to("float16")`.

        Returns
        -------
        Module
            This module.
        """
        return self.to("float16")


def _state_errors(tensors: dict[str, Tensor], arrays: dict[str, np.ndarray]) -> list[str]:
    """Return a message for each array that cannot be written into its tensor."""
    errors = []
    for name, array in arrays.items():
        if array.dtype.kind == "c":
            errors.append(f"{name}: complex numbers")
        if name in tensors and tensors[name].shape != array.shape:
            errors.append(f"{name}: expected shape {tensors[name].shape}, got {array.shape}")
    return errors
