"""Slips that are refused where they are made, and what is none."""

from __future__ import annotations

import re
from typing import Any

import pytest

from towpath import FutureList, State, flow, task
from towpath.errors import ConfigurationError


def nothing(*_: object) -> None:
    """Do nothing."""


@pytest.mark.parametrize(
    ("make", "options", "said"),
    [
        (flow, {"on_failure": nothing}, "on_failure is a list of functions; got <function nothing"),
        (task, {"on_running": nothing}, "Write `on_running=[...]`."),
        (task, {"on_rollback": nothing}, "on_rollback is a list"),
        (flow, {"on_crashed": [nothing, 1]}, "on_crashed is a list of functions; 1 is none."),
        (flow, {"flow_run_name": 3}, "flow_run_name is a template, or a function that gives a name; got 3."),
        (task, {"task_run_name": 3}, "task_run_name is a template"),
        (flow, {"name": "etl/daily"}, "A flow's name is a text without % & / < >; got 'etl/daily'."),
    ],
    ids=["hook", "hook of a task", "hook of a transaction", "no hook", "flow run name", "task run name", "name"],
)
def test_an_option_that_cannot_be_is_refused(make: Any, options: dict[str, Any], said: str) -> None:
    """At the decorator, with the value and what to write instead."""
    with pytest.raises(ConfigurationError, match=re.escape(said)):
        make(**options)(nothing)


def test_a_task_may_be_called_anything() -> None:
    """Only flows' names become part of other names."""

    @task(name="GET /users?id=<id>")
    def get() -> int:
        return 1

    assert flow(lambda: get.submit().result(), name="main")() == 1


@pytest.mark.parametrize("args", [((), {}), ((1, 2, 3), {}), ((1,), {"z": 1})], ids=["few", "many", "unknown"])
def test_arguments_that_do_not_fit_a_task_are_refused_where_it_is_submitted(args: tuple[Any, Any]) -> None:
    """Nobody might look at the future: `submit` and `map` raise, as a call does."""

    @task
    def add(x: int, y: int = 1) -> int:
        return x + y

    @flow
    def main() -> None:
        add.submit(*args[0], **args[1])

    with pytest.raises(TypeError, match="'add'" if args != ((), {}) else "'x'"):
        main()
    with pytest.raises(TypeError, match="'add'"):
        flow(lambda: add.map([1], [2], z=[3]), name="main")()  # type: ignore[call-overload, unused-ignore]


def test_functions_of_c_that_do_not_tell_their_arguments_can_be_submitted() -> None:
    """What cannot be checked is tried."""
    assert flow(lambda: task(max, name="max").submit(1, 2).result(), name="main")() == 2


def test_the_state_of_a_list_is_mapped_over_like_the_list() -> None:
    """`double.map(numbers(return_state=True))` takes the run's value."""

    @task
    def numbers() -> list[int]:
        return [1, 2]

    @task
    def double(x: int) -> int:
        return 2 * x

    @flow
    def main() -> list[int]:
        state: State[list[int]] = numbers(return_state=True)
        futures: FutureList[int] = double.map(state)
        return futures.result()

    assert main() == [2, 4]
