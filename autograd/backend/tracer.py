"""The protocol of arrays whose operations are logged by a tracer."""

from __future__ import annotations

from typing import Any, ClassVar


class TracerArray:
    """Base class of arrays that log the operations applied to them, such as the compiler's.

    A tracer array has the `shape` and `dtype` of the array that it represents. An operation whose
    arguments include one calls `apply` instead of its forward function.

    Attributes
    ----------
    backend : Backend
        The backend of the arrays that the tracer arrays of this class represent.
    """

    __slots__ = ()
    backend: ClassVar[Any]

    @staticmethod
    def apply(primitive: Any, *arrays: Any, **static: Any) -> Any:
        """Apply a primitive, and return its result: one or several tracer arrays or arrays."""
        raise NotImplementedError

    def constant(self, array: Any) -> Any:
        """Return an array, which the caller may change, as a constant for VJP rules."""
        raise NotImplementedError

    def observe(self, tensor: Any, reason: str) -> None:
        """Called before a use of the Tensor of this array that cannot be logged.

        The Tensor becomes an ordinary one, with a real array and the node that it has without a
        tracer.
        """
        raise NotImplementedError

    def is_recorded(self, node: Any) -> bool:
        """True if a Tensor of this array with a node would have one without a tracer, too."""
        raise NotImplementedError

    def on_host(self) -> Any:
        """Return the real array, for a use of its values that cannot be logged."""
        raise NotImplementedError

    def __array_function__(self, *arguments: Any, **options: Any) -> Any:
        """Make NumPy's functions raise TypeError, so that operations call `apply`."""
        return NotImplemented
