"""Running commands: output is kept for the error message, and an error says which command it was."""

from __future__ import annotations

import os
import shlex
import subprocess
from typing import TYPE_CHECKING

from tests.cluster.settings import ClusterError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path
    from typing import IO

LAST_LINES = 15


def run(  # noqa: PLR0913 - the keywords of subprocess.run that are needed here
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
    sink = log.open("wb") if log else subprocess.PIPE
    try:
        done = subprocess.run(  # noqa: S603 - commands are built by this package
            words,
            **({"input": stdin.encode()} if isinstance(stdin, str) else {"stdin": stdin or subprocess.DEVNULL}),
            stdout=sink,
            stderr=subprocess.STDOUT if log else subprocess.PIPE,
            env={**os.environ, **(env or {})},
            cwd=cwd,
            timeout=timeout_seconds,
            check=False,
        )
    except FileNotFoundError as error:
        message = f"{words[0]!r} is not installed; it is needed for: {shown}"
        raise ClusterError(message) from error
    except subprocess.TimeoutExpired as error:
        message = f"gave up after {timeout_seconds} s: {shown}"
        raise ClusterError(message) from error
    finally:
        if log and not isinstance(sink, int):
            sink.close()
    stdout = (done.stdout or b"").decode(errors="replace")
    stderr = (done.stderr or b"").decode(errors="replace")
    if check and done.returncode:
        said = log.read_text(errors="replace") if log else stderr or stdout
        tail = "\n".join(said.strip().splitlines()[-LAST_LINES:])
        message = f"exit code {done.returncode}: {shown}\n{tail}"
        raise ClusterError(message)
    return subprocess.CompletedProcess(words, done.returncode, stdout, stderr)
