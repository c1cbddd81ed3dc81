"""Builds the parser from the table of verbs."""

from __future__ import annotations

import argparse
import difflib
import shutil
import sys
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any, Final, NoReturn

from towpath import __version__
from towpath.cli.exits import Exit
from towpath.cli.verbs import EXAMPLES, GROUPS, TARGETS, VERBS, group_examples, verbs_of
from towpath.cli.words import Example, Verb

PROGRAM: Final = "towpath"
_WIDEST: Final = 100
_USAGE: Final = "%(prog)s VERB [argument …]"


def build() -> argparse.ArgumentParser:
    """Build the parser; what it parses has the verb in `verb`, or None if only a group was named."""
    grouped = {
        group.word: f"{group.does}: {', '.join(verb.words[-1] for verb in verbs_of(group.word))}" for group in GROUPS
    }
    single = {verb.words[0]: verb.does for verb in VERBS if len(verb.words) == 1}
    parser = _Parser(
        prog=PROGRAM,
        description=_filled("Towpath runs Python flows, here and on Kubernetes.") + _listed(grouped | single),
        usage=_USAGE,
        epilog=_epilog(EXAMPLES, TARGETS, _exit_codes()),
    )
    parser.add_argument("--version", action="version", version=f"Towpath {__version__}", help="print the version")
    below = _subparsers(parser)
    inner = {}
    for group in GROUPS:
        made = below.add_parser(
            group.word,
            description=_filled(_sentence(group.does))
            + _listed({verb.words[-1]: verb.does for verb in verbs_of(group.word)}),
            usage=_USAGE,
            epilog=_epilog(group_examples(group.word)),
        )
        made.set_defaults(verb=None, parser=made)
        if group.default:
            _takes(made, next(verb for verb in verbs_of(group.word) if verb.words[-1] == group.default))
        inner[group.word] = _subparsers(made)
    for verb in VERBS:
        _add(inner[verb.words[0]] if len(verb.words) > 1 else below, verb)
    parser.set_defaults(verb=None, parser=parser)
    return parser


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Parse what was typed; ends the process with a sentence where it is wrong."""
    asked, unknown = build().parse_known_args(arguments)
    if unknown:
        asked.parser.error(f"it takes no {unknown[0]!r}")
    return asked


class _Formatter(argparse.RawDescriptionHelpFormatter):
    """Leaves examples as they are, and room for what arguments mean."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=30, width=_width())


class _Parser(argparse.ArgumentParser):
    """Refuses in a sentence, with what was probably meant."""

    def __init__(self, **options: Any) -> None:
        super().__init__(formatter_class=_Formatter, allow_abbrev=False, add_help=False, **options)
        self._positionals.title = "arguments"
        self.add_argument("-h", "--help", action="help", help="show this")

    def error(self, message: str) -> NoReturn:
        """End the process with the code for wrong usage."""
        end = "" if message.endswith("?") else "."
        self.exit(Exit.USAGE, f"{self.prog}: {message}{end} See `{self.prog} --help`.\n")

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is None or value in action.choices:
            return
        known = [str(choice) for choice in action.choices]
        near = difflib.get_close_matches(str(value), known, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(known)}"
        place = None if isinstance(action, argparse._SubParsersAction) else action  # noqa: SLF001 it has no other name
        raise argparse.ArgumentError(place, f"{value!r} is {'no verb' if place is None else 'unknown'}: {hint}")


def _subparsers(parser: argparse.ArgumentParser) -> argparse._SubParsersAction[Any]:
    return parser.add_subparsers(metavar="VERB", help=argparse.SUPPRESS, prog=parser.prog)  # `_listed` lists them


def _add(place: argparse._SubParsersAction[Any], verb: Verb) -> None:
    made = place.add_parser(
        verb.words[-1],
        description=_filled(_sentence(verb.does), verb.more),
        epilog=_epilog(verb.examples),
    )
    _takes(made, verb)


def _takes(made: argparse.ArgumentParser, verb: Verb) -> None:
    made.set_defaults(verb=verb, parser=made)
    for argument in verb.arguments:
        made.add_argument(*argument.flags, help=argument.help, **argument.options)


def _listed(verbs: Mapping[str, str]) -> str:
    width = max(map(len, verbs))
    lines = [f"  {word:<{width}}  {does}" for word, does in verbs.items()]
    return "\n\nverbs:\n" + "\n".join(lines)


def _epilog(examples: Sequence[Example], *paragraphs: str) -> str:
    lines = ["examples:"]
    for example in examples:
        lines += [f"  {example.command}", f"      {example.does}"]
    return "\n".join(lines + [text for paragraph in paragraphs for text in ("", _laid_out(paragraph))])


def _exit_codes() -> str:
    return "\n".join(["exit codes:", *(f"  {code.value:<4} {code.meaning}" for code in Exit)])


def _laid_out(paragraph: str) -> str:
    return paragraph if "\n" in paragraph else textwrap.fill(paragraph, _width())


def _filled(*paragraphs: str) -> str:
    return "\n\n".join(textwrap.fill(paragraph, _width()) for paragraph in paragraphs if paragraph)


def _sentence(words: str) -> str:
    return f"{words[0].upper()}{words[1:]}."


def _width() -> int:
    return min(_WIDEST, shutil.get_terminal_size().columns if sys.stdout.isatty() else _WIDEST)
