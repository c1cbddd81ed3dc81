"""What only the task runner on Dask promises."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import distributed
import pytest
from tests.sdk.runners.conftest import ROOT
from tests.sdk.runners.work import die_after, double, fib, pid, say, submit_a_lock, within

from towpath import DaskTaskRunner, TaskRunner, flow, task
from towpath.engine.drive import run_flow
from towpath.errors import ConfigurationError, FlowRunCrashed, SerializationError
from towpath.runs import FlowRun
from towpath.states import StateType

SMALL = {"n_workers": 1, "threads_per_worker": 1, "dashboard_address": ":0"}


@pytest.fixture
def on_one_thread(dask_cluster: Any) -> TaskRunner:
    """Give a runner on a cluster with a single thread."""
    return DaskTaskRunner(cluster=dask_cluster)


def until(is_so: Callable[[], bool]) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + 45
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def wait_for(path: Path) -> None:
    """Wait until a file is there."""
    until(path.exists)


def is_there(process: int) -> bool:
    """Tell whether there is a process of that id."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


class TestClusters:
    """Where tasks run."""

    def test_a_cluster_of_the_runs_own_ends_with_it(self) -> None:
        """Tasks run in processes of its own, and none is left."""
        runner = DaskTaskRunner(cluster_kwargs=SMALL)
        pids = set(within(runner, lambda: pid.map(range(5)).result()))
        assert len(pids) == 1
        for number in pids:
            assert number != os.getpid()
            until(lambda: not is_there(number))  # noqa: B023 it is called at once

    def test_a_cluster_by_the_name_of_its_class_that_grows_with_its_work(self) -> None:
        """It begins without a worker, and what waits makes it get one."""
        runner = DaskTaskRunner(
            cluster_class="distributed.LocalCluster",
            cluster_kwargs={**SMALL, "n_workers": 0},
            adapt_kwargs={"minimum": 0, "maximum": 1, "interval": "50ms"},
        )
        assert within(runner, lambda: double.map(range(5)).result()) == [0, 2, 4, 6, 8]

    def test_workers_in_this_process(self, caplog: pytest.LogCaptureFixture) -> None:
        """What they log is told once."""
        caplog.set_level("INFO")
        runner = DaskTaskRunner(cluster_kwargs={**SMALL, "processes": False, "protocol": "tcp"})
        assert within(runner, lambda: (say.submit("hello").wait().type, pid.submit().result())) == (
            StateType.COMPLETED,
            os.getpid(),
        )
        assert [record.getMessage() for record in caplog.records].count("said hello") == 1

    def test_a_cluster_that_is_there_stays(self, on_one_thread: TaskRunner, dask_cluster: Any) -> None:
        """With nothing of the run's in it."""
        assert within(on_one_thread, lambda: pid.submit().result()) == within(
            on_one_thread, lambda: pid.submit().result()
        )
        assert dask_cluster.status is distributed.Status.running
        with distributed.Client(dask_cluster, set_as_default=False) as client:
            until(lambda: client.run_on_scheduler(lambda dask_scheduler: len(dask_scheduler.tasks)) == 0)

    def test_a_performance_report(self, dask_cluster: Any, tmp_path: Path) -> None:
        """Dask's own page about the run."""
        path = tmp_path / "report.html"
        runner = DaskTaskRunner(cluster=dask_cluster, performance_report_path=str(path))
        within(runner, lambda: double.map(range(3)).result())
        assert "Dask Performance Report" in path.read_text(encoding="utf-8")

    def test_a_report_that_cannot_be_written_costs_nothing_else(
        self, dask_cluster: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        """It is logged, and the run's result stands."""
        (tmp_path / "file").touch()
        runner = DaskTaskRunner(cluster=dask_cluster, performance_report_path=str(tmp_path / "file" / "report.html"))
        assert within(runner, lambda: double.submit(1).result()) == 2
        assert "The Dask cluster could not be left in order." in caplog.messages

    def test_a_scheduler_that_is_not_there_is_told(self) -> None:
        """By its address."""
        runner = DaskTaskRunner(address="tcp://127.0.0.1:1", client_kwargs={"timeout": 0.2})
        with pytest.raises(ConfigurationError, match=r"no Dask scheduler at 'tcp://127.0.0.1:1'"):
            within(runner, lambda: double.submit(1).result())

    @pytest.mark.parametrize("name", ["nowhere.Cluster", "distributed.NoCluster", "Cluster"])
    def test_a_class_that_is_not_there_is_told(self, name: str) -> None:
        """By its name."""
        with pytest.raises(ConfigurationError, match=f"cluster_class '{name}' cannot be imported"):
            within(DaskTaskRunner(cluster_class=name), lambda: double.submit(1).result())

    def test_without_dask_the_extra_is_named(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """And nothing needs it before a task is submitted."""
        monkeypatch.setitem(sys.modules, "distributed", None)
        for module in ("dask_cluster", "dask_hub", "dask_seat"):
            monkeypatch.delitem(sys.modules, f"towpath.engine.{module}", raising=False)
        with pytest.raises(ConfigurationError, match=r"'distributed': pip install 'towpath\[dask\]'"):
            within(DaskTaskRunner(), lambda: double.submit(1).result())

    def test_a_script_that_calls_its_flow_when_it_is_imported_is_told_so(self, tmp_path: Path) -> None:
        """Dask's processes import the script; such a call there goes no further, and the run fails."""
        script = tmp_path / "script.py"
        script.write_text(
            "from towpath import DaskTaskRunner, flow, task\n"
            f"@flow(task_runner=DaskTaskRunner(cluster_kwargs={SMALL!r}))\n"
            "def main():\n    task(lambda: 1).submit().result()\nmain()\n",
            encoding="utf-8",
        )
        done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=False, timeout=50)
        assert done.returncode == 1
        assert 'Call the flow below `if __name__ == "__main__":`' in done.stderr
        assert "made no Dask cluster" in done.stderr


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"address": "a", "cluster": object()}, "one of cluster and address"),
        ({"address": "a", "cluster_class": "b.C"}, "one of address and cluster_class"),
        ({"address": "a", "cluster_kwargs": {"n_workers": 1}}, "cluster_kwargs are for a cluster that is made"),
        ({"address": "a", "adapt_kwargs": {"maximum": 1}}, "adapt_kwargs need the cluster itself"),
        ({"address": 8786}, "got 8786"),
        ({"cluster_kwargs": {"asynchronous": True}}, "cluster_kwargs cannot set 'asynchronous'"),
        ({"client_kwargs": {"asynchronous": True}}, "client_kwargs cannot set 'asynchronous'"),
        ({"cluster": type("Cluster", (), {"asynchronous": True})()}, "made with asynchronous=True"),
    ],
    ids=lambda value: "" if isinstance(value, str) else ", ".join(value),
)
def test_arguments_that_do_not_go_together_are_refused(given: dict[str, Any], told: str) -> None:
    """When the runner is made, without Dask being loaded."""
    with pytest.raises(ConfigurationError, match=told):
        DaskTaskRunner(**given)


def test_a_runner_shows_what_it_was_given() -> None:
    """And nothing else."""
    assert repr(DaskTaskRunner()) == "DaskTaskRunner()"
    assert repr(DaskTaskRunner(address="tcp://a:1")) == "DaskTaskRunner(address='tcp://a:1')"


class TestWork:
    """How tasks run there."""

    def test_a_killed_worker_crashes_its_task(self, tmp_path: Path) -> None:
        """Which is not called again, though Dask would; the exception is an ordinary one, and the flow goes on."""
        trace = tmp_path / "trace"

        def body() -> tuple[StateType, int]:
            future = die_after.submit(trace)
            with pytest.raises(FlowRunCrashed, match="has gone with its Dask worker"):
                future.result()
            return future.state.type, double.submit(1).result()

        assert within(DaskTaskRunner(cluster_kwargs=SMALL), body) == (StateType.CRASHED, 2)
        assert trace.read_text(encoding="utf-8") == "x"

    def test_a_task_runs_when_a_worker_has_room(self, on_one_thread: TaskRunner, tmp_path: Path) -> None:
        """Until then it is not RUNNING, and its time does not count."""
        gate = tmp_path / "gate"
        begun = tmp_path / "begun"

        @task
        def stand() -> None:
            begun.touch()
            wait_for(gate)

        def body() -> list[Any]:
            first = stand.submit()
            second = double.with_options(timeout_seconds=20).submit(1)
            wait_for(begun)
            seen = [future.state.type for future in (first, second)]
            gate.touch()
            return [*seen, second.result()]

        assert within(on_one_thread, body) == [StateType.RUNNING, StateType.PENDING, 2]

    def test_a_task_that_waits_for_its_own_gives_its_thread_to_others(self, on_one_thread: TaskRunner) -> None:
        """However deep they go."""
        assert within(on_one_thread, lambda: fib.submit(7).result()) == 13

    def test_large_values_go_both_ways(self, on_one_thread: TaskRunner) -> None:
        """They do not stay with the scheduler."""
        values = within(on_one_thread, lambda: task(lambda data: data * 2).map([b"x" * 10_000_000] * 2).result())
        assert [len(value) for value in values] == [20_000_000, 20_000_000]

    def test_an_argument_that_cannot_travel_is_named(self, on_one_thread: TaskRunner) -> None:
        """Of a task of the flow, and of one that a task submits."""
        lock: Any = threading.Lock()
        state = within(on_one_thread, lambda: [double.submit(lock).wait()])[0]
        assert isinstance(state.data, SerializationError)
        assert "Argument 'x' of task 'double'" in str(state.data)
        assert "Argument 'x' of task 'double'" in within(on_one_thread, lambda: submit_a_lock.submit().result())

    def test_a_value_that_cannot_travel_says_so(self, on_one_thread: TaskRunner) -> None:
        """The task failed, and its worker goes on."""
        made = task(name="make")(threading.Lock)
        states = within(on_one_thread, lambda: [made.submit().wait(), double.submit(1).wait()])
        assert [state.type for state in states] == [StateType.FAILED, StateType.COMPLETED]
        assert "that task 'make' returned" in str(states[0].data)

    def test_a_worker_without_what_a_task_needs_fails_it(self, dask_address: str, tmp_path: Path) -> None:
        """With the name of the module."""
        module = tmp_path / "only_here.py"
        module.write_text("from towpath import task\n@task\ndef lonely() -> int:\n    return 1\n", encoding="utf-8")
        sys.path.insert(0, str(tmp_path))
        try:
            from only_here import lonely  # type: ignore[import-not-found,unused-ignore]
        finally:
            sys.path.remove(str(tmp_path))
        state = within(DaskTaskRunner(address=dask_address), lambda: [lonely.submit().wait()])[0]
        assert state.type is StateType.FAILED
        assert "No module named 'only_here'" in str(state.data)

    def test_async_flows(self, on_one_thread: TaskRunner) -> None:
        """Their loop goes on while tasks run elsewhere."""

        async def main() -> list[int]:
            return [await double.submit(i) for i in range(3)]

        run = FlowRun("main")
        state = run_flow(flow(task_runner=on_one_thread)(main), {}, run=run)
        assert state.result() == [0, 2, 4]

    def test_what_a_worker_logs_itself_stays_there(
        self, on_one_thread: TaskRunner, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Only what tasks log belongs to the run."""

        def shout() -> None:
            thread = threading.Thread(target=logging.getLogger("elsewhere").warning, args=["not the run's"])
            thread.start()
            thread.join()
            logging.getLogger("elsewhere").warning("the run's")

        within(on_one_thread, lambda: task(shout).submit().result())
        assert [record.getMessage() for record in caplog.records if record.name == "elsewhere"] == ["the run's"]


def test_a_flow_that_is_killed_leaves_nothing_in_a_shared_cluster(dask_address: str, tmp_path: Path) -> None:
    """What its tasks do is ended, those that wait for others too, and the workers are free for the next."""
    trace = tmp_path / "trace"
    script = tmp_path / "script.py"
    script.write_text(
        "import sys\nfrom pathlib import Path\n"
        "from tests.sdk.runners.work import doze, submit_and_wait\nfrom towpath import DaskTaskRunner, flow\n"
        "@flow(task_runner=DaskTaskRunner(address=sys.argv[1]))\n"
        "def main(folder):\n"
        "    wait = submit_and_wait.submit(Path(folder) / 'nested')\n"
        "    doze.submit(Path(folder) / 'trace').result()\n"
        "main(sys.argv[2])\n",
        encoding="utf-8",
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TOWPATH_HISTORY": str(tmp_path / "history.db")}
    process = subprocess.Popen([sys.executable, str(script), dask_address, str(tmp_path)], env=environment)
    wait_for(trace.with_suffix(".begun"))
    wait_for((tmp_path / "nested").with_suffix(".begun"))
    process.send_signal(signal.SIGKILL)
    process.wait()
    for name in ("trace", "nested", "outer"):
        wait_for(tmp_path / name)
    assert within(DaskTaskRunner(address=dask_address), lambda: double.map(range(20)).result()) == [
        2 * i for i in range(20)
    ]
