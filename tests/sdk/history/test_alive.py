"""Whether a process is still there."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from tests.sdk.history.notebook import start

from towpath.history.alive import alive_beside

ANNOUNCE = "from pathlib import Path; from towpath.history.alive import alive_beside"


def test_a_process_is_alive_until_it_is_killed(tmp_path: Path) -> None:
    """Its token is alive while it runs, whatever it does, and no longer when it is gone, however it went."""
    database = tmp_path / "history.db"
    script = f"{ANNOUNCE}; print(alive_beside(Path({str(database)!r})).announce(), flush=True); input()"
    process = start(script, database, stdin=-1)
    assert process.stdout is not None
    token = int(process.stdout.readline())

    alive = alive_beside(database)
    assert [alive.is_alive(token) for _ in range(2)] == [True, True]
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not alive.is_alive(token)


def test_this_process_is_alive_to_itself(tmp_path: Path) -> None:
    """Asking, and asking for the file again, does not let go of the process's own lock."""
    database = tmp_path / "history.db"
    token = alive_beside(database).announce()

    assert alive_beside(database).is_alive(token)
    assert finish_asking(database, token) == "True"


def test_a_forked_child_is_somebody_else(tmp_path: Path) -> None:
    """The child does not hold its parent's lock: it sees the parent alive because the parent is."""
    database = tmp_path / "history.db"
    token = alive_beside(database).announce()
    ours, theirs = os.pipe()
    child = os.fork()
    if child == 0:
        alive = alive_beside(database)
        os.write(theirs, f"{alive.is_alive(token)} {alive.announce() != token}".encode())
        os._exit(0)
    os.waitpid(child, 0)

    assert os.read(ours, 100) == b"True True"
    assert finish_asking(database, token) == "True"
    os.close(ours)
    os.close(theirs)


def finish_asking(database: Path, token: int) -> str:
    """Ask in another process whether a token is alive."""
    script = f"{ANNOUNCE}; print(alive_beside(Path({str(database)!r})).is_alive({token}))"
    out, _ = start(script, database).communicate(timeout=30)
    return out.strip()
