"""Flow runs: calls, parameters, states, subflows, options."""

from __future__ import annotations

import functools
import threading
from typing import Any

import pytest
from pydantic import BaseModel

from towpath import (
    Cancelled,
    Completed,
    Failed,
    Flow,
    Future,
    State,
    ThreadPoolTaskRunner,
    flow,
    get_run_context,
    runtime,
    tags,
    task,
    unmapped,
)
from towpath.errors import ConfigurationError, FlowRunCancelled, FlowRunFailed, NestingTooDeep, ParameterError
from towpath.runs import FlowRun


class Item(BaseModel):
    name: str
    count: int = 1


@task
def double(x: int) -> int:
    return 2 * x


@task
def fail() -> None:
    raise ValueError("no")


@flow
def add(x: int, y: int = 1) -> int:
    return x + y


def facts() -> FlowRun:
    """Give the current flow run's facts."""
    run = get_run_context().flow_run
    assert run is not None
    return run


def test_a_call_gives_the_value_or_raises() -> None:
    """Like the function itself, parameters validated."""
    assert add(1) == 2
    assert add("5", y="6") == 11  # type: ignore[call-overload]
    with pytest.raises(ValueError, match="no"):
        flow(lambda: fail())()  # noqa: PLW0108 the lambda is what is called


def test_models_are_made_of_dictionaries() -> None:
    """What a kubectl user writes becomes what the author wrote."""

    @flow
    def order(items: list[Item]) -> int:
        return sum(item.count for item in items)

    assert order([{"name": "a", "count": "2"}, Item(name="b")]) == 3  # type: ignore[list-item]


def test_wrong_parameters_fail_before_running() -> None:
    """FAILED with a ParameterError; no user code has run."""
    ran: list[int] = []

    @flow
    def main(x: int) -> None:
        ran.append(x)

    with pytest.raises(ParameterError, match="x='many' must be a whole number"):
        main("many")  # type: ignore[call-overload]
    with pytest.raises(ParameterError, match="x is missing"):
        main()  # type: ignore[call-overload]
    state = main("many", return_state=True)
    assert state.is_failed()
    assert isinstance(state.result(raise_on_failure=False), ParameterError)
    assert ran == []


def test_validation_can_be_left_out() -> None:
    """`validate_parameters=False` binds, and takes values as they are; nothing is said against them."""

    @flow(validate_parameters=False)
    def main(x: int, y: int = 2) -> tuple[Any, int]:
        return x, y

    assert main("5") == ("5", 2)  # type: ignore[call-overload]
    with pytest.raises(ParameterError, match=r"flow 'main': x is missing\. The flow takes x, y\.$"):
        main(y="many")  # type: ignore[call-overload]


def test_all_that_is_wrong_is_said_at_once() -> None:
    """What is missing, what is too much, and what does not fit: with arguments and with values by name."""

    @flow
    def main(y: int, x: int, *rest: int) -> None: ...

    said = r"flow 'main': q=1 is not a parameter of the flow; x is missing; y='many' must be a whole number\. The flow"
    with pytest.raises(ParameterError, match=said):
        main("many", q=1)  # type: ignore[call-overload]
    with pytest.raises(ParameterError, match=said):
        main.validate_parameters({"q": 1, "y": "many"})
    with pytest.raises(ParameterError, match="rest=5 must be a list; x is missing; y is missing"):
        main.validate_parameters({"rest": 5})


def test_parameters_are_told_validated() -> None:
    """The run's parameters are the coerced values, defaults included."""

    @flow
    def main(x: int, *rest: int, y: int = 2, **more: str) -> dict[str, Any]:
        return runtime.flow_run.parameters

    assert main("1", "2", z="a") == {"x": 1, "rest": (2,), "y": 2, "more": {"z": "a"}}  # type: ignore[call-overload]


def test_a_flow_that_returns_futures_takes_their_states() -> None:
    """The aggregate decides; a plain call gives the states, which raise for themselves."""

    @flow
    def good() -> Any:
        return double.map([1, 2])

    @flow
    def mixed() -> Any:
        return [double.submit(1), fail.submit()]

    @flow
    def single() -> Any:
        return fail.submit()

    assert [state.result() for state in good()] == [2, 4]
    assert [state.type for state in mixed()] == ["COMPLETED", "FAILED"]
    assert mixed(return_state=True).message == "1/2 states failed."
    with pytest.raises(ValueError, match="no"):
        single()
    with pytest.raises(ValueError, match="no"):
        mixed(return_state=True).result()


def test_a_failed_task_that_nobody_looks_at_does_not_fail_the_flow() -> None:
    """A plain value means COMPLETED, as in Prefect."""

    @flow
    def main() -> str:
        fail.submit()
        return "done"

    state = main(return_state=True)
    assert (state.name, state.result()) == ("Completed", "done")


def test_all_submitted_tasks_have_ended_when_the_flow_has() -> None:
    """A future that nobody waits for is waited for by the flow."""
    ended: list[int] = []

    @task
    def note(x: int) -> None:
        ended.append(x)

    @flow(task_runner=ThreadPoolTaskRunner(max_workers=2))
    def main() -> None:
        note.map(range(20))

    main()
    assert sorted(ended) == list(range(20))


def test_a_flow_that_raised_drops_what_has_not_begun() -> None:
    """Queued tasks are CANCELLED, not run."""
    kept: list[Future[Any]] = []
    begun, gate = threading.Event(), threading.Event()

    @task
    def hold() -> None:
        begun.set()
        gate.wait(60)

    @flow(task_runner=ThreadPoolTaskRunner(max_workers=1))
    def main() -> None:
        kept.append(hold.submit())
        kept.extend(double.map([1, 2]))
        kept.append(double.submit(kept[0]))
        begun.wait(60)
        kept[3].add_done_callback(lambda _: gate.set())
        raise ValueError("own")

    with pytest.raises(ValueError, match="own"):
        main()
    assert [future.state.type for future in kept] == ["COMPLETED", "CANCELLED", "CANCELLED", "CANCELLED"]


def test_states_of_ones_own() -> None:
    """`return Completed(...)` and its like decide type, name and message; a plain call unfolds them."""

    @flow
    def main(state: str) -> Any:
        return {
            "skipped": Completed(name="Skipped", message="nothing to do", data=3),
            "failed": Failed(message="no stock"),
            "cancelled": Cancelled(message="not today"),
        }[state]

    skipped = main("skipped", return_state=True)
    assert (skipped.name, skipped.message, main("skipped")) == ("Skipped", "nothing to do", 3)
    with pytest.raises(FlowRunFailed, match="no stock"):
        main("failed")
    with pytest.raises(FlowRunCancelled, match="not today"):
        main("cancelled")
    assert main("cancelled", return_state=True).is_cancelled()


def test_flows_are_tried_again(naps: list[float]) -> None:
    """With delays, jitter and condition just as tasks; each try starts afresh."""
    tries: list[int] = []

    @flow(retries=3, retry_delay_seconds=[2, 3], retry_condition_fn=lambda *_: len(tries) < 3)
    def main() -> None:
        tries.append(facts().run_count)
        raise ValueError

    state = main(return_state=True)
    assert state.is_failed()
    assert tries == [1, 2, 3]
    assert naps == [2, 3]


def test_a_subflow_is_a_run_of_its_own() -> None:
    """Own name and id, linked to its parent; its value comes back, its exception goes on."""
    seen: list[FlowRun] = []

    @flow
    def child(x: int) -> int:
        seen.append(facts())
        return x + 1

    @flow
    def parent() -> list[int]:
        seen.append(facts())
        return [child(1), *child.map([2, 3]).result(), child.submit(double.submit(2)).result()]  # type: ignore[arg-type]

    with tags("nightly"):
        assert parent() == [2, 3, 4, 5]
    top, *children = seen
    assert len({run.id for run in seen}) == 5
    assert {run.parent_id for run in children} == {top.id}
    assert {run.root_id for run in seen} == {top.id}
    assert {run.depth for run in children} == {1}
    assert all(run.tags == {"nightly"} for run in seen)
    assert all("-" in run.name for run in seen)


def test_children_of_children() -> None:
    """Depth counts on, and the root stays the root."""

    @flow
    def nest(n: int) -> list[tuple[int, str]]:
        return [(facts().depth, facts().root_id), *(nest(n - 1) if n else [])]

    depths = nest(3)
    assert [depth for depth, _ in depths] == [0, 1, 2, 3]
    assert len({root for _, root in depths}) == 1


def test_endless_recursion_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Deeper than the guard: a clear error instead of a stack overflow; the guard can be set."""

    @flow
    def nest() -> None:
        nest()

    with pytest.raises(NestingTooDeep, match="at most 20"):
        nest()
    monkeypatch.setenv("TOWPATH_MAX_DEPTH", "2")
    with pytest.raises(NestingTooDeep, match="at most 2 "):
        nest()


def test_submitted_outside_of_a_flow() -> None:
    """A flow runs beside its caller anywhere."""
    assert add.submit(1, y=2).result() == 3
    assert add.map([1, 2], y=unmapped(10)).result() == [11, 12]
    assert add.submit("x", return_state=True).is_failed()  # type: ignore[call-overload]


def test_wait_for_and_not_ready() -> None:
    """A flow that waits for a failed run does not run."""

    @flow
    def parent() -> list[State[Any]]:
        bad = fail.submit()
        return {"states": [add(1, wait_for=[bad], return_state=True), add.submit(bad, return_state=True)]}  # type: ignore[return-value, call-overload]

    assert [state.name for state in parent()["states"]] == ["NotReady", "NotReady"]  # type: ignore[call-overload]


def test_run_names() -> None:
    """Two words, a template over the parameters, or what a function gives."""

    @flow
    def plain() -> str | None:
        return runtime.flow_run.name

    @flow(flow_run_name="load {day} of {item.name}")
    def templated(day: str, item: Item) -> str | None:
        return runtime.flow_run.name

    @flow(flow_run_name=lambda: "by a function")
    def named() -> str | None:
        return runtime.flow_run.name

    @flow(flow_run_name="{nothing}")
    def misnamed() -> None: ...

    assert len((plain() or "").split("-")) == 2
    assert templated("Monday", {"name": "x"}) == "load Monday of x"  # type: ignore[call-overload]
    assert named() == "by a function"
    assert misnamed(return_state=True).is_failed()


def test_definitions_carry_what_was_said() -> None:
    """Options are attributes; `with_options` changes some and keeps the rest."""

    @flow(name="etl", image="i:1", resources={"requests": {"memory": "1Gi"}}, result_storage="s3://x", infra_retries=2)
    def main(x: int) -> int:
        """Move data."""
        return x

    assert (main.name, main.description, main.image, main.infra_retries, main.inline) == (
        "etl",
        "Move data.",
        "i:1",
        2,
        False,
    )
    changed = main.with_options(image="i:2", retries=4)
    assert (changed.image, changed.retries, changed.resources, changed.result_storage) == (
        "i:2",
        4,
        main.resources,
        "s3://x",
    )
    assert add.name == "add"
    assert Flow(functools.partial(add.fn, 1), name="p")(2) == 3
    assert flow(name="by-name")(add.fn).name == "by-name"
    assert flow(lambda my_arg: my_arg).name == "lambda"


def test_names_of_flows_have_dashes() -> None:
    """`my_flow` is called `my-flow`."""

    @flow
    def my_flow() -> None: ...

    assert my_flow.name == "my-flow"


@pytest.mark.parametrize(
    ("options", "words"),
    [({"infra_retries": -1}, "infra_retries"), ({"tags": ["a"]}, "tags"), ({"name": " "}, "name")],
    ids=str,
)
def test_options_that_cannot_be_are_refused(options: dict[str, Any], words: str) -> None:
    """Where they are written."""
    with pytest.raises(ConfigurationError, match=words):
        flow(**options)(lambda: None)


def test_a_runner_may_be_given_as_a_class() -> None:
    """`task_runner=ThreadPoolTaskRunner` makes one for each run."""

    @flow(task_runner=ThreadPoolTaskRunner)
    def main() -> list[int]:
        return double.map([1, 2]).result()

    assert main() == [2, 4]


def test_keyboard_interrupt_and_exit_crash_the_run_and_go_on() -> None:
    """CRASHED hooks run, and the exception reaches the caller as it is, whatever it asked for."""
    seen: list[State[Any]] = []

    @flow(on_crashed=[lambda _flow, _run, state: seen.append(state)])
    def main(error: Any) -> None:
        raise error

    for error in (KeyboardInterrupt(), SystemExit(3)):
        with pytest.raises(type(error)) as raised:
            main(error, return_state=True)
        assert raised.value is error
    assert [state.type for state in seen] == ["CRASHED", "CRASHED"]
    assert seen[1].message == "Flow run was ended by a call of sys.exit(3)."
