"""What the table of verbs is made of."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Argument:
    """An argument of a verb."""

    flags: tuple[str, ...]
    """`-p`, `--param`; or the name of a positional argument."""
    help: str
    options: Mapping[str, Any] = field(default_factory=dict)
    """What argparse's `add_argument` takes beside these."""
    completes: str = ""
    """What a shell offers for its value: `file`, words with blanks between them, or nothing."""

    @property
    def is_positional(self) -> bool:
        """Whether it is known by its place."""
        return not self.flags[0].startswith("-")

    @property
    def takes_value(self) -> bool:
        """Whether something follows the flag."""
        return "action" not in self.options or self.options["action"] == "append"

    @property
    def shown(self) -> str:
        """The argument as help shows it: its flags, and what stands for its value."""
        meta = self.options.get("metavar") or self.flags[-1].lstrip("-").upper()
        if self.is_positional:
            return {"*": f"[{meta} …]", "+": f"{meta} …", "?": f"[{meta}]"}.get(self.options.get("nargs", ""), meta)
        return ", ".join(self.flags) + (f" {meta}" if self.takes_value else "")


@dataclass(frozen=True, slots=True)
class Example:
    """A command as it is typed, and what it does."""

    command: str
    does: str


@dataclass(frozen=True, slots=True)
class Verb:
    """Something that can be done."""

    words: tuple[str, ...]
    """As typed: `("runs", "ls")`."""
    does: str
    """In a line, beginning with a verb."""
    run: str
    """Module below `towpath.cli`, and its function: `runs:ls`."""
    arguments: tuple[Argument, ...] = ()
    examples: tuple[Example, ...] = ()
    more: str = ""
    """What else there is to know."""


@dataclass(frozen=True, slots=True)
class Group:
    """Verbs about one kind of thing."""

    word: str
    does: str
    default: str = ""
    """The verb of it that is meant where none is typed; none by default."""


def flag(*flags: str, help: str) -> Argument:
    """Make an argument that is given, or not."""
    return Argument(flags, help, {"action": "store_true"})


def value(
    *flags: str,
    help: str,
    metavar: str,
    default: Any = None,
    type: Callable[[str], Any] | None = None,
    choices: tuple[str, ...] | None = None,
    completes: str = "",
) -> Argument:
    """Make an argument that something follows."""
    given = {"metavar": metavar, "default": default, "type": type, "choices": choices}
    return Argument(flags, help, {key: value for key, value in given.items() if value is not None}, completes)


def many(*flags: str, help: str, metavar: str, completes: str = "") -> Argument:
    """Make an argument that something follows, and that may be given several times."""
    return Argument(flags, help, {"metavar": metavar, "action": "append", "default": []}, completes)


def place(
    name: str, help: str, *, nargs: str | None = None, metavar: str | None = None, completes: str = ""
) -> Argument:
    """Make an argument that is known by its place."""
    options = {"metavar": metavar or name.upper()} | ({"nargs": nargs} if nargs else {})
    return Argument((name,), help, options, completes)
