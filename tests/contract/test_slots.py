"""Slots as code asks for them: one suite for the limits of a machine, of a fake API, and of a real API server."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.contract.fake_api import FakeApi
from tests.contract.granting import granting
from tests.contract.slot_places import ClusterPlace, FakePlace, LocalPlace, Place, RealPlace
from tests.contract.test_cluster_port import _access
from tests.sdk.concurrency.crowd import PATIENCE, Crowd, until

from towpath import ThreadPoolTaskRunner, flow, task
from towpath.cluster import plan
from towpath.cluster import slots as slots_module
from towpath.cluster.access import Access, FixedToken
from towpath.cluster.http import HttpCluster
from towpath.concurrency import allotment, requests, tags
from towpath.concurrency.asyncio import concurrency as concurrency_async
from towpath.concurrency.asyncio import rate_limit as rate_limit_async
from towpath.concurrency.port import Slots, Wish
from towpath.concurrency.sync import concurrency, rate_limit
from towpath.errors import AcquireConcurrencySlotTimeoutError, ConcurrencySlotAcquisitionError

REAL = pytest.param("real", marks=[pytest.mark.cluster, pytest.mark.timeout(600)])


@pytest.fixture(params=["local", "fake", REAL])
def place(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Place]:
    """Give a place for limits; the code of this process asks there, as one run."""
    monkeypatch.setattr(requests, "_warned", set())
    monkeypatch.setattr(slots_module, "FRESH_SECONDS", 0.05)
    monkeypatch.setenv("TOWPATH_HISTORY", str(tmp_path / "history.db"))
    tags.look_again()
    place: Place
    if request.param == "local":
        place = LocalPlace(tmp_path / "history.db")
        yield place
        place.close()
    elif request.param == "fake":
        with FakeApi() as api:
            cluster = HttpCluster(Access(api.url, "default", FixedToken()))
            with granting(cluster) as granter:
                place = FakePlace(cluster, granter, api=api)
                yield at(place.run(), place, monkeypatch)
                place.close()
            cluster.close()
    else:
        server, kinds = request.getfixturevalue("apiserver"), request.getfixturevalue("kinds")
        monkeypatch.setattr(plan, "GROUP", kinds.group)
        cluster = HttpCluster(_access(server.kube, server.namespace))
        with granting(cluster) as granter:
            place = RealPlace(cluster, granter, kinds=kinds)
            yield at(place.run(), place, monkeypatch)
            place.close()
        cluster.close()
    tags.look_again()


def at(slots: Slots, place: Place, monkeypatch: pytest.MonkeyPatch) -> Place:
    """Have the code of this process ask there."""
    for module in (requests, tags):
        monkeypatch.setattr(module, "slots", lambda: slots)
    return place


def test_slots_are_held_for_the_block_and_free_after_it(place: Place) -> None:
    """A block has its slots to itself, and leaves them, also when it fails."""
    place.set("db", 1)
    for _ in range(2):
        refused = pytest.raises(AcquireConcurrencySlotTimeoutError)
        with concurrency("db", timeout_seconds=PATIENCE), refused, concurrency("db", timeout_seconds=0):
            pytest.fail("it is taken")
        with pytest.raises(ZeroDivisionError), concurrency("db", timeout_seconds=PATIENCE):
            _ = 1 / 0


def test_no_more_are_inside_than_there_are_slots(place: Place) -> None:
    """Threads that want the same slots all get them, and never more at once than there are."""
    place.set("db", 3)
    crowd = Crowd()

    def work(_: int) -> None:
        with concurrency("db"), crowd:
            until(lambda: crowd.most > 2)
            time.sleep(0.002)

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(work, range(60)))
    assert (crowd.times, crowd.most) == (60, 3)


def test_many_in_an_event_loop_wait_without_blocking_it(place: Place) -> None:
    """An async block that waits lets the loop go on; all get their slots in the end."""
    place.set("db", 2)
    crowd = Crowd()

    async def work() -> None:
        async with concurrency_async("db"):
            with crowd:
                await asyncio.to_thread(until, lambda: crowd.most > 1)

    async def main() -> None:
        await asyncio.gather(*[work() for _ in range(20)])

    asyncio.run(main())
    assert (crowd.times, crowd.most) == (20, 2)


def test_one_that_wants_all_slots_is_not_starved(place: Place) -> None:
    """Who asks first is served first, however many he wants, and however few the others."""
    place.set("db", 2)
    order: list[str] = []
    first = asked("first", 1, order)
    until(lambda: order == ["first"])
    others = [asked("all", 2, order), *(asked(f"one {i}", 1, order) for i in range(3))]
    first.leave()
    for count, request in enumerate(others, start=2):
        until(lambda count=count: len(order) >= count)  # type: ignore[misc]
        request.leave()
    assert order[1] == "all"


def asked(name: str, occupy: int, order: list[str]) -> requests.Request:
    """Ask for slots of `db`, and note when they are there."""
    request = requests.Request(Wish(names=frozenset({"db"}), occupy=occupy))

    def ring() -> None:
        if request.is_admitted() and name not in order:
            order.append(name)

    request.ring = ring
    request.ask()
    return request


def test_several_limits_are_had_all_or_none(place: Place) -> None:
    """Asking for the same limits in opposite orders never locks anybody out."""
    place.set("a", 1)
    place.set("b", 1)
    crowd = Crowd()

    def work(names: list[str]) -> None:
        for _ in range(10):
            with concurrency(names), crowd:
                pass

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(work, [["a", "b"], ["b", "a"]], timeout=PATIENCE))
    assert (crowd.times, crowd.most) == (20, 1)


def test_a_wait_that_takes_too_long_says_what_it_waited_for(place: Place) -> None:
    """The error names the limit and how many slots it has; the slot is free for others afterwards."""
    place.set("db", 1)
    words = r"^No slots of 'db' came free within 0\.1 s\. (1 of 1 slots of 'db' are taken|'db' has 1 slot, of which)"
    refused = pytest.raises(AcquireConcurrencySlotTimeoutError, match=words)
    with concurrency("db"), refused, concurrency("db", timeout_seconds=0.1):
        pytest.fail("it is taken")
    with concurrency("db", timeout_seconds=PATIENCE):
        pass


def test_an_async_wait_that_takes_too_long_ends(place: Place) -> None:
    """The same error in an event loop."""
    place.set("db", 1)

    async def main() -> None:
        async with concurrency_async("db"):
            with pytest.raises(AcquireConcurrencySlotTimeoutError):
                async with concurrency_async("db", timeout_seconds=0.05):
                    pytest.fail("it is taken")

    asyncio.run(main())


def test_a_limit_that_does_not_exist_warns_once(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    """It limits nothing, and the warning says how to make it."""
    caplog.set_level(logging.WARNING, "towpath")
    for _ in range(2):
        with concurrency("My db"):
            pass
    (said,) = caplog.messages
    assert "There is no limit 'My db' " in said
    assert "towpath limits set 'My db' 1" in said


def test_strict_raises_for_a_limit_that_does_not_exist(place: Place) -> None:
    """Blocks and rates alike."""
    for ask in (lambda: concurrency("x", strict=True).__enter__(), lambda: rate_limit("x", strict=True)):
        with pytest.raises(ConcurrencySlotAcquisitionError, match="There is no limit 'x'"):
            ask()


def test_more_slots_than_there_are_cannot_be_had(place: Place) -> None:
    """Nobody waits for what can never come true."""
    place.set("db", 2)
    with pytest.raises(ConcurrencySlotAcquisitionError, match="3 slots of 'db' are wanted, which has 2"):
        concurrency("db", occupy=3).__enter__()


def test_a_suspended_limit_lets_everybody_in(place: Place) -> None:
    """As many get in as want, however few slots it has."""
    place.set("db", 1, suspended=True)
    with concurrency("db", timeout_seconds=PATIENCE), concurrency("db", timeout_seconds=PATIENCE):
        pass


@pytest.mark.parametrize("change", ["grows", "is suspended", "goes"])
def test_who_waits_gets_in_when_the_limit_grows_sleeps_or_goes(place: Place, change: str) -> None:
    """More slots, no activity, and no limit any more: each lets in who waits."""
    place.set("db", 1)
    changes: dict[str, Callable[[], None]] = {
        "grows": lambda: place.set("db", 2),
        "is suspended": lambda: place.set("db", 1, suspended=True),
        "goes": lambda: place.delete("db"),
    }
    entered = threading.Event()

    def enter() -> None:
        with concurrency("db"):
            entered.set()

    with concurrency("db"):
        thread = threading.Thread(target=enter)
        thread.start()
        assert not entered.wait(0.1)
        changes[change]()
        assert entered.wait(PATIENCE)
    thread.join(PATIENCE)


def test_a_rate_is_kept(place: Place) -> None:
    """After the first few, each waits until a slot has come free by itself; blocks and awaits share the pace."""
    place.set("api", 2, rate=20)
    began = time.monotonic()
    for _ in range(4):
        rate_limit("api")

    async def more() -> None:
        await rate_limit_async("api")

    asyncio.run(more())
    with concurrency("api"):
        pass
    assert time.monotonic() - began >= (6 - 2) / 20 - 0.01


def test_a_rate_limit_needs_a_limit_with_a_rate(place: Place) -> None:
    """Else its slots would never come free."""
    place.set("db", 2)
    with pytest.raises(ConcurrencySlotAcquisitionError, match="has no slot decay"):
        rate_limit("db")


def test_tagged_tasks_take_turns(place: Place) -> None:
    """Tasks with the tag of a limit are never more at once than it has slots, and wait without a thread."""
    place.set("heavy-tasks", 2, tag="heavy")
    crowd = Crowd()

    @task(tags=["heavy"])
    def work() -> None:
        with crowd:
            time.sleep(0.002)

    @flow(task_runner=ThreadPoolTaskRunner(max_workers=8))
    def run() -> None:
        for future in [work.submit() for _ in range(20)]:
            future.result()

    run()
    assert (crowd.times, crowd.most <= 2) == (20, True)


only_clusters = pytest.mark.parametrize("place", ["fake", REAL], indirect=True)


@only_clusters
def test_two_runs_are_never_inside_at_once(place: ClusterPlace) -> None:
    """A limit of one lets one run in at a time, and each gets its turns."""
    place.set("db", 1)
    crowd = Crowd()

    def work(slots: Slots) -> None:
        for _ in range(5):
            request = requests.Request(Wish(names=frozenset({"db"})))
            request._slots = slots
            requests.acquire(request)
            with crowd:
                time.sleep(0.002)
            request.leave()
            until(lambda: not place.status(slots).get("slotsWanted"))  # it goes back to the cluster

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(work, [place.run(), place.run()], timeout=PATIENCE))
    assert (crowd.times, crowd.most) == (10, 1)
    assert place.granter.most["db"] == 1


@only_clusters
def test_what_is_given_back_goes_to_the_next_in_the_process_without_a_word(
    place: ClusterPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Many short blocks in a row are one wish and one grant, not one each."""
    monkeypatch.setattr(allotment, "KEEP_SECONDS", 60.0)
    place.set("db", 1)
    (slots, _), *_ = place.runs.values()
    for _ in range(50):
        with concurrency("db"):
            wanted = place.status(slots)["slotsWanted"]
    assert wanted == [{"limit": "db", "slots": 1, "number": 1}]


@only_clusters
def test_what_nobody_takes_over_goes_back_to_the_cluster(place: ClusterPlace) -> None:
    """A moment after the block the run wants nothing any more."""
    place.set("db", 1)
    (slots, _), *_ = place.runs.values()
    with concurrency("db"):
        pass
    until(lambda: "slotsWanted" not in place.status(slots))
    until(lambda: not place.status(slots).get("slotsGranted"))


@only_clusters
def test_a_run_that_always_wants_more_does_not_keep_others_out(
    place: ClusterPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What goes round in its process goes back to the cluster now and then, where the others' turn comes."""
    monkeypatch.setattr(allotment, "SHIFT_SECONDS", 0.2)
    place.set("db", 1)
    slots, stop = place.run(), threading.Event()

    def crave() -> None:
        while not stop.is_set():
            with concurrency("db"):
                time.sleep(0.001)

    greedy = [threading.Thread(target=crave) for _ in range(4)]
    for thread in greedy:
        thread.start()
    try:
        for _ in range(2):
            request = requests.Request(Wish(names=frozenset({"db"})), PATIENCE)
            request._slots = slots
            requests.acquire(request)
            request.leave()
    finally:
        stop.set()
    for thread in greedy:
        thread.join(PATIENCE)
    assert place.granter.most["db"] == 1


@only_clusters
def test_a_run_that_has_ended_leaves_its_slots_and_its_waits(
    place: ClusterPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The slots of a run whose pod was killed are free for the next; whoever waits in an ended run is told."""
    place.set("db", 1)
    (slots, _), *_ = place.runs.values()
    other = place.run()
    with concurrency("db"):
        waiting = threading.Thread(target=_swallow, args=[ConcurrencySlotAcquisitionError])
        waiting.start()
        until(lambda: place.status(slots)["slotsWanted"][0]["slots"] == 1)
        place.end(slots)
        at(other, place, monkeypatch)
        with concurrency("db", timeout_seconds=PATIENCE):
            waiting.join(PATIENCE)
            assert not waiting.is_alive()
    assert "slotsWanted" not in place.status(slots)


def _swallow(kind: type[Exception]) -> None:
    with pytest.raises(kind), concurrency("db"):
        pytest.fail("the run has ended")


@only_clusters
def test_a_process_that_ends_gives_back_what_it_has(place: ClusterPlace) -> None:
    """What the next process of the same attempt wants is not taken for what the last one had."""
    place.set("db", 1)
    (slots, _), *_ = place.runs.values()
    with concurrency("db"):
        slots.close()
        assert "slotsWanted" not in place.status(slots)
        with pytest.raises(ConcurrencySlotAcquisitionError, match="about to end"), concurrency("db"):
            pytest.fail("the process ends")


@only_clusters
def test_a_name_is_that_of_a_resource_as_near_as_can_be(place: ClusterPlace) -> None:
    """A name that no resource can have means the one whose name it becomes."""
    place.set("my-api", 1)
    with concurrency("My API"), pytest.raises(TimeoutError), concurrency("my-api", timeout_seconds=0):
        pytest.fail("they are the same")


@only_clusters
def test_a_fifth_limit_at_once_is_refused(place: ClusterPlace) -> None:
    """A run has to do with four limits at once; after leaving one there is room for another."""
    for name in "abcde":
        place.set(name, 2)
    with concurrency(["a", "b", "c"]):
        with concurrency("d"), pytest.raises(ConcurrencySlotAcquisitionError, match="at most 4 limits at once"):
            concurrency("e").__enter__()
        with concurrency("e", timeout_seconds=PATIENCE):
            pass


only_fake = pytest.mark.parametrize("place", ["fake"], indirect=True)


@only_fake
@pytest.mark.parametrize(
    ("method", "code", "times"),
    [("PATCH", 500, 5), ("PATCH", 409, 2), ("PATCH", 0, 3), ("GET", 503, 4), ("GET", 0, 2)],
    ids=["errors", "conflicts", "no answers", "no lists", "no answers to lists"],
)
def test_trouble_with_the_api_is_waited_out(place: FakePlace, method: str, code: int, times: int) -> None:
    """Whatever fails for a while is tried again, and no slot is used twice meanwhile."""
    place.set("db", 1)
    place.api.faults.answer(method, code, times=times, path="namespaces/default")
    for _ in range(2):
        with concurrency("db", timeout_seconds=PATIENCE):
            pass
    assert place.granter.most["db"] <= 1


@only_fake
def test_a_write_whose_answer_is_lost_counts(place: FakePlace) -> None:
    """It is written again, under the same number or a later one."""
    place.set("db", 1)
    place.api.faults.lose_answer("PATCH")
    with concurrency("db", timeout_seconds=PATIENCE):
        pass


@only_fake
@pytest.mark.parametrize(
    ("code", "says"),
    [(403, "No slots of 'db' can be had. .*could not list concurrencylimits"), (404, None)],
    ids=["no right", "no such kind"],
)
def test_a_cluster_without_limits_is_told_from_one_that_does_not_let_us_see_them(
    place: FakePlace, code: int, says: str | None
) -> None:
    """Without the right to list them an error; where not even the kind is known, nothing is limited."""
    place.api.faults.answer("GET", code, times=10_000, path="/concurrencylimits")
    if says is None:
        with concurrency("db"):
            return
    with pytest.raises(ConcurrencySlotAcquisitionError, match=says), concurrency("db"):
        pytest.fail("it cannot be known whether there is a limit")


@only_fake
def test_a_wait_ends_in_time_though_nothing_is_heard(place: FakePlace) -> None:
    """The error says what is in the way."""
    place.set("db", 1)
    place.api.faults.answer("GET", 503, times=10_000, path="/concurrencylimits")
    refused = pytest.raises(AcquireConcurrencySlotTimeoutError, match="could not list concurrencylimits")
    with refused, concurrency("db", timeout_seconds=0.2):
        pytest.fail("nobody has granted anything")
