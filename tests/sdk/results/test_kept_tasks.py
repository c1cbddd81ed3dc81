"""Tasks whose results are kept."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.sdk.results.values import Order

from towpath import Completed, Failed, ProcessPoolTaskRunner, State, Task, flow, get_run_context, tags, task
from towpath.cache_policies import DEFAULT, FLOW_PARAMETERS, INPUTS, NO_CACHE, RUN_ID, TASK_SOURCE, CachePolicy
from towpath.errors import ConfigurationError, MissingResult
from towpath.results import ResultStore
from towpath.runs import TaskRun
from towpath.tasks import task_input_hash
from towpath.testing import harness
from towpath.transactions import get_transaction, transaction


class Counted:
    """A function that counts its calls."""

    def __init__(self) -> None:
        self.calls: list[Any] = []

    def __call__(self, x: Any = 0, y: Any = 0) -> Any:
        self.calls.append(x)
        return [x, y]


@pytest.fixture
def fn() -> Counted:
    """A function that counts its calls."""
    return Counted()


def keys() -> list[str]:
    """What is kept, in the default place."""
    return sorted(ResultStore().keys())


def test_the_same_arguments_give_the_kept_result(fn: Counted) -> None:
    """However they are given: by place, by name or by default; called, submitted or mapped; in any flow or none."""
    add = task(fn, cache_policy=INPUTS)
    assert add(1) == add(x=1) == add(1, 0) == add(1, y=0) == [1, 0]
    assert flow(lambda: add.submit(1).result())() == [1, 0]
    assert flow(lambda: add.map([1, 1]).result())() == [[1, 0], [1, 0]]
    assert fn.calls == [1]
    assert add(2) == [2, 0]
    assert fn.calls == [1, 2]


def test_a_kept_result_is_said_to_be_one(fn: Counted) -> None:
    """The state is COMPLETED, named Cached; hooks run as for any other; nothing was called."""
    seen: list[str] = []
    add = task(fn, cache_policy=INPUTS, on_completion=[lambda task, run, state: seen.append(state.name)])
    first, second = add(1, return_state=True), add(1, return_state=True)
    assert (first.name, second.name, second.is_completed()) == ("Completed", "Cached", True)
    assert second.result() == [1, 0]
    assert second.message == f"The result was kept under {keys()[0]!r}."
    assert seen == ["Completed", "Cached"]


def test_nothing_is_kept_unless_it_is_asked_for(fn: Counted) -> None:
    """By default every call is a call."""
    plain = task(fn)
    flow(lambda: [plain(1), plain(1)])()
    assert fn.calls == [1, 1]
    assert keys() == []


@pytest.mark.parametrize(
    "options",
    [
        {"persist_result": True},
        {"cache_policy": DEFAULT},
        {"cache_key_fn": lambda context, parameters: "k"},
        {"cache_expiration": timedelta(days=1)},
        {"result_storage_key": "k"},
        {"result_serializer": "json"},
        {"result_storage": "~/somewhere"},
    ],
    ids=lambda options: next(iter(options)),
)
def test_each_of_these_options_asks_for_it(options: dict[str, Any]) -> None:
    """And by default a result stands for another of the same run, code and arguments."""
    assert task(Counted(), **options).persists is True
    assert task(Counted(), **options).is_kept


@pytest.mark.parametrize(
    "options", [{}, {"cache_policy": NO_CACHE}, {"cache_policy": None}, {"refresh_cache": True}], ids=str
)
def test_these_do_not(options: dict[str, Any]) -> None:
    """They say only what to do if it is kept."""
    made: Task[..., Any] = task(Counted(), **options)
    assert made.persists is None
    assert not made.is_kept


def test_a_flow_asks_for_all_its_tasks(fn: Counted) -> None:
    """Unless a task says otherwise; within one run a repeated call finds the result, another run does not."""
    plain, never = task(fn), task(fn, persist_result=False)

    @flow(persist_result=True)
    def etl() -> Any:
        return [plain(1), plain(1), plain.submit(1).result(), never(1), never(1)]

    etl()
    assert fn.calls == [1, 1, 1]
    etl()
    assert fn.calls == [1, 1, 1] * 2


def test_a_setting_asks_for_all(fn: Counted, monkeypatch: pytest.MonkeyPatch) -> None:
    """`TOWPATH_RESULTS_PERSIST_BY_DEFAULT`, for flows, their tasks, and tasks outside of flows."""
    monkeypatch.setenv("TOWPATH_RESULTS_PERSIST_BY_DEFAULT", "true")
    plain = task(fn)
    flow(lambda: [plain(1), plain(1)])()
    assert fn.calls == [1]
    assert len(keys()) == 2
    plain(2)
    assert len(keys()) == 3


def test_tasks_of_a_task_do_as_it_does(fn: Counted) -> None:
    """What is called in a task whose results are kept is kept too, with it."""
    inner = task(fn)

    @task(persist_result=True)
    def outer() -> Any:
        return [inner(1), inner(1)]

    assert flow(outer)() == [[1, 0], [1, 0]]
    assert fn.calls == [1]
    assert len(keys()) == 2


def test_the_default_looks_at_run_code_and_arguments(fn: Counted) -> None:
    """So a retried flow goes on where it failed, and a new run begins anew."""
    load = task(fn, persist_result=True)
    tries: list[int] = []

    @flow(retries=2, persist_result=True)
    def etl() -> Any:
        tries.append(1)
        rows = load.map([1, 2, 3]).result()
        if len(tries) < 3:
            raise ConnectionError
        return rows

    assert etl() == [[1, 0], [2, 0], [3, 0]]
    assert (len(tries), sorted(fn.calls)) == (3, [1, 2, 3])


def test_two_functions_never_share_a_result_by_accident() -> None:
    """The same arguments of another function, another lambda or another object's method mean another result."""

    class Source:
        def __init__(self, name: str) -> None:
            self.name = name

        @task(cache_policy=INPUTS)
        def load(self, n: int) -> str:
            return f"{self.name}-{n}"

        @staticmethod
        @task(cache_policy=INPUTS)
        def count(n: int) -> int:
            return n

    one = task(lambda x: x + 1, cache_policy=INPUTS)
    two = task(lambda x: x + 2, cache_policy=INPUTS)
    assert [one(1), two(1), one(1), two(1)] == [2, 3, 2, 3]
    assert [Source("a").load(1), Source("b").load(1), Source("a").load(1)] == ["a-1", "b-1", "a-1"]
    assert Source("a").count(1) == 1
    assert len(keys()) == 5


def test_tasks_share_a_result_that_they_name_alike() -> None:
    """By a key function, or a policy of the author's own; the function's word counts, not the policy's."""

    def by_day(context: Any, parameters: dict[str, Any]) -> str:
        assert context.task_run.parameters == context.parameters == parameters
        return f"day-{parameters['day']}"

    first = task(lambda day: f"first {day}", cache_key_fn=by_day)
    second = task(lambda day: f"second {day}", cache_policy=CachePolicy.from_cache_key_fn(by_day))
    both = task(lambda day: f"third {day}", cache_key_fn=by_day, cache_policy=NO_CACHE)
    assert first(1) == second(1) == both(1) == "first 1"
    assert keys() == ["day-1"]


def test_a_key_function_may_say_not_this_time(fn: Counted) -> None:
    """None means that nothing is looked up; the result is kept all the same, by its run."""
    sometimes = task(fn, cache_key_fn=lambda context, parameters: "k" if parameters["x"] else None)
    sometimes(0)
    sometimes(0)
    sometimes(1)
    sometimes(1)
    assert fn.calls == [0, 0, 1]
    assert [key.partition("/")[0] for key in keys()] == ["k", "runs", "runs"]


@pytest.mark.parametrize(
    ("policy", "calls"),
    [
        (RUN_ID, [1, 1]), (FLOW_PARAMETERS, [1, 1]), (FLOW_PARAMETERS + INPUTS, [1, 2, 1, 2]), (INPUTS - "x", [1]),
        (TASK_SOURCE, [1]), (NO_CACHE, [1, 2] * 2), (None, [1, 2] * 2),
    ],
    ids=["run", "flow's parameters", "and inputs", "no inputs", "source", "nothing", "None"],
)  # fmt: skip
def test_a_policy_says_what_matters(fn: Counted, policy: CachePolicy | None, calls: list[int]) -> None:
    """Two calls in each of two runs with different parameters."""
    load = task(fn, cache_policy=policy)

    @flow(validate_parameters=False)
    def etl(day: int) -> None:
        load(1)
        load(2)

    etl(1)
    etl(2)
    assert fn.calls == calls


def test_a_result_counts_for_as_long_as_it_was_said(fn: Counted) -> None:
    """Then the task runs again, and its new result counts as long."""
    with harness() as towpath:
        towpath.clock.freeze(datetime(2026, 1, 31, tzinfo=UTC))
        load = task(fn, cache_policy=INPUTS, cache_expiration=timedelta(hours=1))
        for minutes, calls in ((0, 1), (59, 1), (2, 2), (59, 2), (1, 3)):
            towpath.clock.move(timedelta(minutes=minutes))
            load()
            assert len(fn.calls) == calls


def test_a_result_may_be_made_anew(fn: Counted, monkeypatch: pytest.MonkeyPatch) -> None:
    """By an option or a setting, of which the option counts; what is new is kept."""
    load = task(fn, cache_policy=INPUTS)
    fresh, never = load.with_options(refresh_cache=True), load.with_options(refresh_cache=False)
    load(1)
    fresh(1)
    load(1)
    assert fn.calls == [1, 1]
    monkeypatch.setenv("TOWPATH_TASKS_REFRESH_CACHE", "1")
    load(1)
    never(1)
    assert fn.calls == [1, 1, 1]


def test_caching_can_be_switched_off_from_outside(fn: Counted, monkeypatch: pytest.MonkeyPatch) -> None:
    """To see whether it is to blame, say."""
    load = task(fn, cache_policy=INPUTS)
    load(1)
    monkeypatch.setenv("TOWPATH_TASKS_DISABLE_CACHING", "true")
    load(1)
    assert fn.calls == [1, 1]


def test_results_can_be_given_a_name(tmp_path: Path) -> None:
    """A template over parameters and run; whoever finds a result there does not run."""
    calls: list[str] = []

    @task(result_storage_key="{flow_run.flow_name}/{parameters[day]}-{task_run.task_name}.json", result_serializer="json",
          result_storage=tmp_path)  # fmt: skip
    def load(day: str) -> dict[str, str]:
        calls.append(day)
        return {"day": day}

    @flow(name="etl")
    def etl() -> None:
        load("mon")
        load("mon")
        load("tue")

    etl()
    etl()
    assert calls == ["mon", "tue"]
    assert (tmp_path / "etl" / "mon-load.json").read_bytes().splitlines()[1] == b'{"day":"mon"}'
    load.with_options(cache_policy=NO_CACHE, result_storage_key="k")("mon")
    load.with_options(cache_policy=NO_CACHE, result_storage_key="k")("mon")
    assert calls == ["mon", "tue", "mon", "mon"]


@pytest.mark.parametrize(
    ("template", "why"),
    [("{parameters[month]}", "cannot be filled in: 'month'"), ("{nothing}", "cannot be filled in"), ("../{parameters[x]}", "cannot be a key")],
)  # fmt: skip
def test_a_name_that_cannot_be_made_fails_the_run(fn: Counted, template: str, why: str) -> None:
    """Before any code of the author has run, and without a further try."""
    state = task(fn, result_storage_key=template, retries=3)(1, return_state=True)
    assert state.is_failed()
    assert why in str(state.message)
    assert fn.calls == []


def test_where_and_how_is_asked_of_the_task_then_the_flow(tmp_path: Path, fn: Counted) -> None:
    """Then of the flow round that, then of the settings."""
    plain, own = task(fn), task(fn, result_storage=tmp_path / "task", result_serializer="json")

    @flow
    def child() -> None:
        plain(2)

    @flow(result_storage=tmp_path / "flow", result_serializer="compressed/json")
    def etl() -> None:
        plain(1)
        own(1)
        child()

    etl()
    folders = {
        folder.name: {ResultStore(folder).read(key).metadata.serializer for key in ResultStore(folder).keys()}  # noqa: SIM118
        for folder in tmp_path.iterdir()
    }
    assert folders == {"flow": {"compressed/json"}, "task": {"json"}}
    assert len(list(ResultStore(tmp_path / "flow").keys())) == 4


def test_a_result_need_not_stay_in_memory() -> None:
    """It is read from storage when somebody asks for it; a call gives it all the same."""

    @task(persist_result=True, cache_result_in_memory=False)
    def load() -> list[int]:
        return [1]

    @flow
    def etl() -> Any:
        future = load.submit()
        first, second = future.result(), future.result()
        assert first == second == [1]
        assert first is not second
        assert load.with_options(name="again")() == [1]
        return task(len)(load.submit())

    assert etl() == 1
    state = load(return_state=True)
    assert state.result() == state.data == [1]
    assert repr(state) == "Completed(type=COMPLETED)"
    state.data = "something"
    assert state.copy().result() == [1]


def test_a_result_that_is_nowhere_says_what_to_set() -> None:
    """Neither in memory nor in storage; the call itself still gives it."""
    forgetful = task(lambda: 42, cache_result_in_memory=False)
    assert forgetful() == 42
    with pytest.raises(MissingResult, match=r"cache_result_in_memory=False .* Set persist_result=True"):
        forgetful(return_state=True).result()


def test_what_has_no_key_is_not_cached_and_said_once(fn: Counted, caplog: pytest.LogCaptureFixture) -> None:
    """However often it is called."""
    load = task(fn, cache_policy=INPUTS)
    for _ in range(3):
        load(threading.Lock())
    assert len(fn.calls) == 3
    [line] = [record.message for record in caplog.records if record.levelno == logging.WARNING]
    assert "is not cached: parameter 'x' cannot be part of a key, a _thread.lock is like no other" in line
    assert "INPUTS - 'x'" in line


def test_a_key_function_that_fails_costs_the_cache_only(fn: Counted, caplog: pytest.LogCaptureFixture) -> None:
    """The task runs, and the log tells why its result cannot be found again."""

    def broken(context: Any, parameters: Any) -> str:
        raise RuntimeError("no key")

    load = task(fn, cache_key_fn=broken)
    assert load(1) == load(1) == [1, 0]
    assert len(fn.calls) == 2
    [record] = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert "could not be computed" in record.message
    assert record.exc_info is not None


def test_arguments_that_do_not_fit_find_nothing() -> None:
    """A wrong call is a wrong call, however often the right one was made."""
    load = task(lambda: 42, cache_policy=INPUTS)
    assert load() == 42
    with pytest.raises(TypeError):
        load(1)  # type: ignore[call-arg]
    picky = task(lambda x: x, cache_policy=INPUTS)
    with pytest.raises(TypeError):
        picky()  # type: ignore[call-arg]


def test_failures_are_not_kept() -> None:
    """Neither exceptions nor failed states; the next call tries again."""
    outcomes: Iterator[Any] = iter([ValueError("no"), Failed(message="no"), 42])

    @task(cache_policy=INPUTS, retries=2)
    def flaky() -> Any:
        outcome = next(outcomes)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    assert flaky() == flaky() == 42


def test_a_state_that_a_task_returned_comes_back_as_one() -> None:
    """With its value, named Cached; a call gives what it gave the first time."""

    @task(cache_policy=INPUTS)
    def skip() -> State[int]:
        return Completed(name="Skipped", data=5)

    first, second = skip(), skip()
    assert (first.name, first.data) == (second.name, second.data) == ("Skipped", 5)
    state = skip(return_state=True)
    assert (state.name, state.result()) == ("Cached", 5)


def test_none_is_a_result_too(fn: Counted) -> None:
    """Nothing, if it is what was returned."""
    calls: list[int] = []
    nothing = task(lambda: calls.append(1), cache_policy=INPUTS)
    assert nothing() is None
    assert nothing() is None
    assert calls == [1]


def test_generators_and_asynchronous_tasks_are_kept_alike() -> None:
    """A generator by the list of what it gave."""
    calls: list[str] = []

    @task(cache_policy=INPUTS)
    def numbers() -> Iterator[int]:
        calls.append("generator")
        yield from (1, 2)

    @task(cache_policy=INPUTS, timeout_seconds=60)
    async def later(x: int) -> int:
        calls.append("async")
        await asyncio.sleep(0)
        return x

    @flow
    async def etl() -> Any:
        return [await later(1), await later(1), await later.submit(1), numbers(), numbers()]

    assert asyncio.run(etl()) == [1, 1, 1, [1, 2], [1, 2]]
    assert calls == ["async", "generator"]


def test_asynchronous_failures_are_not_kept() -> None:
    """As little as others, be it by an exception or from outside."""

    @task(cache_policy=INPUTS, timeout_seconds=0.01)
    async def stuck() -> None:
        await asyncio.sleep(60)

    @task(cache_policy=INPUTS)
    async def interrupted() -> None:
        raise KeyboardInterrupt

    async def main() -> None:
        assert (await stuck(return_state=True)).name == "TimedOut"

    asyncio.run(main())
    with pytest.raises(KeyboardInterrupt):
        asyncio.run(interrupted())
    assert keys() == []


def test_interrupted_tasks_leave_no_lock() -> None:
    """Ctrl-C while a key is worked on; the next run works on it."""
    policy = INPUTS.configure(isolation_level="SERIALIZABLE")
    errors: Iterator[BaseException | None] = iter([KeyboardInterrupt(), None])

    @task(cache_policy=policy)
    def load() -> int:
        if error := next(errors):
            raise error
        return 1

    with pytest.raises(KeyboardInterrupt):
        load()
    assert load() == 1


def test_one_run_at_a_time_works_on_a_key(fn: Counted) -> None:
    """The others wait, and find its result: an expensive call is made once, however many want it."""
    begun, go_on = threading.Event(), threading.Event()
    calls: list[int] = []

    @task(cache_policy=INPUTS.configure(isolation_level="SERIALIZABLE"))
    def load(x: int) -> int:
        calls.append(x)
        begun.set()
        go_on.wait(60)
        return x

    @flow
    def etl() -> list[int]:
        futures = load.map([1] * 8)
        assert begun.wait(60)
        go_on.set()
        return futures.result()

    assert etl() == [1] * 8
    assert calls == [1]


def test_isolation_without_locks_fails_the_run(fn: Counted) -> None:
    """At once, with the cure; trying again would not help."""
    policy = INPUTS.configure(isolation_level="SERIALIZABLE", key_storage="memory://keys")
    state = task(fn, cache_policy=policy, retries=3)(1, return_state=True)
    assert state.is_failed()
    assert "needs a lock manager" in str(state.message)
    assert isinstance(state.data, ConfigurationError)
    assert fn.calls == []


def test_asynchronous_tasks_wait_for_locks_too() -> None:
    """Without holding up the loop in which the holder runs."""
    calls: list[int] = []

    @task(cache_policy=INPUTS.configure(isolation_level="SERIALIZABLE"))
    async def load() -> int:
        calls.append(1)
        await asyncio.sleep(0.02)
        return 42

    async def main() -> list[int]:
        return list(await asyncio.gather(*(load() for _ in range(4))))

    assert asyncio.run(main()) == [42] * 4
    assert calls == [1]


def test_keys_in_a_place_of_their_own(fn: Counted, tmp_path: Path) -> None:
    """To forget all keys without losing a result."""
    load = task(fn, cache_policy=INPUTS.configure(key_storage=tmp_path / "keys"), result_storage=tmp_path / "values")
    load(1)
    load(1)
    assert fn.calls == [1]
    for record in (tmp_path / "keys").iterdir():
        record.unlink()
    load(1)
    assert fn.calls == [1, 1]
    assert len(list((tmp_path / "values" / "values").iterdir())) == 2


def test_a_task_in_a_block_is_a_part_of_it(fn: Counted) -> None:
    """What it kept counts with the block; what it did is undone with the block; its run says so."""
    undone: list[Any] = []
    runs: list[TaskRun] = []

    @task(cache_policy=INPUTS, on_completion=[lambda task, run, state: runs.append(run)])
    def write(x: int) -> int:
        txn = get_transaction()
        assert txn is not None
        txn.set("own", x * 10)
        return x

    @write.on_rollback
    def undo(txn: Any) -> None:
        undone.append((txn.get("own"), txn.get("day")))

    @flow
    def etl(fails: bool) -> Any:
        with transaction() as txn:
            txn.set("day", "mon")
            futures = write.map([1, 2])
            futures.wait()
            assert keys() == []
            if fails:
                task(lambda: 1 / 0)()
        return futures.result()

    assert etl(fails=True, return_state=True).is_failed()
    assert sorted(undone) == [(10, "mon"), (20, "mon")]
    assert [run.state_name for run in runs] == ["RolledBack", "RolledBack"]
    assert all(run.state_type == "COMPLETED" for run in runs)
    assert keys() == []
    assert etl(fails=False) == [1, 2]
    assert len(keys()) == 2


def test_the_history_tells_what_was_cached_and_rolled_back() -> None:
    """State by state; and the flow run counts what it took from storage."""

    @task(cache_policy=INPUTS)
    def cached() -> None: ...

    @task(on_rollback=[lambda txn: None])
    def undone() -> None: ...

    @flow
    def etl() -> None:
        cached()
        cached()
        with transaction():
            undone()
            raise ValueError

    runs: list[Any] = []
    etl.on_failure(lambda flow, run, state: runs.append(run))
    with harness() as towpath:
        etl(return_state=True)
        [run] = towpath.history.runs()
        tasks = towpath.history.tasks(run.id)
    assert [(each.name, [state.name for state in each.states]) for each in tasks] == [
        ("cached-0", ["Running", "Completed"]),
        ("cached-1", ["Running", "Cached"]),
        ("undone-0", ["Running", "Completed", "RolledBack"]),
    ]
    assert (runs[0].tasks.total, runs[0].tasks.completed, runs[0].tasks.cached) == (3, 3, 1)


def test_a_retry_within_a_block_undoes_nothing_of_the_others() -> None:
    """A block fails with a task that has failed for good, not with each of its tries."""
    undone: list[str] = []
    outcomes = iter([ValueError("no"), None])

    @task(on_rollback=[lambda txn: undone.append("first")])
    def first() -> None: ...

    @task(retries=1, on_rollback=[lambda txn: undone.append("flaky")])
    def flaky() -> None:
        if error := next(outcomes):
            raise error

    @flow
    def etl() -> None:
        with transaction() as txn:
            first()
            flaky()
        assert txn.is_committed()

    etl()
    assert undone == []


def test_a_task_that_copes_with_a_failure_within_does_not_fail_the_block() -> None:
    """What it called is its own affair."""
    undone: list[str] = []

    @task
    def inner() -> None:
        raise ValueError

    @task(on_rollback=[lambda txn: undone.append("outer")])
    def outer() -> str:
        inner(return_state=True)
        return "coped"

    @flow
    def etl() -> Any:
        with transaction() as txn:
            value = outer()
        assert txn.is_committed()
        return value

    assert etl() == "coped"
    assert undone == []


def test_hooks_of_a_single_task_run_at_its_end() -> None:
    """Outside of blocks it counts at once; decorators and options add up."""
    said: list[str] = []

    @task(on_commit=[lambda txn: said.append("option")])
    def work() -> None: ...

    @work.on_commit
    def more(txn: Any) -> None:
        said.append("decorator")

    work()
    assert said == ["option", "decorator"]
    work.with_options(name="other")()
    assert said == ["option", "decorator"] * 2


def test_processes_keep_results_too(fn: Counted, tmp_path: Path) -> None:
    """Who works where makes no difference to what is kept."""

    @task(cache_policy=INPUTS, result_serializer="json")
    def pid(x: int) -> int:
        import os

        return os.getpid()

    @flow(task_runner=ProcessPoolTaskRunner(max_workers=1))
    def etl() -> list[int]:
        return [pid.submit(1).result(), pid.submit(1).result(), pid(1)]

    import os

    first = etl()
    assert len({*first, *etl()}) == 1
    assert os.getpid() not in first


def test_tasks_of_a_task_in_another_process_are_kept_too(tmp_path: Path) -> None:
    """As the flow says, where it says; be they called there, or submitted from there."""

    @task
    def inner(x: int) -> int:
        import os

        return os.getpid() + x

    @task(persist_result=False)
    def outer() -> list[int]:
        return [inner(1), inner(1), inner.submit(2).result()]

    @task
    def kept() -> list[int]:
        return [inner(3), inner.submit(3).result()]

    @flow(task_runner=ProcessPoolTaskRunner(max_workers=2), result_storage=tmp_path / "kept")
    def etl() -> Any:
        outer.submit().result()
        return kept.submit().result()

    etl()
    assert len(list(ResultStore(tmp_path / "kept").keys())) == 3


def test_options_that_cannot_work_are_refused_at_once() -> None:
    """Where the decorator stands, with the value."""
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"cache_policy": "INPUTS"}, "cache_policy is one of towpath.cache_policies, such as INPUTS; got 'INPUTS'"),
        ({"cache_key_fn": "k"}, "cache_key_fn is a function of .*; got 'k'"),
        ({"cache_expiration": 60}, "cache_expiration is a timedelta; got 60"),
        ({"result_serializer": "yaml"}, "There is no serializer 'yaml'"),
        ({"on_rollback": ["x"]}, "on_rollback is a list of functions; 'x' is none"),
    ]
    for options, why in wrong:
        with pytest.raises(ConfigurationError, match=why):
            task(Counted(), **options)
    with pytest.raises(ConfigurationError, match="There is no serializer 'yaml'"):
        flow(result_serializer="yaml")(Counted())


def test_a_pod_without_shared_storage_says_so(
    fn: Counted, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Once: what is kept in the pod is of no use to the next one."""
    monkeypatch.setenv("TOWPATH_RUN", "etl-1")
    load = task(fn, cache_policy=INPUTS)
    flow(lambda: [load(1), load(2)])()
    flow(lambda: [load(3)])()
    [line] = [record.message for record in caplog.records if record.levelno == logging.WARNING]
    assert "Results are kept in this pod's own file system" in line
    assert "resultStorage" in line


def test_asking_for_a_cache_without_keeping_anything_is_told(fn: Counted, caplog: pytest.LogCaptureFixture) -> None:
    """It keeps nothing, as was said, and warns that the rest does nothing."""
    load = task(fn, cache_policy=INPUTS).with_options(persist_result=False)
    assert load.persists is False
    assert [load(1), load(1)] == [[1, 0], [1, 0]]
    assert fn.calls == [1, 1]
    assert "because persist_result is False" in caplog.text


def test_the_hash_of_older_scripts_is_there() -> None:
    """`task_input_hash` as a key function, for those who have it in their scripts."""
    calls: list[Any] = []

    @task(cache_key_fn=task_input_hash)
    def load(order: Order) -> int:
        calls.append(order.id)
        return order.id

    assert [load(Order(id=1)), load(Order(id=1)), load(Order(id=2))] == [1, 1, 2]
    assert calls == [1, 2]


def test_what_is_round_a_run_does_not_change(fn: Counted) -> None:
    """Context, tags and retries are those of any task."""
    seen: list[Any] = []

    @task(cache_policy=INPUTS, tags=["own"], retries=1)
    def look() -> None:
        context = get_run_context()
        assert context.task_run is not None
        seen.append((context.task_run.name, sorted(context.task_run.tags), context.task_run.run_count))
        if len(seen) == 1:
            raise ValueError

    @flow
    def etl() -> None:
        with tags("round"):
            look()

    etl()
    assert seen == [("look-0", ["own", "round"], 1), ("look-0", ["own", "round"], 2)]
