"""However a process ends in order, every task run is in the history; and how its flow run ended is told as it was."""

from __future__ import annotations

import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.sdk.history.notebook import finish, start

from towpath.errors import HistoryError
from towpath.history import open_history

pytestmark = pytest.mark.timeout(300)

PATIENCE_SECONDS = 60.0
TASKS = 100
PREAMBLE = f"""
import asyncio, os, signal, sys, time
from towpath import flow, task, ProcessPoolTaskRunner
from towpath.history.recorder import RECORDER

TASKS = {TASKS}

@task
def same(x):
    return x

@task
async def same_async(x):
    return x

def told(*_):
    print("hook", flush=True)

def wait():
    print("ready", flush=True)
    time.sleep(120)
"""
#: How a flow has its tasks run; each ends with END.
KINDS = {
    "calls": "@flow(on_crashed=[told])\ndef work():\n    for i in range(TASKS): same(i)\n    END\nwork()",
    "threads": "@flow(on_crashed=[told])\ndef work():\n    same.map(range(TASKS)).result()\n    END\nwork()",
    "processes": (
        "@flow(on_crashed=[told], task_runner=ProcessPoolTaskRunner(2))\n"
        "def work():\n    same.map(range(TASKS)).result()\n    END\nwork()"
    ),
    "async": (
        "@flow(on_crashed=[told])\nasync def work():\n"
        "    await asyncio.gather(*[same_async(i) for i in range(TASKS)])\n    END\nasyncio.run(work())"
    ),
}
#: How the flow ends: code, exit code of the process, state of the run.
WAYS = {
    "returns": ("return 5", 0, "Completed"),
    "raises": ("raise ValueError('no such row')", 1, "Failed"),
    "sys.exit": ("sys.exit(3)", 3, "Crashed"),
    "SIGTERM": ("os.kill(os.getpid(), signal.SIGTERM); wait()", -signal.SIGTERM, "Crashed"),
    "SIGINT": ("os.kill(os.getpid(), signal.SIGINT); wait()", -signal.SIGINT, "Crashed"),
}


def script(kind: str, end: str) -> str:
    """Write the script of a flow that ends in some way."""
    if kind == "async":
        end = end.replace("wait()", "print('ready', flush=True); await asyncio.sleep(120)")
    return PREAMBLE + KINDS[kind].replace("END", end)


def recorded(file: Path, flow: str = "work") -> tuple[str, Counter[str]]:
    """Give the state of a flow's one run, and how many of its task runs are in which state."""
    with open_history(file) as history:
        (run,) = history.runs(flow=flow)
        return run.state.name, Counter(one.state.name for one in history.tasks(run.id))


def until(true: Callable[[], bool], what: str) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not true():
        assert time.monotonic() < deadline, f"{what} did not come true"
        time.sleep(0.02)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", KINDS)
def test_every_task_run_is_in_the_history(tmp_path: Path, kind: str, way: str) -> None:
    """All tasks of the flow are there as they ended, the flow's state says how it went, and hooks have run."""
    end, code, state = WAYS[way]
    process = start(script(kind, end), tmp_path / "history.db")
    out, err = process.communicate(timeout=PATIENCE_SECONDS)

    assert process.returncode == code, err
    assert recorded(tmp_path / "history.db") == (state, Counter(Completed=TASKS))
    assert out.count("hook") == (state == "Crashed")


@pytest.mark.parametrize("kind", KINDS)
def test_after_sigkill_the_run_has_crashed(tmp_path: Path, kind: str) -> None:
    """At the next look; what had been done, while the flow went on to something else, is all there."""
    file = tmp_path / "history.db"
    process = start(script(kind, "wait()"), file)

    def is_written() -> bool:
        try:
            return recorded(file) == ("Running", Counter(Completed=TASKS))
        except (HistoryError, ValueError):  # there is no file yet, or no run in it
            return False

    until(is_written, "the record of a flow that runs")
    process.kill()
    process.communicate()
    assert recorded(file) == ("Crashed", Counter(Completed=TASKS))


def ready(process: subprocess.Popen[str]) -> None:
    """Wait for the word of a script that it is where it should be."""
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"


def test_sigterm_breaks_off_what_goes_on(tmp_path: Path) -> None:
    """Tasks in threads and children are CRASHED with their flow, which says that it was told to stop."""
    code = PREAMBLE + (
        "@task\ndef hangs():\n    while True: time.sleep(0.01)\n"
        "@flow\ndef child():\n    wait()\n"
        "@flow\ndef work():\n    hung = hangs.submit()\n    while not hung.state.is_running(): time.sleep(0.01)\n"
        "    child()\nwork()"
    )
    file = tmp_path / "history.db"
    process = start(code, file)
    ready(process)
    process.terminate()
    process.communicate(timeout=PATIENCE_SECONDS)

    assert process.returncode == -signal.SIGTERM
    assert recorded(file) == ("Crashed", Counter(Crashed=1))
    assert recorded(file, "child") == ("Crashed", Counter())
    with open_history(file) as history:
        assert history.runs(flow="work")[0].state.message == "The process was told to stop (SIGTERM)."


def test_a_second_sigterm_ends_the_process_at_once(tmp_path: Path) -> None:
    """Whatever the run does to end in order; what it had done until then is in the history."""
    code = PREAMBLE + (
        "@flow(on_crashed=[lambda *_: wait()])\ndef work():\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n    time.sleep(60)\nwork()"
    )
    process = start(code, tmp_path / "history.db")
    ready(process)
    process.terminate()
    process.communicate(timeout=PATIENCE_SECONDS)

    assert process.returncode == -signal.SIGTERM
    assert recorded(tmp_path / "history.db")[0] == "Crashed"


def test_a_handler_of_the_scripts_own_is_left_alone(tmp_path: Path) -> None:
    """Who has a handler for SIGTERM decides what becomes of it; who has none has none afterwards."""
    code = PREAMBLE + (
        "@flow\ndef work():\n    os.kill(os.getpid(), signal.SIGTERM)\n    return 5\n"
        "heard = []\n"
        "assert flow(lambda: 1)() == 1 and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL\n"
        "signal.signal(signal.SIGTERM, lambda *_: heard.append(1))\n"
        "assert work() == 5 and heard == [1]\n"
    )
    finish(start(code, tmp_path / "history.db"))

    assert recorded(tmp_path / "history.db")[0] == "Completed"


def test_forked_processes_end_by_sigterm_as_any_other(tmp_path: Path) -> None:
    """What `Process.terminate` of multiprocessing ends in the middle of a flow ends without a word, at whatever moment."""
    code = PREAMBLE + (
        "import multiprocessing\n"
        "@flow(on_crashed=[told])\ndef work():\n"
        "    for _ in range(25):\n"
        "        child = multiprocessing.get_context('fork').Process(target=time.sleep, args=(120,))\n"
        "        child.start()\n        child.terminate()\n        child.join(20)\n"
        "        assert child.exitcode == -signal.SIGTERM\n"
        "work()"
    )
    out, err = finish(start(code, tmp_path / "history.db"))

    assert out == ""
    assert "Traceback" not in err
    assert recorded(tmp_path / "history.db")[0] == "Completed"


def test_what_was_told_to_end_and_ends_well_has_completed(tmp_path: Path) -> None:
    """A flow that catches everything and returns is COMPLETED; the process ends by the signal all the same."""
    code = PREAMBLE + (
        "@flow\ndef work():\n    try:\n        os.kill(os.getpid(), signal.SIGTERM)\n        time.sleep(60)\n"
        "    except BaseException:\n        return 5\nwork()\nprint('not reached')"
    )
    process = start(code, tmp_path / "history.db")
    out, _ = process.communicate(timeout=PATIENCE_SECONDS)

    assert (process.returncode, out) == (-signal.SIGTERM, "")
    assert recorded(tmp_path / "history.db")[0] == "Completed"


def test_a_process_that_leaves_without_a_word_has_crashed(tmp_path: Path) -> None:
    """`os._exit`, as some libraries and forks end: no `atexit`, and the next look says so."""
    code = PREAMBLE + "@flow\ndef work():\n    same(1)\n    RECORDER.flush()\n    os._exit(0)\nwork()"
    process = start(code, tmp_path / "history.db")
    process.communicate(timeout=PATIENCE_SECONDS)

    assert process.returncode == 0
    assert recorded(tmp_path / "history.db") == ("Crashed", Counter(Completed=1))
