"""Writes the reference page of the command line from its table: `python -m towpath.cli.reference docs/reference`."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from towpath.cli.exits import Exit
from towpath.cli.parser import PROGRAM
from towpath.cli.verbs import EXAMPLES, GROUPS, TARGETS, VERBS, verbs_of
from towpath.cli.words import Argument, Example, Verb

FILE: Final = "cli.md"
_HEAD: Final = """\
<!-- Made from the table in sdk/towpath/cli/verbs.py by `python -m towpath.cli.reference`; edit that. -->
# The command line

`towpath` runs flows, and shows and steers runs: those of this machine and those of a cluster, with the same verbs. It
comes with `pip install towpath`; for clusters, `pip install 'towpath[cluster]'`. Every verb has `--help` with examples.
"""
_JSON: Final = """\
## For programs

`--json` prints JSON: what was asked for on standard output, and nothing else there. Lists are arrays, logs and
`watch` a JSON object a line. Times are RFC 3339, durations seconds, what is not known is `null`. Notes and errors go to
standard error, an error in one sentence.
"""


def page() -> str:
    """Write the page."""
    return "\n".join(_lines()) + "\n"


def main(arguments: Sequence[str]) -> int:
    """Write the page into a folder."""
    (folder,) = arguments
    (Path(folder) / FILE).write_text(page(), encoding="utf-8")
    return 0


def _lines() -> Iterator[str]:
    yield from (_HEAD, *_examples(EXAMPLES), "## Which runs", "", TARGETS, "")
    yield "`deploy` is about clusters only: it takes `-n` and `--context`, and asks no further."
    yield from ("", _JSON, "## Exit codes", "", "| code | meaning |", "| --- | --- |")
    yield from (f"| {code.value} | {code.meaning} |" for code in Exit)
    yield from ("", "## Verbs", "", "| verb | does |", "| --- | --- |")
    yield from (f"| [`{_typed(verb)}`](#{_anchor(verb)}) | {verb.does} |" for verb in _ordered())
    for verb in _ordered():
        yield from _section(verb)


def _ordered() -> Iterator[Verb]:
    grouped = {group.word for group in GROUPS}
    yield from (verb for verb in VERBS if verb.words == ("run",))
    for group in GROUPS:
        yield from verbs_of(group.word)
    yield from (verb for verb in VERBS if verb.words != ("run",) and verb.words[0] not in grouped)


def _section(verb: Verb) -> Iterator[str]:
    does = f"{verb.does[0].upper()}{verb.does[1:]}."
    yield from ("", f"### {_typed(verb)}", "", f"{does} {verb.more}".rstrip(), "")
    yield from _examples(verb.examples)
    yield from ("| argument | meaning |", "| --- | --- |")
    yield from (f"| `{_cell(argument.shown)}` | {_cell(_meaning(argument))} |" for argument in verb.arguments)


def _examples(examples: Sequence[Example]) -> Iterator[str]:
    width = max(len(example.command) for example in examples)
    yield "```"
    yield from (f"{example.command:<{width}}   # {example.does}" for example in examples)
    yield from ("```", "")


def _meaning(argument: Argument) -> str:
    choices = argument.options.get("choices")
    return f"{argument.help}: {', '.join(choices)}" if choices else argument.help


def _typed(verb: Verb) -> str:
    return " ".join((PROGRAM, *verb.words))


def _anchor(verb: Verb) -> str:
    return "-".join((PROGRAM, *verb.words))


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
