"""Servers and runs as real processes: killed, stopped, cancelled, and started again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from towpath import run_deployment
from towpath.deployments import FlowRunHandle
from towpath.errors import FlowRunCancelled, FlowRunCrashed
from towpath.history import open_history
from towpath.serving.book import Book
from towpath.serving.cancelling import cancel

FLOWS = Path(__file__).with_name("flows.py")
PATIENCE_SECONDS = 60.0
pytestmark = pytest.mark.timeout(300)


def until(true: Callable[[], Any], what: str) -> Any:
    """Wait until something is so."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (found := true()):
        assert time.monotonic() < deadline, f"{what} did not come true"
        time.sleep(0.01)
    return found


class Served:
    """Servers of the flows, and what their runs have noted."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = folder / "history.db"
        self.log = folder / "log"
        self.servers: list[subprocess.Popen[bytes]] = []

    def start(self, scheduled: str = "-", **options: Any) -> subprocess.Popen[bytes]:
        """Start a server, and wait until it serves."""
        said = self.words().count("Press Ctrl-C")
        words = [f"{name}={str(value).lower()}" for name, value in options.items()]
        with self.log.open("ab") as log:
            server = subprocess.Popen(
                [sys.executable, FLOWS, scheduled, self.folder, *words], stderr=log, start_new_session=True
            )
        self.servers.append(server)
        until(lambda: self.words().count("Press Ctrl-C") > said, "the server")
        return server

    def is_served(self) -> bool:
        """Tell whether a server says that it serves."""
        with Book(self.file) as book:
            return any(one.is_served for one in book.deployments())

    def words(self) -> str:
        """Give what servers and runs have logged."""
        return self.log.read_text(encoding="utf-8") if self.log.exists() else ""

    def notes(self) -> list[str]:
        """Give what runs have noted."""
        notes = self.folder / "notes"
        return notes.read_text(encoding="utf-8").splitlines() if notes.exists() else []

    def noted(self, beginning: str) -> str:
        """Wait for a note."""
        found = until(lambda: [note for note in self.notes() if note.startswith(beginning)], f"a note {beginning!r}")
        first: str = found[0]
        return first

    def run(self, name: str, **parameters: Any) -> FlowRunHandle:
        """Have a deployment run, and do not wait for it."""
        return run_deployment(f"{name}/{name}", parameters=parameters, timeout=0)

    def end(self) -> None:
        """End all servers, and what they have left."""
        for server in self.servers:
            if server.poll() is None:
                os.killpg(server.pid, signal.SIGKILL)
                server.wait()
        if self.file.exists():
            with Book(self.file) as book:
                for order in book.open_orders([one.key for one in book.deployments()]):
                    if order.process is not None and order.pid is not None and book.alive.is_alive(order.process):
                        os.kill(order.pid, signal.SIGKILL)


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    """Give what starts servers; ends them after the test."""
    monkeypatch.setenv("TOWPATH_HISTORY", str(tmp_path / "history.db"))
    monkeypatch.delenv("TOWPATH_RUN", raising=False)
    served = Served(tmp_path)
    yield served
    served.end()


def test_a_run_has_a_process_of_its_own(served: Served) -> None:
    """The value comes back; the process is a child of the server, in a session of its own, with an empty input."""
    server = served.start()
    told = served.run("plain", value=21).result(PATIENCE_SECONDS)
    assert told["value"] == 42
    assert told["parent"] == server.pid
    assert told["group"] == told["pid"] != server.pid
    assert told["stdin"] == ""
    assert told["deployment"] == "plain"
    with open_history(served.file) as history:
        (run,) = history.runs()
        assert (run.state.name, run.deployment, run.tasks_completed) == ("Completed", "plain", 1)
        assert [state.name for state in history.states(run.id)] == ["Scheduled", "Pending", "Running", "Completed"]


def test_an_exception_is_raised_where_the_run_was_asked_for(served: Served) -> None:
    """With the traceback of the process that it was raised in; wrong parameters are an exception too."""
    served.start()
    with pytest.raises(LookupError, match="nothing there") as caught:
        served.run("fails").result(PATIENCE_SECONDS)
    assert 'raise LookupError("nothing there")' in caught.value.__notes__[0]
    wrong = served.run("plain", value="many").wait(PATIENCE_SECONDS)
    assert wrong.is_failed()
    assert "value='many' must be a whole number" in (wrong.message or "")


def test_a_flow_runs_a_deployment_although_there_is_one_place_only(served: Served) -> None:
    """The parent lends its place; the child's value, or its exception, is the parent's."""
    served.start(limit=1)
    assert served.run("parent").result(PATIENCE_SECONDS)["value"] == 2
    with pytest.raises(LookupError):
        served.run("parent", child="fails/fails").result(PATIENCE_SECONDS)


def test_a_run_that_goes_without_a_word_has_crashed(served: Served) -> None:
    """Killed by the system: whoever waits is told within moments, and why."""
    served.start()
    run = served.run("vanishes")
    with pytest.raises(FlowRunCrashed, match="ended by SIGKILL, perhaps because there was no memory left"):
        run.result(PATIENCE_SECONDS)
    with open_history(served.file) as history:
        assert history.run(run.id).state.type == "CRASHED"


def test_a_cancelled_run_ends_in_order(served: Served) -> None:
    """Its code sees the end, its hook runs, and whoever waits is told."""
    served.start()
    run = served.run("naps")
    served.noted("began")
    assert cancel(run.id)
    with pytest.raises(FlowRunCancelled):
        run.result(PATIENCE_SECONDS)
    assert served.notes()[1:] == ["ended by Ended", "cancelled"]


def test_a_cancelled_parent_takes_its_children_along(served: Served) -> None:
    """The child is another process, and ends all the same."""
    served.start()
    run = served.run("parent", child="naps/naps")
    served.noted("began")
    cancel(run.id)
    assert run.wait(PATIENCE_SECONDS).is_cancelled()
    served.noted("cancelled")


def test_a_run_that_hears_nothing_is_ended_when_its_grace_is_over(served: Served) -> None:
    """SIGTERM is ignored, the interpreter is held: SIGKILL helps, and the run is CANCELLED."""
    served.start(grace_seconds=0.2)
    run = served.run("stubborn")
    pid = int(served.noted("began").split()[1])
    cancel(run.id)
    assert run.wait(PATIENCE_SECONDS).is_cancelled()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_server_stops_in_order(served: Served, number: signal.Signals) -> None:
    """Ctrl-C: its runs are asked to end and do, it says that it has stopped, and leaves nothing behind."""
    server = served.start()
    run = served.run("naps")
    served.noted("began")
    server.send_signal(number)
    assert server.wait(PATIENCE_SECONDS) == 0
    assert run.state.is_crashed()
    assert "told to stop (SIGTERM)" in (run.state.message or "")
    assert served.notes()[1:] == ["ended by Ended"]
    assert "Stopped serving." in served.words()
    assert not list(served.folder.glob("*-bell-*"))


def test_a_second_ctrl_c_ends_everything_at_once(served: Served) -> None:
    """Whatever the grace period."""
    server = served.start(grace_seconds=600)
    run = served.run("stubborn")
    served.noted("began")
    server.send_signal(signal.SIGINT)
    until(lambda: not served.is_served(), "the end of serving")  # two signals at once are one
    server.send_signal(signal.SIGINT)
    assert server.wait(PATIENCE_SECONDS) == 0
    assert run.state.is_crashed()


def test_runs_outlive_a_server_that_is_killed(served: Served) -> None:
    """The next server finds them running, does not start them again, and whoever waits gets the value."""
    server = served.start()
    run = served.run("naps", seconds=2.0)
    waiting = served.run("naps", seconds=0.1)
    served.noted("began")
    server.kill()
    server.wait()
    served.start()
    assert run.result(PATIENCE_SECONDS) == "slept"
    assert waiting.result(PATIENCE_SECONDS) == "slept"
    assert Counter(note.split()[0] for note in served.notes()) == {"began": 2, "slept": 2}


def test_each_scheduled_time_has_one_run_however_often_the_server_is_killed(served: Served) -> None:
    """Killed at any moment and started again, time after time: each second has its run, and one only."""
    for seconds in (1.3, 0.4, 1.1):
        server = served.start("plain", interval=1)
        time.sleep(seconds)  # servers die whenever
        server.kill()
        server.wait()
        time.sleep(seconds)
    begin = time.time()
    server = served.start("plain", interval=1)

    def due() -> list[float]:
        return sorted(float(note.split()[0]) for note in served.notes())

    def is_whole() -> bool:  # up to then: later ones are noted in any order, and a busy machine is behind with them
        noted = due()
        return bool(noted) and {noted[0] + n for n in range(int(begin - noted[0]) + 2)} <= set(noted)

    until(is_whole, "a run on time, and those before it")
    server.send_signal(signal.SIGTERM)
    server.wait(PATIENCE_SECONDS)
    assert len(set(due())) == len(due())


def test_a_script_that_serves_when_it_is_imported_says_what_is_wrong(tmp_path: Path, served: Served) -> None:
    """Without `if __name__ == "__main__"` a run would serve in turn: the run fails, and says what to write."""
    script = tmp_path / "careless.py"
    script.write_text("from towpath import flow\n@flow\ndef careless(): pass\ncareless.serve()\n", encoding="utf-8")
    with served.log.open("ab") as log:
        server = subprocess.Popen([sys.executable, script], stderr=log, start_new_session=True)
    served.servers.append(server)
    until(lambda: "Press Ctrl-C" in served.words(), "the server")
    state = run_deployment("careless").wait(PATIENCE_SECONDS)
    assert state.is_failed()
    assert "Put the call under `if __name__ == '__main__':`" in (state.message or "")


def test_aserve_serves_beside_an_event_loop(tmp_path: Path, served: Served) -> None:
    """Other tasks go on; cancelling stops it in order."""
    script = tmp_path / "beside.py"
    script.write_text(
        """
import asyncio, os, pathlib
from towpath import arun_deployment, aserve, flow
from towpath.serving.book import Book

@flow
def answer(): return 42

async def main():
    serving = asyncio.create_task(aserve(answer.to_deployment("now"), print_starting_message=False))
    with Book(pathlib.Path(os.environ["TOWPATH_HISTORY"])) as book:
        while not book.deployments():
            await asyncio.sleep(0.02)
    run = await arun_deployment("answer/now")
    print(await run.result_async())
    serving.cancel()
    await asyncio.wait([serving])
    print(serving.cancelled())

if __name__ == "__main__":
    asyncio.run(main())
""",
        encoding="utf-8",
    )
    done = subprocess.run(
        [sys.executable, script], capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False
    )
    assert done.stdout.split() == ["42", "True"], done.stderr
