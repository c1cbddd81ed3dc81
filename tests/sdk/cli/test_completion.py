"""Completion, tried in the shells themselves where they are installed."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from towpath.cli import completion
from towpath.cli.__main__ import main

SCRIPTS: dict[str, Callable[[], str]] = {"bash": completion.bash, "zsh": completion.zsh, "fish": completion.fish}
CASES = [
    ("towpath ru", {"run", "runs"}),
    ("towpath runs l", {"ls", "logs"}),
    ("towpath runs ls --st", {"--state"}),
    ("towpath runs ls --state F", {"FAILED"}),
    ("towpath runs logs run --fol", {"--follow"}),
    ("towpath deployments run nightly --w", {"--watch"}),
    ("towpath completion f", {"fish"}),
    ("towpath deploy fl", {"flows.py"}),
    ("towpath deploy flows.py:etl --output fl", {"flows.py"}),
]


def needs(shell: str) -> pytest.MarkDecorator:
    """Skip where a shell is not installed."""
    return pytest.mark.skipif(shutil.which(shell) is None, reason=f"{shell} is not installed")


@pytest.mark.parametrize("shell", [pytest.param(shell, marks=needs(shell)) for shell in SCRIPTS])
def test_scripts_can_be_read_by_their_shells(shell: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`towpath completion SHELL` prints a script without mistakes."""
    assert main(["completion", shell]) == 0
    script = tmp_path / "script"
    script.write_text(capsys.readouterr().out)
    checked = subprocess.run([shell, "-n", str(script)], capture_output=True, text=True, check=False)
    assert (checked.returncode, checked.stderr) == (0, "")


@needs("bash")
@pytest.mark.parametrize(("line", "offered"), CASES)
def test_bash_completes(line: str, offered: set[str], tmp_path: Path) -> None:
    """Verbs, flags and values are offered where they belong; files by bash itself where nothing else is."""
    (tmp_path / "flows.py").touch()
    words = " ".join(f"'{word}'" for word in line.split())
    script = f"{completion.bash()}\nCOMP_WORDS=({words}); COMP_CWORD=$((${{#COMP_WORDS[@]}}-1)); _towpath"
    script += '\n[[ ${#COMPREPLY[@]} -gt 0 ]] || COMPREPLY=($(compgen -f -- "${COMP_WORDS[COMP_CWORD]}"))'
    script += '\nprintf "%s\\n" "${COMPREPLY[@]}"'
    out = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True, cwd=tmp_path).stdout
    assert set(out.split()) == offered


@needs("fish")
@pytest.mark.parametrize(("line", "offered"), CASES)
def test_fish_completes(line: str, offered: set[str], tmp_path: Path) -> None:
    """Fish offers the same, each with a word on what it means."""
    (tmp_path / "flows.py").touch()
    script = f"{completion.fish()}\ncomplete -C '{line}'"
    home = {"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}
    out = subprocess.run(
        ["fish", "--no-config", "-c", script], capture_output=True, text=True, check=True, cwd=tmp_path, env=home
    ).stdout
    assert {row.split("\t")[0] for row in out.splitlines()} == offered
