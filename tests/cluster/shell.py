"""Running commands: output is kept for the error message, and an error says which command it was."""

from __future__ import annotations

import os
import shlex
import subprocess
from contextlib import nullcontext
from typing import TYPE_CHECKING

from tests.cluster.settings import ClusterError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path
    from typing import IO

LAST_LINES = 15


def run(
    command: Sequence[str | Path],
    *,
    stdin: str | IO[bytes] | None = None,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    check: bool = True,
    log: Path | None = None,
    timeout_seconds: float | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run to the end and return what was printed.

    ``env`` is added to the environment. With ``log`` the output goes to that file as it comes, and an error shows its
    last lines. Raises ClusterError when the command is missing, fails (unless ``check`` is off) or takes too long.
    """
    words = [str(word) for word in command]
    shown = shlex.join(words)
    content = stdin.encode() if isinstance(stdin, str) else None
    with log.open("wb") if log else nullcontext() as sink:
        try:
            process = subprocess.Popen(
                words,
                stdin=subprocess.PIPE if isinstance(stdin, str) else stdin or subprocess.DEVNULL,
                stdout=sink or subprocess.PIPE,
                stderr=subprocess.STDOUT if sink else subprocess.PIPE,
                env={**os.environ, **(env or {})},
                cwd=cwd,
            )
        except FileNotFoundError as error:
            raise ClusterError(f"{words[0]!r} is not installed; it is needed for: {shown}") from error
        with process:
            try:
                out, err = process.communicate(content, timeout_seconds)
            except BaseException as error:
                process.kill()
                if isinstance(error, subprocess.TimeoutExpired):
                    raise ClusterError(f"gave up after {timeout_seconds} s: {shown}") from error
                raise
    done = subprocess.CompletedProcess(words, process.returncode, _text(out), _text(err))
    if check and done.returncode:
        said = log.read_text(errors="replace") if log else done.stderr or done.stdout
        tail = "\n".join(said.strip().splitlines()[-LAST_LINES:])
        raise ClusterError(f"exit code {done.returncode}: {shown}\n{tail}")
    return done


def _text(output: bytes | None) -> str:
    return (output or b"").decode(errors="replace")
