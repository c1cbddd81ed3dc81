"""`towpath completion`: scripts for shells, made from the table of verbs. They start no process while one types."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Final

from towpath.cli.exits import Exit
from towpath.cli.output import say
from towpath.cli.verbs import GROUPS, VERBS, verbs_of
from towpath.cli.words import Argument, Verb

if TYPE_CHECKING:
    import argparse

_FILE: Final = "file"
_HELP: Final = ("--help", "show help")


def show(asked: argparse.Namespace) -> int:
    """Print the script for a shell."""
    say({"bash": bash, "zsh": zsh, "fish": fish}[asked.shell]().rstrip())
    return Exit.OK


def bash() -> str:
    """Write the script for bash; where it offers nothing, bash offers files."""
    words = "\n".join(f"        {_quoted(path)}) words={_quoted(' '.join(offers))} ;;" for path, offers in _offered())
    values = "\n".join(
        f"        {_patterns(path, argument)}) words={_quoted(offers)} ;;" for path, argument, offers in _values()
    )
    files = " | ".join(_quoted(path) for path, verb in _by_path().items() if _takes_file(verb))
    return f"""\
_towpath() {{
    local current="${{COMP_WORDS[COMP_CWORD]}}" before="${{COMP_WORDS[COMP_CWORD-1]}}" verb="" word words=""
    for word in "${{COMP_WORDS[@]:1:COMP_CWORD-1}}"; do
        case "$verb $word" in
            {_path_patterns()}) verb="${{verb:+$verb }}$word" ;;
        esac
    done
    case "$verb" in
{words}
    esac
    case "$verb" in
        {files}) [[ $current == -* ]] || words="" ;;
    esac
    case "$verb $before" in
{values}
    esac
    COMPREPLY=($(compgen -W "$words" -- "$current"))
}}
complete -o default -F _towpath towpath
"""


def zsh() -> str:
    """Write the script for zsh, to be read after `compinit`."""
    verbs = "\n".join(
        f"        {_quoted(path)}) _describe verb '({' '.join(_quoted_in(item) for item in _described(offers))})' ;;"
        for path, offers in _verbs_below().items()
    )
    flags = "\n".join(f"        {_quoted(path)}) {_zsh_arguments(verb)} ;;" for path, verb in _by_path().items())
    return f"""\
#compdef towpath
_towpath() {{
    local verb="" word at=1 i
    for ((i = 2; i < CURRENT; i++)); do
        word="${{words[i]}}"
        case "$verb $word" in
            {_path_patterns()}) verb="${{verb:+$verb }}$word"; at=$i ;;
        esac
    done
    case "$verb" in
{verbs}
        *) words=("towpath" "${{(@)words[at+1,-1]}}"); ((CURRENT -= at - 1)) ;|
{flags}
    esac
}}
compdef _towpath towpath
"""


def fish() -> str:
    """Write the script for fish."""
    lines: list[str] = []
    for path, offers in _verbs_below().items():
        lines += [
            f"complete -c towpath -f -n {_at(path)} -a {word} -d {_quoted(does)}" for word, does in offers.items()
        ]
    for path, verb in _by_path().items():
        lines += [_fish_argument(path, argument) for argument in verb.arguments]
    joined = "\n".join(lines)
    return f"""\
function __towpath_verb
    set -l verb ""
    for word in (commandline -opc)[2..-1]
        switch "$verb $word"
            case {_path_patterns(" ")}
                set verb (string trim "$verb $word")
        end
    end
    echo "$verb"
end
{joined}
"""


def _verbs_below() -> Mapping[str, Mapping[str, str]]:
    """Give the verbs that may follow: at the beginning, and after the name of a group."""
    below = {group.word: {verb.words[-1]: verb.does for verb in verbs_of(group.word)} for group in GROUPS}
    single = {verb.words[0]: verb.does for verb in VERBS if len(verb.words) == 1}
    return {"": {group.word: group.does for group in GROUPS} | single, **below}


def _by_path() -> Mapping[str, Verb]:
    return {" ".join(verb.words): verb for verb in VERBS}


def _paths() -> Iterator[str]:
    """Give all beginnings of commands that lead on, each as what is known before and the word that follows."""
    for before, offers in _verbs_below().items():
        for word in offers:
            yield f"{before} {word}"


def _path_patterns(between: str = " | ") -> str:
    return between.join(_quoted(path) for path in _paths())


def _offered() -> Iterator[tuple[str, list[str]]]:
    """Give what may stand after a verb: verbs, or flags."""
    verbs = _by_path()
    meant = {group.word: _flags(verbs[f"{group.word} {group.default}"]) for group in GROUPS if group.default}
    for path, offers in _verbs_below().items():
        yield path, [*offers, *meant.get(path, []), "--help", *(["--version"] if not path else [])]
    for path, verb in verbs.items():
        flags = _flags(verb)
        words = [argument.completes for argument in verb.arguments if argument.is_positional]
        yield path, [*(word for word in " ".join(words).split() if word != _FILE), *flags, "--help"]


def _flags(verb: Verb) -> list[str]:
    return [flag for argument in verb.arguments if not argument.is_positional for flag in argument.flags]


def _values() -> Iterator[tuple[str, Argument, str]]:
    """Give the flags that take a value, with what is offered for it."""
    for path, verb in _by_path().items():
        for argument in verb.arguments:
            if argument.takes_value and not argument.is_positional:
                yield path, argument, "" if argument.completes == _FILE else argument.completes


def _takes_file(verb: Verb) -> bool:
    return any(argument.is_positional and argument.completes == _FILE for argument in verb.arguments)


def _patterns(path: str, argument: Argument) -> str:
    return " | ".join(_quoted(f"{path} {flag}") for flag in argument.flags)


def _described(offers: Mapping[str, str]) -> list[str]:
    return [f"{word}:{does.replace(':', ',')}" for word, does in offers.items()]


def _zsh_arguments(verb: Verb) -> str:
    parts = []
    for argument in verb.arguments:
        action = {"": " ", _FILE: "_files"}.get(argument.completes, f"({argument.completes})")
        said = argument.help.translate(str.maketrans("[]:", "(),"))
        if argument.is_positional:
            repeat = "*" if argument.options.get("nargs") == "+" else ""
            parts.append(_quoted(f"{repeat}:{argument.flags[0]}:{action}"))
            continue
        value = f":value:{action}" if argument.takes_value else ""
        repeat = "*" if argument.options.get("action") == "append" else ""
        parts += [_quoted(f"{repeat}{flag}[{said}]{value}") for flag in argument.flags]
    return "_arguments " + " ".join([*parts, _quoted(f"{_HELP[0]}[{_HELP[1]}]")])


def _fish_argument(path: str, argument: Argument) -> str:
    said = f"-d {_quoted(argument.help)}"
    if argument.is_positional:
        offers = "-F" if argument.completes == _FILE else f"-f -a {_quoted(argument.completes)}"
        return f"complete -c towpath -n {_at(path)} {offers} {said}"
    flags = " ".join(f"-l {flag[2:]}" if flag.startswith("--") else f"-s {flag[1:]}" for flag in argument.flags)
    value = ""
    if argument.takes_value:
        value = " -r -F" if argument.completes == _FILE else f" -x -a {_quoted(argument.completes)}"
    return f"complete -c towpath -n {_at(path)} {flags}{value} {said}"


def _at(path: str) -> str:
    return _quoted(f'test (__towpath_verb) = "{path}"')


def _quoted(text: str) -> str:
    """Quote for bash and zsh, and for fish too, which ends and begins quotes in the same way."""
    return "'" + text.replace("'", "'\\''") + "'"


def _quoted_in(text: str) -> str:
    """Quote within a quoted text."""
    return '"' + text.replace("'", "").replace('"', "") + '"'
