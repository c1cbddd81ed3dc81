"""Words round an argument of a task or flow that say how to treat it."""

# ruff: noqa: N801 they read like functions where they stand
from __future__ import annotations

from typing import Any


class Annotation:
    """Base of the words; keeps the value that they stand round."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value

    def unwrap(self) -> Any:
        """Give the value."""
        return self.value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Annotation) and type(other) is type(self) and bool(other.value == self.value)

    __hash__ = None  # type: ignore[assignment] # what it stands round may be anything

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.value!r})"


class unmapped(Annotation):
    """Give every call of a `.map` the whole value: `scale.map([1, 2, 3], by=unmapped([10, 20]))`."""

    __slots__ = ()


class allow_failure(Annotation):
    """Run although the run this comes from did not complete; its exception is passed in place of its value."""

    __slots__ = ()


class quote(Annotation):
    """Pass the value as it is: nothing in it is looked for or resolved, which also spares a walk through large data.

    Returned from a flow, it is what the caller gets: a state within is a value like others.
    """

    __slots__ = ()

    def unquote(self) -> Any:
        """Give the value."""
        return self.value


class opaque(Annotation):
    """Take the run's value if this is a future or state, but look for none within it: spares the walk through it."""

    __slots__ = ()
