"""A run of another process, watched at a terminal; and its tasks counted while they go."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.sdk.console.screen import Terminal

from towpath import flow, task
from towpath.cache_policies import INPUTS
from towpath.history import open_history
from towpath.testing import harness

SCRIPT = """
import time
from pathlib import Path
from towpath import flow, task

@task
def load(i):
    if i == 1:
        raise ValueError("no such row")
    while i == 2 and not Path("go").exists():
        time.sleep(0.01)

@flow(flow_run_name="the-run")
def main():
    load.map(range(4)).wait()

main()
"""


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """Give what says where runs are recorded."""
    return {"TOWPATH_HISTORY": str(tmp_path / "h.db"), "HOME": str(tmp_path), "PATH": os.environ["PATH"]}


@pytest.fixture
def running(tmp_path: Path, environment: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    """Run a flow in a process of its own; one of its tasks waits for a file, and has begun."""
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT], cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True
    )
    with process:
        assert process.stderr is not None
        while "no such row" not in process.stderr.readline():
            assert process.poll() is None
        yield process
        (tmp_path / "go").touch()
        process.communicate(timeout=50)


def test_a_run_of_another_process_is_drawn_until_it_ends(
    running: subprocess.Popen[str], environment: dict[str, str], tmp_path: Path
) -> None:
    """With its tasks counted while they go; the exit code says how it ended."""
    with Terminal("-m", "towpath.cli", "runs", "watch", "the-run", environment=environment) as terminal:
        terminal.until(r"the-run +main +▶ Running +\d+\.\d s +3/4 done, 1 running, 1 failed: load-1$")
        (tmp_path / "go").touch()
        text = terminal.end()
        assert terminal.process.returncode == 0
        assert text.count("the-run") == 1
        assert "✔ Completed" in text


def test_without_rich_each_new_state_is_a_line(
    running: subprocess.Popen[str], environment: dict[str, str], tmp_path: Path
) -> None:
    """And it is said what helps."""
    code = "import sys; sys.modules['rich'] = None; from towpath.cli.__main__ import main; sys.exit(main(sys.argv[1:]))"
    with Terminal("-c", code, "runs", "watch", "the-run", environment=environment, columns=120) as terminal:
        terminal.until(r"pip install 'towpath\[rich\]'")
        terminal.until(r"the-run  ▶ Running")
        (tmp_path / "go").touch()
        assert terminal.end().splitlines()[-1].endswith("the-run  ✔ Completed")


def test_tasks_are_counted_by_how_they_ended() -> None:
    """Those that took a kept result, and the names of some that failed; a run without tasks is left out."""

    @task(cache_policy=INPUTS, persist_result=True)
    def keep(x: int) -> int:
        return x

    @task
    def fail(x: int) -> None:
        raise ValueError(x)

    @flow
    def child() -> None:
        pass

    @flow
    def main() -> int:
        for x in (1, 2, 1):
            keep(x)
        fail.map(range(7)).wait()
        child()
        return 1

    with harness() as made, open_history(made.folder / "history.db") as history:
        main()
        runs = {run.flow: run.id for run in history.runs(top_level=False)}
        ((run, tally),) = history.tallies(runs.values()).items()
    assert (run, tally.total, tally.completed, tally.failed, tally.cached) == (runs["main"], 10, 3, 7, 1)
    assert len(tally.failures) == 5  # in whatever order threads began
    assert set(tally.failures) < {f"fail-{number}" for number in range(7)}
