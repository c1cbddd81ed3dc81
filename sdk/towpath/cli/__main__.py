"""`towpath`: finds the verb's function, calls it, and turns what it raises into a sentence and an exit code."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import TYPE_CHECKING

from towpath.cli.exits import ENV_DEBUG, Exit, exit_of
from towpath.errors import TowpathError

if TYPE_CHECKING:
    import argparse

    from towpath.cli.words import Verb


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line says; gives the exit code.

    Args:
        arguments: what is typed after `towpath`; the process's own by default.
    """
    from towpath.cli.parser import parse

    try:
        asked = parse(arguments)
    except SystemExit as end:  # help, a version, or wrong usage: said already
        return int(end.code or 0)
    if asked.verb is None:
        asked.parser.print_help()
        return Exit.USAGE
    return _call(asked.verb, asked)


def _call(verb: Verb, asked: argparse.Namespace) -> int:
    try:
        code = _function(verb)(asked)
        sys.stdout.flush()
        return code
    except TowpathError as error:
        if os.environ.get(ENV_DEBUG):
            raise
        _say(str(error))
        return exit_of(error)
    except KeyboardInterrupt:
        return Exit.INTERRUPTED
    except BrokenPipeError:  # whoever read it, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # so that the interpreter's last flush is quiet
        return Exit.OK
    except Exception as error:
        if os.environ.get(ENV_DEBUG):
            raise
        _say(f"{type(error).__name__}: {error}. This is a mistake in Towpath; {ENV_DEBUG}=1 shows where it happened.")
        return Exit.BUG


def _function(verb: Verb) -> Callable[[argparse.Namespace], int]:
    module, name = verb.run.split(":")
    function: Callable[[argparse.Namespace], int] = getattr(import_module(f"towpath.cli.{module}"), name)
    return function


def _say(sentence: str) -> None:
    sys.stderr.write(f"towpath: {sentence}\n")


if __name__ == "__main__":
    sys.exit(main())
