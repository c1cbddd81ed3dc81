"""Runs that wait as real processes: scripts, servers and the command line; killed, resumed twice, begun anew."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from tests.sdk.pausing.conftest import PATIENCE_SECONDS, Scene, until

from towpath import run_deployment
from towpath.cli.exits import Exit
from towpath.deployments import FlowRunHandle
from towpath.history.port import RecordedRun

FLOWS = Path(__file__).with_name("flows.py")
pytestmark = pytest.mark.timeout(300)


class Processes:
    """Scripts and commands of a test."""

    def __init__(self, scene: Scene, folder: Path) -> None:
        self.scene, self.folder = scene, folder
        self.log = folder / "log"
        self._started: list[subprocess.Popen[str]] = []

    def script(self, flow: str) -> subprocess.Popen[str]:
        """Start `python flows.py FLOW`."""
        return self._start([sys.executable, str(FLOWS), flow, str(self.folder)])

    def towpath(self, *words: str) -> tuple[int, str, str]:
        """Run a command to its end; gives exit code, output, and what it says to people."""
        command = self.command(*words)
        out, err = command.communicate(timeout=PATIENCE_SECONDS)
        return command.returncode, out, err

    def command(self, *words: str) -> subprocess.Popen[str]:
        """Start a command."""
        return self._start([sys.executable, "-m", "towpath.cli", *words])

    def at_once(self, *commands: Sequence[str]) -> list[int]:
        """Run commands side by side; gives their exit codes."""
        started = [self.command(*words) for words in commands]
        for one in started:
            one.communicate(timeout=PATIENCE_SECONDS)
        return [one.returncode for one in started]

    def server(self) -> subprocess.Popen[str]:
        """Start a server of all flows, and wait until it serves."""
        said = self.log.read_text(encoding="utf-8").count("Press Ctrl-C") if self.log.exists() else 0
        with self.log.open("a", encoding="utf-8") as log:
            server = self._start([sys.executable, str(FLOWS), "serve", str(self.folder)], stderr=log)
        until(lambda: self.log.read_text(encoding="utf-8").count("Press Ctrl-C") > said, "the server")
        return server

    def end(self) -> None:
        """End whatever is left."""
        for one in self._started:
            if one.poll() is None:
                os.killpg(one.pid, signal.SIGKILL)
            print(one.args, *one.communicate(), sep="\n")  # shown when the test has failed
        for run in self.scene.runs():
            if run.process is not None and run.process.is_alive and run.process.pid != os.getpid():
                os.kill(run.process.pid, signal.SIGKILL)

    def _start(self, words: list[str], stderr: Any = subprocess.PIPE) -> subprocess.Popen[str]:
        started = subprocess.Popen(
            words, stdout=subprocess.PIPE, stderr=stderr, text=True, start_new_session=True, cwd=self.folder
        )
        self._started.append(started)
        return started


@pytest.fixture
def processes(scene: Scene, tmp_path: Path) -> Iterator[Processes]:
    """Give what starts processes; ends them after the test."""
    made = Processes(scene, tmp_path)
    yield made
    made.end()


def test_a_script_is_paused_and_resumed_by_a_command(processes: Processes) -> None:
    """It goes on in its own process; of two commands at once one takes hold, the other is told so."""
    script = processes.script("pauses")
    run = processes.scene.waiting("pauses")
    code, out, _ = processes.towpath("runs", "inspect", run.name)
    assert code == Exit.OK
    assert f"towpath runs resume {run.name} -p granted=…" in out
    code, _, err = processes.towpath("runs", "resume", run.name, "-p", "granted=perhaps")
    assert (code, "granted='perhaps' must be true or false" in err) == (Exit.USAGE, True)
    codes = processes.at_once(*(("runs", "resume", run.name, "-p", "granted=true", "-p", f"by={by}") for by in "ab"))
    assert sorted(codes) == [Exit.OK, Exit.CONFLICT]
    out, _ = script.communicate(timeout=PATIENCE_SECONDS)
    assert out == f"[1, True, '{'ab'[codes.index(Exit.OK)]}']\n"


def test_a_script_that_suspends_itself_ends_quietly_and_begins_anew(processes: Processes) -> None:
    """Exit code 7 and a line that says how; the resuming command runs it, from whatever folder, and prints the result."""
    script = processes.script("suspends")
    out, err = script.communicate(timeout=PATIENCE_SECONDS)
    run = processes.scene.run()
    assert (script.returncode, out, run.state.name) == (Exit.SUSPENDED, "", "Suspended")
    assert f"towpath runs resume {run.name} -p granted=…" in err
    assert "Traceback" not in err
    code, _, err = processes.towpath("runs", "resume", run.name)
    assert (code, "granted is missing" in err) == (Exit.USAGE, True)
    code, out, _ = processes.towpath("runs", "resume", run.name, "--input-json", '{"granted": true, "by": "ada"}')
    assert (code, json.loads(out)) == (Exit.OK, [1, True, "ada"])
    assert processes.scene.run().attempt == 2


def test_the_line_is_there_where_the_log_is_silent(processes: Processes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Warnings only: what to do is said all the same, and nothing else."""
    monkeypatch.setenv("TOWPATH_LOG_LEVEL", "ERROR")
    _, err = processes.script("suspends").communicate(timeout=PATIENCE_SECONDS)
    assert err.startswith("The flow run is suspended. To resume: towpath runs resume")


def test_two_commands_that_resume_a_suspended_run_begin_it_once(processes: Processes) -> None:
    """The other is told that it was too late."""
    processes.script("suspends").wait(PATIENCE_SECONDS)
    name = processes.scene.run().name
    codes = processes.at_once(*(("runs", "resume", name, "-p", "granted=true") for _ in range(2)))
    assert sorted(codes) == [Exit.OK, Exit.CONFLICT]
    assert processes.scene.run(name).attempt == 2


def test_python_code_resumes_a_suspended_run_in_a_new_process(processes: Processes) -> None:
    """Which goes on when the one that asked has ended."""
    processes.script("calls_one").wait(PATIENCE_SECONDS)
    name = processes.scene.run().name
    code = f"from towpath import resume_flow_run; resume_flow_run({name!r}, {{'granted': True}})"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=PATIENCE_SECONDS)
    until(lambda: processes.scene.run(name).state.name == "Completed", "the end")


def test_a_killed_run_that_waited_has_crashed_and_can_be_tried_again(processes: Processes) -> None:
    """At the next look; it waits again in the next attempt, and what is kept is taken."""
    script = processes.script("pauses")
    name = processes.scene.waiting("pauses").name
    script.kill()
    script.wait()
    code, _, err = processes.towpath("runs", "resume", name, "-p", "granted=true")
    assert code == Exit.CONFLICT
    assert f"it is Crashed. To try it again: towpath runs retry {name}" in err
    again = processes.command("runs", "retry", name)
    until(lambda: again.poll() is not None or processes.scene.run(name).state.name == "Paused", "the second pause")
    assert again.poll() is None, again.communicate()
    processes.towpath("runs", "resume", name, "-p", "granted=true")
    out, _ = again.communicate(timeout=PATIENCE_SECONDS)
    assert json.loads(out) == [1, True, "nobody"]
    code, _, err = processes.towpath("runs", "retry", name)
    assert (code, "has completed" in err) == (Exit.CONFLICT, True)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "SIGTERM"])
def test_a_signal_ends_a_paused_script(processes: Processes, number: signal.Signals) -> None:
    """At once, as it ends any other; the run has crashed."""
    script = processes.script("pauses")
    run = processes.scene.waiting("pauses")
    script.send_signal(number)
    assert script.wait(PATIENCE_SECONDS) != 0
    until(lambda: processes.scene.run(run.id).state.type == "CRASHED", "the end")


def test_a_running_run_is_asked_to_wait(processes: Processes) -> None:
    """At its next call it pauses, goes on when resumed, and ends its process if that is wanted."""
    script = processes.script("goes_on")
    name = until(lambda: next((run.name for run in processes.scene.runs()), None), "the run")
    assert processes.towpath("runs", "pause", name)[0] == Exit.OK
    processes.scene.waiting("goes-on")
    assert processes.towpath("runs", "pause", name)[0] == Exit.CONFLICT
    assert processes.towpath("runs", "resume", name, "-p", "x=1")[0] == Exit.USAGE
    assert processes.towpath("runs", "resume", name)[0] == Exit.OK
    assert processes.towpath("runs", "pause", "--suspend", name)[0] == Exit.OK
    assert script.wait(PATIENCE_SECONDS) == Exit.SUSPENDED
    (processes.folder / "enough").touch()
    code, out, _ = processes.towpath("runs", "resume", name)
    assert (code, out) == (Exit.OK, "enough\n")
    assert processes.towpath("runs", "pause", name)[0] == Exit.CONFLICT


def ended(processes: Processes, run: FlowRunHandle) -> RecordedRun:
    """Wait for the end of a run of a deployment."""
    run.wait(PATIENCE_SECONDS)
    return processes.scene.run(run.id)


def ordered(flow: str) -> FlowRunHandle:
    """Have a deployment run, and do not wait for it."""
    return run_deployment(f"{flow}/{flow}", timeout=0)


def test_a_served_run_is_resumed_by_its_server(processes: Processes) -> None:
    """Whoever waits for it gets its value: paused it goes on, suspended it has another process."""
    processes.server()
    for flow in ("pauses", "suspends", "calls-one"):
        (processes.folder / "calls").unlink(missing_ok=True)
        run = ordered(flow)
        waits = until(
            lambda run=run: (
                processes.scene.run(run.id).state.type == "PAUSED"
                and not any(one.state.name == "Running" for one in processes.scene.runs())
            ),
            "the pause",
        )
        assert waits
        assert processes.towpath("runs", "resume", run.name, "-p", "granted=true", "-p", "by=ada")[0] == Exit.OK
        assert run.result(PATIENCE_SECONDS) == [1, True, "ada"]


def test_a_suspended_run_survives_its_server(processes: Processes) -> None:
    """It is resumed while nobody serves it, and begins anew when somebody does."""
    server = processes.server()
    run = ordered("suspends")
    processes.scene.waiting("suspends", "Suspended")
    os.killpg(server.pid, signal.SIGKILL)
    server.wait()
    assert processes.towpath("runs", "resume", run.name, "-p", "granted=true")[0] == Exit.OK
    assert processes.scene.run(run.id).state.name == "Resuming"
    processes.server()
    assert run.result(PATIENCE_SECONDS) == [1, True, "nobody"]


def test_a_served_run_that_waits_can_be_cancelled(processes: Processes) -> None:
    """With its process if it has one, and without."""
    processes.server()
    for flow, name in (("pauses", "Paused"), ("suspends", "Suspended")):
        run = ordered(flow)
        processes.scene.waiting(flow, name)
        assert processes.towpath("runs", "cancel", run.name)[0] == Exit.OK
        assert ended(processes, run).state.name == "Cancelled"


def test_a_served_run_is_tried_again_by_its_server(processes: Processes) -> None:
    """The same run, its next attempt, with what is kept."""
    processes.server()
    run = ordered("fails-once")
    assert ended(processes, run).state.name == "Failed"
    (processes.folder / "mended").touch()
    assert processes.towpath("runs", "retry", run.name)[0] == Exit.OK
    until(lambda: processes.scene.run(run.id).state.name == "Completed", "the second attempt")
    assert processes.scene.run(run.id).attempt == 2
    assert (processes.folder / "calls").read_text(encoding="utf-8") == "x"
