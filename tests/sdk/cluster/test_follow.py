"""Following runs through everything that breaks a watch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from types import TracebackType
from typing import Self

import pytest

from towpath.cluster.follow import Change, Follower
from towpath.cluster.port import Body, Event, EventType, Expired, Listing, Selector
from towpath.errors import ClusterError, NotFound, Refused, Unreachable


def run(name: str, version: int = 1, state: str = "RUNNING") -> Body:
    metadata = {"name": name, "uid": f"uid-{name}", "resourceVersion": str(version)}
    return {"metadata": metadata, "status": {"state": {"type": state}}}


def event(type_: str, name: str, version: int = 1) -> Event:
    return Event(EventType(type_), run(name, version))


class Script:
    """A cluster that answers each list and each watch as written down; an exception is raised."""

    def __init__(self, *answers: Listing | list[Event | Exception] | Exception) -> None:
        self.answers = list(answers)
        self.versions: list[str] = []
        self.before: Callable[[], None] = lambda: None

    def list_runs(self, selector: Selector) -> Listing:
        self.before()
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        assert isinstance(answer, Listing), f"a list was asked for, {answer!r} was expected"
        return answer

    def watch_runs(self, selector: Selector, resource_version: str) -> Self:
        self.versions.append(resource_version)
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        pass

    def __iter__(self) -> Iterator[Event]:
        answer = self.answers.pop(0)
        assert not isinstance(answer, Listing), "a watch was asked for, a list was expected"
        if isinstance(answer, Exception):
            raise answer
        for item in answer:
            if isinstance(item, Exception):
                raise item
            yield item

    def close(self) -> None:
        pass


def follow(script: Script, waits: list[float] | None = None) -> Follower:
    kept = waits if waits is not None else []
    return Follower(script, Selector(), wait=kept.append, chance=lambda: 0.999)  # type: ignore[arg-type]


def told(changes: Iterator[Change], count: int) -> list[tuple[str, bool]]:
    return [(change.uid.removeprefix("uid-"), change.body is not None) for change in islice(changes, count)]


def test_what_there_is_comes_first_then_what_changes() -> None:
    """A list is told run by run, then the watch goes on from its version."""
    script = Script(Listing((run("a"),), "5"), [event("ADDED", "b", 6), event("MODIFIED", "a", 7)])
    assert told(follow(script).changes(), 3) == [("a", True), ("b", True), ("a", True)]
    assert script.versions == ["5"]


@pytest.mark.parametrize(
    "broken",
    [[], [Unreachable("cut")], Unreachable("refused")],
    ids=["ends in order", "breaks off", "does not open"],
)
def test_a_watch_that_ends_is_gone_on_from_where_it_was(broken: list[Event | Exception] | Exception) -> None:
    """After the end of a watch the next one starts from the last version seen, bookmarks included."""
    script = Script(Listing((), "5"), [event("BOOKMARK", "x", 8)], broken, [event("ADDED", "b", 9)])
    assert told(follow(script).changes(), 1) == [("b", True)]
    assert script.versions == ["5", "8", "8"]


@pytest.mark.parametrize(
    "expired", [Expired("410"), [Expired("410 in the stream")]], ids=["as the answer", "in the stream"]
)
def test_a_watch_that_is_too_old_is_listed_anew_and_nothing_gone_is_missed(
    expired: list[Event | Exception] | Exception,
) -> None:
    """After a 410 of either kind, what vanished meanwhile is told as gone before what there is."""
    script = Script(
        Listing((run("a"), run("b")), "5"), expired, Listing((run("b"), run("c")), "9"), [event("DELETED", "c", 10)]
    )
    assert told(follow(script).changes(), 6) == [
        ("a", True),
        ("b", True),
        ("a", False),
        ("b", True),
        ("c", True),
        ("c", False),
    ]
    assert script.versions == ["5", "9"]


def test_a_run_created_while_a_list_is_made_is_not_taken_for_gone() -> None:
    """What was created after the list was asked for is missing in it, but exists."""
    script = Script(Listing((), "5"), Expired("410"), Listing((), "9"), [event("ADDED", "new", 10)])
    follower = follow(script)
    script.before = lambda: follower.note("uid-new") if len(script.answers) == 2 else None
    assert told(follower.changes(), 1) == [("new", True)]


def test_a_run_created_and_deleted_between_two_lists_is_told_as_gone() -> None:
    """A run that no list and no event ever showed has vanished all the same, and whoever waits for it must know."""
    script = Script(Listing((), "5"), Expired("410"), Listing((), "9"))
    follower = follow(script)
    follower.note("uid-short-lived")
    assert told(follower.changes(), 1) == [("short-lived", False)]


def test_a_server_that_hangs_up_at_once_is_not_hammered() -> None:
    """Waits grow from watch to watch while none of them brings anything, and start small again once one does."""
    waits: list[float] = []
    quiet: list[Event | Exception] = []
    script = Script(Listing((), "5"), quiet, quiet, quiet, [event("ADDED", "a", 6)], [event("ADDED", "b", 7)])
    assert told(follow(script, waits).changes(), 2) == [("a", True), ("b", True)]
    assert [round(wait, 2) for wait in waits] == [0.05, 0.1, 0.2, 0.05]


def test_an_api_that_goes_on_saying_no_ends_the_following() -> None:
    """What trying again does not change is raised to whoever follows."""
    waits: list[float] = []
    with pytest.raises(NotFound):
        list(follow(Script(*[NotFound("no such kind")] * 9), waits).changes())
    assert len(waits) == 8


def test_a_no_that_passes_does_no_harm() -> None:
    """A role that is just being granted, or a token that is just being renewed, ends nobody's wait."""
    no: Exception = Refused("not yet")
    script = Script(no, no, Listing((run("a"),), "5"), no, [event("MODIFIED", "a", 6)])
    assert told(follow(script).changes(), 2) == [("a", True), ("a", True)]


def test_an_api_that_is_away_is_waited_for() -> None:
    """A list that cannot be had is asked for again."""
    waits: list[float] = []
    away: ClusterError = Unreachable("away")
    script = Script(away, away, Listing((run("a"),), "5"))
    assert told(follow(script, waits).changes(), 1) == [("a", True)]
    assert len(waits) == 2


def test_stopping_ends_the_iteration() -> None:
    """After `stop` nothing more is told."""
    follower = follow(Script(Listing((run("a"), run("b")), "5"), [event("ADDED", "c", 6)]))
    seen = []
    for change in follower.changes():
        seen.append(change.uid)
        follower.stop()
    assert seen == ["uid-a", "uid-b"]  # the list was there already
