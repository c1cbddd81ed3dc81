"""What only the task runner on processes promises."""

from __future__ import annotations

import os
import threading
from typing import Any

import pytest
from tests.sdk.runners.work import die, double, fail, pid, submit_a_lock, within

from towpath import ProcessPoolTaskRunner, task
from towpath.errors import ConfigurationError, SerializationError
from towpath.states import StateType


class TestProcesses:
    """What only the runner on processes promises."""

    def test_a_killed_worker_crashes_its_task(self) -> None:
        """At once, and the next task gets a new one."""
        states = within(ProcessPoolTaskRunner(1), lambda: [die.submit().wait(), double.submit(1).wait()])
        assert [state.type for state in states] == [StateType.CRASHED, StateType.COMPLETED]
        assert "killed by SIGKILL" in states[0].message

    def test_a_killed_worker_is_an_ordinary_exception(self) -> None:
        """A flow that is ready for failing tasks is ready for this one too."""

        def body() -> str:
            try:
                die.submit().result()
            except Exception as error:
                return f"{type(error).__name__}: {error}"
            return "lived"

        told = within(ProcessPoolTaskRunner(1), body)
        assert told.startswith("FlowRunCrashed: The worker of the task run 'die-0' was killed by SIGKILL.")

    def test_processes_are_used_again_and_end_with_the_run(self) -> None:
        """No more of them than workers, none of them this process, none left."""
        pids = set(within(ProcessPoolTaskRunner(2), lambda: pid.map(range(20)).result()))
        assert 1 <= len(pids) <= 2
        assert os.getpid() not in pids
        for number in pids:
            with pytest.raises(ProcessLookupError):
                os.kill(number, 0)

    def test_an_argument_that_cannot_travel_is_named(self) -> None:
        """And the task is not tried again."""
        lock: Any = threading.Lock()
        state = within(ProcessPoolTaskRunner(1), lambda: [double.with_options(retries=2).submit(lock).wait()])[0]
        assert state.type is StateType.FAILED
        assert isinstance(state.data, SerializationError)
        assert "Argument 'x' of task 'double'" in str(state.data)

    def test_a_nested_argument_that_cannot_travel_is_named(self) -> None:
        """In the task that submits it."""
        state = within(ProcessPoolTaskRunner(1), lambda: submit_a_lock.submit().result())
        assert "Argument 'x' of task 'double'" in state

    def test_a_value_that_cannot_travel_says_so(self) -> None:
        """The task failed, and its worker goes on."""
        made = task(name="make")(threading.Lock)
        states = within(ProcessPoolTaskRunner(1), lambda: [made.submit().wait(), double.submit(1).wait()])
        assert [state.type for state in states] == [StateType.FAILED, StateType.COMPLETED]
        assert "that task 'make' returned" in str(states[0].data)

    def test_tracebacks_travel_as_notes(self) -> None:
        """So that one sees where in the worker it was."""
        state = within(ProcessPoolTaskRunner(1), lambda: [fail.submit().wait()])[0]
        assert 'raise Odd(7, why="no")' in "".join(state.data.__notes__)

    @pytest.mark.parametrize("workers", [0, -1, True], ids=repr)
    def test_a_pool_without_workers_is_refused(self, workers: Any) -> None:
        """At least one, or None for as many as there are cores."""
        with pytest.raises(ConfigurationError, match="max_workers"):
            ProcessPoolTaskRunner(max_workers=workers)
