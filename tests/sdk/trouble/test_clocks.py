"""Clocks that are wrong, or set while runs go on: nothing waits, ends, crashes or is mixed up by it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.sdk.history.notebook import finish, start

from towpath.history import open_history

pytestmark = pytest.mark.timeout(300)

#: In front of everything, a clock of the script's own; JUMPS says by how many seconds it is wrong, look after look.
CLOCK = """
import itertools, time
real, jumps = time.time, itertools.cycle(JUMPS)
time.time = lambda: real() + next(jumps)
"""
FLOW = """
import asyncio
from datetime import timedelta
from towpath import flow, task
from towpath.cache_policies import INPUTS

tries = []

@task(retries=2, retry_delay_seconds=0.01, timeout_seconds=60)
def stubborn(x):
    tries.append(x)
    if len(tries) < 3:
        raise ConnectionError
    return x

@task(cache_policy=INPUTS, cache_expiration=timedelta(days=36500))
def cached(x):
    tries.append(x)
    return x

@flow(timeout_seconds=60)
def child():
    return stubborn.submit(1).result()

@flow(retries=1)
def parent():
    return child() + sum(cached.map([1, 2, 3]).result()) + cached(1)

assert parent() == 8
assert tries == [1] * 3 + tries[3:] and sorted(tries[3:]) == [1, 2, 3]
"""
DAY = 86400
JUMPS = {
    "an hour back and forth": [0, 3600, 0, -3600],
    "ever further back": [-60 * step for step in range(200)],
    "a dead battery": [100 - int(datetime.now(UTC).timestamp())],
    "before the epoch": [-80 * 365 * DAY],
    "next century": [100 * 365 * DAY],
    "years back and forth": [0, 10 * 365 * DAY, -10 * 365 * DAY],
}


@pytest.mark.parametrize("jumps", JUMPS.values(), ids=JUMPS)
def test_runs_do_not_follow_a_clock_that_is_wrong(tmp_path: Path, jumps: list[int]) -> None:
    """Retries, timeouts, kept results and children do as ever; states stand in their order, and no run took less than
    nothing."""
    file = tmp_path / "history.db"
    code = CLOCK.replace("JUMPS", repr(jumps)) + FLOW
    out, err = finish(start(code, file, env={"TOWPATH_HOME": str(tmp_path)}))

    assert out == ""
    assert err.count("WARNING") == 2, err  # the two retries
    with open_history(file) as history:
        runs = history.runs()
        assert [run.flow for run in runs] == ["child", "parent"]
        for run in runs:
            assert [state.name for state in history.states(run.id)] == ["Running", "Completed"]
            assert run.seconds is not None
            assert 0 <= run.seconds < 60
        (tried,) = history.tasks(runs[0].id)
        names = ["Running", "AwaitingRetry", "Retrying", "AwaitingRetry", "Retrying", "Completed"]
        assert [state.name for state in tried.states] == names
        assert tried.seconds is not None
        assert tried.seconds >= 0


def test_a_clock_that_goes_back_crashes_no_run_that_lives(tmp_path: Path) -> None:
    """A process is alive while it is there, whenever it says it was last heard of."""
    file = tmp_path / "history.db"
    code = CLOCK.replace("JUMPS", repr([-365 * DAY])) + (
        "from towpath import flow\nfrom towpath.history.recorder import RECORDER\n"
        "@flow\ndef waits():\n    RECORDER.flush()\n    print('ready', flush=True)\n    input()\nwaits()"
    )
    process = start(code, file, stdin=-1)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    finish(start("from towpath import flow\nflow(lambda: 1, name='other')()", file))

    with open_history(file) as history:
        (run,) = history.runs(flow="waits")
        assert run.state.name == "Running"
    process.communicate("\n", timeout=90)
    with open_history(file) as history:
        assert {run.flow: run.state.name for run in history.runs()} == {"waits": "Completed", "other": "Completed"}


@pytest.mark.parametrize("jumps", JUMPS.values(), ids=JUMPS)
def test_the_command_line_shows_runs_of_any_time(tmp_path: Path, jumps: list[int]) -> None:
    """Also of those that are yet to come, as it seems."""
    file = tmp_path / "history.db"
    finish(start(CLOCK.replace("JUMPS", repr(jumps)) + FLOW, file, env={"TOWPATH_HOME": str(tmp_path)}))
    show = "from towpath.cli.__main__ import main; import sys; sys.argv = ['towpath', 'runs', *WORDS]; sys.exit(main())"
    for words in (["ls"], ["ls", "--json"], ["inspect", "parent"], ["logs", "parent"]):
        with open_history(file) as history:
            named = [history.runs(flow="parent")[0].name if word == "parent" else word for word in words]
        out, err = finish(start(show.replace("WORDS", repr(named)), file))
        assert "Traceback" not in err
        assert out
