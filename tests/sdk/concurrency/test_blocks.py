"""`concurrency` and `rate_limit`, as an author uses them, in one process."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from tests.sdk.concurrency.crowd import PATIENCE, Crowd, state, until

from towpath import ThreadPoolTaskRunner, flow, task
from towpath.concurrency import delete_limit, list_limits, set_limit
from towpath.concurrency.asyncio import concurrency as concurrency_async
from towpath.concurrency.asyncio import rate_limit as rate_limit_async
from towpath.concurrency.sync import concurrency, rate_limit
from towpath.engine import timeouts
from towpath.errors import (
    AcquireConcurrencySlotTimeoutError,
    ConcurrencySlotAcquisitionError,
    ConfigurationError,
    HistoryError,
)


def test_slots_are_held_for_the_block_and_free_after_it(file: Path) -> None:
    """While the block runs its slots are taken, and the list says by whom; then they are not, also if it failed."""
    set_limit("db", 3)
    with concurrency("db", occupy=2):
        (limit,) = list_limits()
        assert (limit.taken, [holder.occupy for holder in limit.holders]) == (2, [2])
    assert state() == {"db": (0, 0)}
    with pytest.raises(ZeroDivisionError), concurrency("db"):
        _ = 1 / 0
    assert state() == {"db": (0, 0)}


def test_no_more_are_inside_than_there_are_slots(file: Path) -> None:
    """Many threads that want the same slots get them, and never more at once than there are."""
    set_limit("db", 3)
    crowd = Crowd()

    def work(_: int) -> None:
        with concurrency("db"), crowd:
            until(lambda: crowd.most > 2)
            time.sleep(0.002)

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(work, range(60)))
    assert (crowd.times, crowd.most) == (60, 3)


def test_many_in_an_event_loop_wait_without_blocking_it(file: Path) -> None:
    """An async block that waits lets the loop go on; all get their slots in the end."""
    set_limit("db", 2)
    crowd = Crowd()

    async def work() -> None:
        async with concurrency_async("db"):
            with crowd:
                await asyncio.to_thread(until, lambda: crowd.most > 1)
                await asyncio.sleep(0.002)

    async def main() -> None:
        await asyncio.gather(*[work() for _ in range(30)])

    asyncio.run(main())
    assert (crowd.times, crowd.most) == (30, 2)
    assert state() == {"db": (0, 0)}


def test_slots_are_given_in_the_order_of_asking(file: Path) -> None:
    """One that wants all slots is not starved by those that want one each and come later."""
    set_limit("db", 2)
    order: list[str] = []

    def work(name: str, occupy: int) -> None:
        with concurrency("db", occupy=occupy):
            order.append(name)

    with concurrency("db"):
        threads = []
        for index, (name, occupy) in enumerate([("all", 2), ("one", 1), ("other", 1)]):
            threads.append(threading.Thread(target=work, args=(name, occupy)))
            threads[-1].start()
            until(lambda index=index: state()["db"] == (1, index + 1))  # type: ignore[misc]
    for thread in threads:
        thread.join(PATIENCE)
    assert order[0] == "all"
    assert sorted(order[1:]) == ["one", "other"]


def test_several_limits_are_had_all_or_none(file: Path) -> None:
    """While one limit is full nothing of the other is taken; asking in opposite orders never deadlocks."""
    set_limit("a", 1)
    set_limit("b", 1)
    with (
        concurrency("a"),
        pytest.raises(AcquireConcurrencySlotTimeoutError),
        concurrency(["b", "a"], timeout_seconds=0.1),
    ):
        pytest.fail("it was full")
    assert state() == {"a": (0, 0), "b": (0, 0)}

    def work(names: list[str]) -> None:
        for _ in range(25):
            with concurrency(names):
                pass

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(work, [["a", "b"], ["b", "a"]], timeout=PATIENCE))


def test_code_that_holds_slots_may_want_more_of_others(file: Path) -> None:
    """Who waits for both limits does not lock out the one that holds the first and wants the second."""
    set_limit("a", 1)
    set_limit("b", 1)
    done: list[str] = []

    def both() -> None:
        with concurrency(["a", "b"]):
            done.append("both")

    with concurrency("a"):
        thread = threading.Thread(target=both)
        thread.start()
        until(lambda: state()["a"] == (1, 1))
        with concurrency("b", timeout_seconds=PATIENCE):
            done.append("inner")
    thread.join(PATIENCE)
    assert done == ["inner", "both"]


@pytest.mark.parametrize("wait", [0, 0.05], ids=["at once", "soon"])
def test_a_wait_that_takes_too_long_says_who_has_the_slots(file: Path, wait: float) -> None:
    """The error is a TimeoutError, names the limit, the time, and who is inside; the queue is empty afterwards."""
    set_limit("db", 1)

    @flow(flow_run_name="the-holder")
    def holds() -> str:
        with concurrency("db"):
            with pytest.raises(AcquireConcurrencySlotTimeoutError) as caught, concurrency("db", timeout_seconds=wait):
                pytest.fail("it was full")
            assert state() == {"db": (1, 0)}
            return str(caught.value)

    message = holds()
    assert message.startswith(f"No slots of 'db' came free within {wait:g} s. ")
    assert "1 of 1 slots of 'db' are taken by flow run 'the-holder'" in message
    assert issubclass(AcquireConcurrencySlotTimeoutError, TimeoutError)


def test_an_async_wait_that_takes_too_long_ends(file: Path) -> None:
    """The timeout and a cancelled asyncio task both leave the queue as if they had never been there."""
    set_limit("db", 1)

    async def enter(timeout_seconds: float | None) -> None:
        async with concurrency_async("db", timeout_seconds=timeout_seconds):
            pytest.fail("it was full")

    async def main() -> None:
        with pytest.raises(AcquireConcurrencySlotTimeoutError):
            await enter(0.05)
        waits = asyncio.create_task(enter(None))
        await asyncio.to_thread(until, lambda: state()["db"] == (1, 1))
        waits.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waits

    with concurrency("db"):
        asyncio.run(main())
        assert state() == {"db": (1, 0)}


def test_max_retries_of_zero_does_not_wait(file: Path) -> None:
    """What Prefect's users write to go on without a slot raises at once; any other number waits."""
    set_limit("db", 1)
    refused = pytest.raises(ConcurrencySlotAcquisitionError, match="max_retries says not to wait")
    with concurrency("db"), refused, concurrency("db", max_retries=0):
        pytest.fail("it was full")
    with concurrency("db", max_retries=0):
        assert state() == {"db": (1, 0)}


def test_a_limit_that_does_not_exist_warns_once(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Without the limit the block runs, and the log says so a single time, with the command that makes it."""
    caplog.set_level(logging.WARNING, "towpath")
    for _ in range(3):
        with concurrency(["nothing", "here"]):
            pass
        rate_limit(["nothing", "here"])
    assert caplog.messages == [
        "There is no limit 'here' or 'nothing' on this machine, so nothing is held back by it. Make it: towpath limits set here 1"
    ]
    assert not file.exists(), "nobody needs a history for a limit that is not there"


def test_a_limit_that_exists_holds_beside_one_that_does_not(file: Path) -> None:
    """The missing one warns, the other limits."""
    set_limit("db", 1)
    with concurrency(["db", "missing"]):
        assert state() == {"db": (1, 0)}
        with pytest.raises(AcquireConcurrencySlotTimeoutError), concurrency(["missing", "db"], timeout_seconds=0):
            pytest.fail("it was full")


@pytest.mark.parametrize("exists", [False, True], ids=["no limits at all", "another limit"])
def test_strict_raises_for_a_limit_that_does_not_exist(file: Path, exists: bool) -> None:
    """Nothing runs, and the error says how to make it."""
    if exists:
        set_limit("db", 1)
    for ask in (lambda: concurrency("x y", strict=True).__enter__(), lambda: rate_limit("x y", strict=True)):
        with pytest.raises(ConcurrencySlotAcquisitionError, match=r"There is no limit 'x y'.*limits set 'x y' 1"):
            ask()


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"TOWPATH_HISTORY": "off"}, "switched off: TOWPATH_HISTORY is 'off'"),
        (
            {"TOWPATH_RUN": "nightly-1", "TOWPATH_RUN_UID": "1", "TOWPATH_ENTRYPOINT": "etl.py:nightly"},
            "counted in the process of the run's flow alone",
        ),
    ],
    ids=["no history", "a process beside a pod's own"],
)
def test_where_there_can_be_no_limits_they_do_not_pass_in_silence(
    file: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, settings: dict[str, str], says: str
) -> None:
    """With the history off, and in a process that a pod's code has started, a block warns, a strict one raises, and making a limit is refused."""
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    caplog.set_level(logging.WARNING, "towpath")
    with concurrency("db"):
        assert [message for message in caplog.messages if says in message]
    with pytest.raises(ConcurrencySlotAcquisitionError, match=says), concurrency("db", strict=True):
        pytest.fail("it cannot be had")
    for act in (lambda: set_limit("db", 1), list_limits, lambda: delete_limit("db")):
        with pytest.raises(ConfigurationError, match=says):
            act()  # type: ignore[operator]


def test_a_limit_of_none_lets_nobody_in_and_says_so(file: Path) -> None:
    """Zero slots: the wait says that it is closed; nobody else waits behind it; more slots open it at once."""
    set_limit("closed", 0)
    set_limit("db", 1)
    refused = pytest.raises(AcquireConcurrencySlotTimeoutError, match="'closed' has 0 slots, so nobody gets in until")
    with refused, concurrency(["closed", "db"], timeout_seconds=0.05):
        pytest.fail("it is closed")
    entered = threading.Event()

    def enter() -> None:
        with concurrency(["closed", "db"]):
            entered.set()

    thread = threading.Thread(target=enter)
    thread.start()
    until(lambda: state()["closed"] == (0, 1))
    with concurrency("db", timeout_seconds=PATIENCE):
        assert not entered.is_set()
    set_limit("closed", 1)
    assert entered.wait(PATIENCE)
    thread.join(PATIENCE)


def test_who_waits_gets_in_when_the_limit_grows_sleeps_or_goes(file: Path) -> None:
    """More slots, no activity, and no limit any more: each lets in those who wait."""
    for change in (lambda: set_limit("db", 2), lambda: set_limit("db", active=False), lambda: delete_limit("db")):
        set_limit("db", 1, active=True)
        entered = threading.Event()

        def enter(entered: threading.Event = entered) -> None:
            with concurrency("db"):
                entered.set()

        with concurrency("db"):
            thread = threading.Thread(target=enter)
            thread.start()
            until(lambda: state()["db"] == (1, 1))
            change()  # type: ignore[operator]
            assert entered.wait(PATIENCE)
            thread.join(PATIENCE)


def test_an_inactive_limit_limits_nothing(file: Path) -> None:
    """As many get in as want, however many slots it has."""
    set_limit("db", 1, active=False)
    with concurrency("db", occupy=5), concurrency("db"):
        assert [limit.active for limit in list_limits()] == [False]


def test_a_rate_is_kept(file: Path) -> None:
    """After the first few, each has to wait until a slot has come free by itself; blocks and awaits share the pace."""
    set_limit("api", 3, slot_decay_per_second=50)
    began = time.monotonic()
    for _ in range(8):
        rate_limit("api")

    async def more() -> None:
        await asyncio.gather(*[rate_limit_async("api") for _ in range(5)])

    asyncio.run(more())
    assert time.monotonic() - began >= (13 - 3) / 50 - 0.01
    assert [limit.holders for limit in list_limits()] == [[]]


def test_a_rate_limit_needs_a_limit_that_decays(file: Path) -> None:
    """Slots that nobody gives back would be gone for ever; the error says what to set."""
    set_limit("db", 1)
    with pytest.raises(ConcurrencySlotAcquisitionError, match="--slot-decay-per-second"):
        rate_limit("db")


def test_a_wait_for_a_rate_can_be_too_long(file: Path) -> None:
    """The timeout says when the next slot would have come."""
    set_limit("api", 1, slot_decay_per_second=0.01)
    rate_limit("api")
    with pytest.raises(AcquireConcurrencySlotTimeoutError, match="The next of 'api' comes free in"):
        rate_limit("api", timeout_seconds=0.05)


def test_more_slots_than_there_are_cannot_be_had(file: Path) -> None:
    """It is refused at once instead of waiting for ever."""
    set_limit("db", 2)
    refused = pytest.raises(ConcurrencySlotAcquisitionError, match="3 slots of 'db' are wanted, which has 2")
    with refused, concurrency("db", occupy=3):
        pytest.fail("there are not so many")


@pytest.mark.parametrize("occupy", [0, -1, 1.5, True, "1"], ids=repr)
def test_an_impossible_number_of_slots_is_refused(occupy: Any) -> None:
    """The value is named; nothing is asked of anybody."""
    with pytest.raises(ConfigurationError, match="occupy is a number of slots"), concurrency("db", occupy=occupy):
        pytest.fail("it makes no sense")


@pytest.mark.parametrize("names", [None, "", [], ()], ids=repr)
def test_no_names_limit_nothing(names: Any) -> None:
    """As with Prefect: a list that turned out to be empty is no error."""
    with concurrency(names):
        rate_limit(names)


@pytest.mark.parametrize(
    "arguments",
    [
        {"name": "", "slots": 1},
        {"name": "a\nb", "slots": 1},
        {"name": 5, "slots": 1},
        {"name": "x", "slots": -1},
        {"name": "x", "slots": 1.5},
        {"name": "x", "slots": True},
        {"name": "x", "slots": 1, "slot_decay_per_second": -1},
        {"name": "x", "slots": 1, "slot_decay_per_second": float("inf")},
        {"name": "x"},
    ],
    ids=repr,
)
def test_a_limit_that_makes_no_sense_is_refused(file: Path, arguments: dict[str, Any]) -> None:
    """Nothing is written, and the error names the value."""
    with pytest.raises(ConfigurationError):
        set_limit(**arguments)
    assert list_limits() == []


def test_what_is_not_said_of_a_limit_stays(file: Path) -> None:
    """Changing one thing keeps the others; deleting says whether there was one."""
    set_limit("api", 5, slot_decay_per_second=2, active=False)
    set_limit("api", active=True)
    set_limit("api", 7)
    (limit,) = list_limits()
    assert (limit.slots, limit.slot_decay_per_second, limit.active) == (7, 2.0, True)
    assert [delete_limit("api"), delete_limit("api")] == [True, False]


def test_a_flow_that_times_out_while_it_waits_ends_at_once(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The wait is over when the flow's time is, in the main thread and in others, and nobody waits any more."""
    monkeypatch.setattr(timeouts, "GRACE_SECONDS", PATIENCE)  # a busy machine lets the thread hear of it late
    set_limit("db", 1)

    @flow(timeout_seconds=0.2)
    def waits() -> None:
        with concurrency("db"):
            pytest.fail("it was full")

    with concurrency("db"):
        for run in (waits, waits.submit):
            state_ = run(return_state=True)
            assert (state_.name, "0.2 s" in (state_.message or "")) == ("TimedOut", True)
            assert "cannot interrupt" not in (state_.message or "")
        assert state() == {"db": (1, 0)}


def test_a_task_in_a_full_pool_that_waits_for_slots_lets_others_work(file: Path) -> None:
    """A wait for slots takes no place of the task runner, so the one that will give them back can go on."""
    set_limit("db", 1)
    go_on = threading.Event()

    @task
    def holds() -> None:
        with concurrency("db"):
            assert go_on.wait(PATIENCE)

    @task
    def waits() -> None:
        with concurrency("db"):
            pass

    @task
    def releases() -> None:
        until(lambda: state()["db"] == (1, 1))
        go_on.set()

    @flow(task_runner=ThreadPoolTaskRunner(max_workers=2))
    def crowd() -> None:
        first = holds.submit()
        until(lambda: state()["db"] == (1, 0))
        for future in [first, waits.submit(), releases.submit()]:
            future.result(timeout=PATIENCE)

    crowd()


def test_a_history_that_cannot_be_used_refuses_slots(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that is something else is named in the error, and no block runs as if it had its slots."""
    letter = file.with_name("letter.txt")
    letter.write_text("Dear Mary, …")
    monkeypatch.setenv("TOWPATH_HISTORY", str(letter))
    with pytest.raises(ConcurrencySlotAcquisitionError, match="is no SQLite file"), concurrency("db"):
        pytest.fail("nobody knows whether there is a limit")
    with pytest.raises(HistoryError, match="is no SQLite file"):
        set_limit("db", 1)
    with pytest.raises(HistoryError, match="is no SQLite file"):
        list_limits()


def test_a_history_that_is_taken_away_takes_its_limits_along(file: Path) -> None:
    """Whoever waits for a slot of a limit that is gone with its file gets in; a new file has no old claims."""
    set_limit("db", 1)
    entered = threading.Event()

    def enter() -> None:
        with concurrency("db"):
            entered.set()

    with concurrency("db"):
        thread = threading.Thread(target=enter)
        thread.start()
        until(lambda: state()["db"] == (1, 1))
        for left in file.parent.glob("history.db*"):
            if not left.name.endswith("-alive"):
                left.unlink()
        assert entered.wait(PATIENCE)
    thread.join(PATIENCE)
    set_limit("db", 1)
    assert state() == {"db": (0, 0)}
