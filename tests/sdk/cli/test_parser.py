"""What can be typed, what help says, and how mistakes are answered."""

from __future__ import annotations

import argparse
import shlex
import subprocess
import sys
from importlib import import_module

import pytest

from towpath.cli.__main__ import main
from towpath.cli.exits import Exit
from towpath.cli.parser import build, parse
from towpath.cli.verbs import EXAMPLES, GROUPS, VERBS, verbs_of
from towpath.cli.words import Example, Group, Verb

ALL_EXAMPLES = [*EXAMPLES, *(example for verb in VERBS for example in verb.examples)]


def typed(verb: Verb) -> str:
    """Name a verb as it is typed."""
    return " ".join(verb.words)


def commands(example: Example) -> list[list[str]]:
    """Give the arguments of each `towpath` in an example, as a shell would."""
    lexer = shlex.shlex(
        example.command.replace('"$(', "(").replace(')"', ")").replace("2>", ">"),
        posix=True,
        punctuation_chars="();&|>",
    )
    lexer.whitespace_split = True
    found: list[list[str]] = []
    inside = False
    for word in lexer:
        if set(word) <= set("();&|>"):
            inside = False
        elif word == "towpath":
            found.append([])
            inside = True
        elif inside:
            found[-1].append(word)
    return found


@pytest.mark.parametrize("example", ALL_EXAMPLES, ids=lambda example: example.command)
def test_examples_can_be_typed_as_they_stand(example: Example) -> None:
    """Every example in help and reference is a command line that the parser takes."""
    assert commands(example)
    for arguments in commands(example):
        assert parse([argument.replace("$run", "etl-1") for argument in arguments]).verb is not None


@pytest.mark.parametrize("verb", VERBS, ids=typed)
def test_every_verb_has_a_function_examples_and_its_own_help(verb: Verb, capsys: pytest.CaptureFixture[str]) -> None:
    """Each --help says what the verb does, what each argument means, and ends with examples of this very verb."""
    module, function = verb.run.split(":")
    assert callable(getattr(import_module(f"towpath.cli.{module}"), function))
    assert main([*verb.words, "--help"]) == Exit.OK
    shown = " ".join(capsys.readouterr().out.split())
    for argument in verb.arguments:
        assert " ".join(argument.help.split()) in shown
    assert verb.examples
    for example in verb.examples:
        assert f"towpath {typed(verb)}" in example.command
        assert example.command in shown


@pytest.mark.parametrize("group", GROUPS, ids=lambda group: group.word)
def test_a_group_lists_its_verbs(group: Group, capsys: pytest.CaptureFixture[str]) -> None:
    """A group without a verb shows its help, and counts as wrong usage, unless one verb is meant where none is typed."""
    assert main([group.word, *(["--help"] if group.default else [])]) == (Exit.OK if group.default else Exit.USAGE)
    shown = capsys.readouterr().out
    assert all(f"  {verb.words[-1]}" in shown and verb.does in shown for verb in verbs_of(group.word))
    if group.default:
        meant, plain = parse([group.word, group.default, "--json"]), parse([group.word, "--json"])
        assert meant.verb is plain.verb
        assert plain.json


def test_help_says_where_runs_are_looked_for_and_what_exit_codes_mean(capsys: pytest.CaptureFixture[str]) -> None:
    """What holds for all verbs stands in the help of the program."""
    assert main(["--help"]) == Exit.OK
    shown = capsys.readouterr().out
    assert "TOWPATH_TARGET" in shown
    assert all(f"  {code.value:<4} {code.meaning}" in shown for code in Exit)
    assert all(f"\n  {word}" in shown for word in {verb.words[0] for verb in VERBS})


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["rnus"], "towpath: 'rnus' is no verb: did you mean 'runs'? See `towpath --help`."),
        (["runs", "lss"], "towpath runs: 'lss' is no verb: did you mean 'ls'? See `towpath runs --help`."),
        (["runs", "ls", "--fast"], "towpath runs ls: it takes no '--fast'. See `towpath runs ls --help`."),
        (
            ["runs", "logs"],
            "towpath runs logs: the following arguments are required: RUN. See `towpath runs logs --help`.",
        ),
        (
            ["completion", "tcsh"],
            (
                "towpath completion: argument shell: 'tcsh' is unknown: there are bash, zsh, fish."
                " See `towpath completion --help`."
            ),
        ),
        (
            ["runs", "ls", "--limit", "few"],
            "towpath runs ls: argument --limit: invalid int value: 'few'. See `towpath runs ls --help`.",
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_usage_is_answered_in_a_sentence(
    arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A slip of the finger gets what was probably meant, exit code 2, and nothing on standard output."""
    assert main(arguments) == Exit.USAGE
    assert capsys.readouterr() == ("", sentence + "\n")


def test_flags_are_not_abbreviated() -> None:
    """A script that says --name does not change its meaning when a --namespace comes."""
    with pytest.raises(SystemExit):
        parse(["runs", "ls", "--names", "x"])


def test_verbs_mean_their_place_in_the_same_way() -> None:
    """Whoever takes --json, -n or --context takes them under the same names."""
    for verb in VERBS:
        asked = {flag for argument in verb.arguments for flag in argument.flags}
        assert verb.words == ("completion",) or "--json" in asked
        assert ("--namespace" in asked) == ("--context" in asked)
        assert ("--cluster" in asked) == ("--local" in asked)


def test_help_loads_no_more_than_it_needs() -> None:
    """`towpath --help` is quick: of Towpath the table and the errors, nothing that has to be installed, no asyncio."""
    code = (
        "import sys; before = set(sys.modules); from towpath.cli.__main__ import main;"
        "main(['--help']); print('LOADED', *(set(sys.modules) - before))"
    )
    out = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    loaded = out.partition("LOADED ")[2].split()
    assert {name.partition(".")[0] for name in loaded} <= {*sys.stdlib_module_names, "towpath"}
    assert not {"asyncio", "logging", "json", "sqlite3", "towpath.flows", "towpath.engine"} & set(loaded)


def test_the_parser_is_built_anew_each_time() -> None:
    """Lists that arguments are appended to are not shared between calls."""
    first = parse(["run", "a.py:a", "-p", "x=1"])
    second = parse(["run", "a.py:a"])
    assert (first.param, second.param) == (["x=1"], [])
    assert isinstance(build(), argparse.ArgumentParser)
