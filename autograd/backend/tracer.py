"""The protocol of arrays without values, on which operations are recorded instead of computed."""

from __future__ import annotations

from typing import Any, ClassVar


class TracerArray:
    """Base class of arrays that stand for values not yet known, such as the compiler's tracers.

    A tracer has the `shape` and `dtype` of the array that it represents. An operation whose
    arguments include a tracer calls `apply` instead of its forward function.

    Attributes
    ----------
    backend : Backend
        The backend of the arrays that the tracers of this class represent.
    """

    __slots__ = ()
    backend: ClassVar[Any]

    @staticmethod
    def apply(primitive: Any, *arrays: Any, **static: Any) -> Any:
        """Record one application of a primitive, and return its result: one or several tracers."""
        raise NotImplementedError

    def constant(self, array: Any) -> Any:
        """Return an array, which the caller may change, as a constant for VJP rules."""
        raise NotImplementedError

    def __array_function__(self, *arguments: Any, **options: Any) -> Any:
        """Make NumPy's functions raise TypeError, so that operations call `apply`."""
        return NotImplemented
