"""What the adapter does when the API is not well: tried again, in time and with patience, or told as it is."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.contract.fake_api import FakeApi

from towpath.cluster.access import Access, FileToken, FixedToken
from towpath.cluster.http import HttpCluster
from towpath.cluster.port import EventType, Expired, Selector
from towpath.errors import Conflict, Refused, Unreachable

RUN = {"metadata": {"name": "a"}, "spec": {"flow": {"image": "i"}}}


@pytest.fixture
def api() -> Iterator[FakeApi]:
    """Give a fake API on loopback."""
    with FakeApi() as api:
        yield api


class Time:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


@pytest.fixture
def clock() -> Time:
    """Give a clock that only sleeping moves."""
    return Time()


@pytest.fixture
def cluster(api: FakeApi, clock: Time) -> Iterator[HttpCluster]:
    """Give the adapter over the fake API."""
    made = HttpCluster(
        Access(api.url, "default", FixedToken("t-0")),
        patience_seconds=30,
        sleep=clock.sleep,
        monotonic=lambda: clock.now,
        chance=lambda: 0.999,
    )
    yield made
    made.close()


@pytest.mark.parametrize("code", [0, 429, 500, 502, 503, 504])
def test_what_may_pass_is_tried_again(cluster: HttpCluster, api: FakeApi, clock: Time, code: int) -> None:
    """A hung-up connection, too many requests, the server's own fault: the third try succeeds."""
    api.create("flowruns", RUN)
    api.faults.answer("GET", code, times=2)
    assert cluster.get_run("a")["metadata"]["name"] == "a"
    assert [round(seconds, 1) for seconds in clock.slept] == [0.1, 0.2]


@pytest.mark.parametrize("code", [400, 401, 403, 404, 405, 409, 410, 422])
def test_what_stays_as_it_is_is_not_tried_again(cluster: HttpCluster, api: FakeApi, clock: Time, code: int) -> None:
    """An answer that another try would not change comes at once."""
    api.faults.answer("GET", code)
    with pytest.raises(Exception, match=str(code)):
        cluster.get_run("a")
    assert clock.slept == []


def test_the_servers_wish_to_wait_is_honoured(cluster: HttpCluster, api: FakeApi, clock: Time) -> None:
    """`Retry-After` is waited for, even if our own delay were shorter."""
    api.create("flowruns", RUN)
    api.faults.answer("GET", 429, headers={"Retry-After": "7"})
    cluster.get_run("a")
    assert clock.slept == [7.0]


def test_patience_ends(cluster: HttpCluster, api: FakeApi, clock: Time) -> None:
    """After thirty seconds the last answer is the error, and the delays never grow beyond ten seconds."""
    api.faults.answer("GET", 503, times=100)
    with pytest.raises(Unreachable, match="503"):
        cluster.get_run("a")
    assert 20 < sum(clock.slept) <= 30
    assert max(clock.slept) <= 10


def test_patience_can_be_changed(cluster: HttpCluster, api: FakeApi, clock: Time) -> None:
    """Who has more time, or less, says so; the connections are the same."""
    api.faults.answer("GET", 503, times=100)
    with pytest.raises(Unreachable):
        cluster.with_patience(1).get_run("a")
    assert sum(clock.slept) <= 1


def test_a_wish_to_wait_beyond_patience_is_not_waited_for(cluster: HttpCluster, api: FakeApi, clock: Time) -> None:
    """A server that says "in an hour" is told as it is at once."""
    api.faults.answer("GET", 429, headers={"Retry-After": "3600"})
    with pytest.raises(Unreachable):
        cluster.get_run("a")
    assert clock.slept == []


def test_a_server_that_is_not_there_is_named(clock: Time) -> None:
    """Nobody listens: the error says what was wanted and asks the right questions."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    cluster = HttpCluster(
        Access(f"http://127.0.0.1:{port}", "default", FixedToken()), sleep=clock.sleep, monotonic=lambda: clock.now
    )
    with pytest.raises(Unreachable, match=r"could not be asked to read FlowRun 'a'.*Is it up"):
        cluster.get_run("a")
    cluster.close()


def test_an_answer_that_is_no_json_is_told(clock: Time) -> None:
    """A portal that answers everything with a page is no API server."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n<html")

        threading.Thread(target=answer, daemon=True).start()
        cluster = HttpCluster(Access(f"http://127.0.0.1:{server.getsockname()[1]}", "default", FixedToken()))
        with pytest.raises(Unreachable, match="could not be asked"):
            cluster.get_run("a")
        cluster.close()


def test_a_create_whose_answer_was_lost_is_a_conflict(cluster: HttpCluster, api: FakeApi) -> None:
    """The object was made once; whoever asked finds it by its name."""
    api.faults.lose_answer("POST")
    with pytest.raises(Conflict):
        cluster.create_run(RUN)
    assert api.read("flowruns", "a")


def test_one_connection_is_used_again(cluster: HttpCluster, api: FakeApi) -> None:
    """Each request after the first finds its connection open."""
    api.create("flowruns", RUN)
    for _ in range(5):
        cluster.get_run("a")
    assert len(api.connections) == 1


def test_the_token_is_read_anew_when_the_kubelet_has_changed_it(api: FakeApi, tmp_path: Path) -> None:
    """A token that rotates while the flow runs does not end in 401."""
    file = tmp_path / "token"
    file.write_text("first\n")
    cluster = HttpCluster(Access(api.url, "default", FileToken(file)))
    api.create("flowruns", RUN)
    cluster.get_run("a")
    file.write_text("second\n")
    cluster.get_run("a")
    cluster.close()
    assert api.tokens == ["Bearer first", "Bearer second"]


class OneUse:
    """Tokens of which the server refuses the first."""

    def __init__(self) -> None:
        self.token = "old"

    def current(self) -> str:
        return self.token

    def renew(self) -> bool:
        self.token = "new"
        return True


def test_a_refused_token_is_renewed_once(api: FakeApi) -> None:
    """A plugin's token that expired early is asked for again; if that is refused too, that is the answer."""
    cluster = HttpCluster(Access(api.url, "default", OneUse()))
    api.create("flowruns", RUN)
    api.faults.answer("GET", 401)
    cluster.get_run("a")
    assert api.tokens == ["Bearer old", "Bearer new"]
    api.faults.answer("GET", 401, times=2)
    with pytest.raises(Refused, match="401"):
        cluster.get_run("a")
    cluster.close()


@pytest.mark.parametrize("how", ["as the answer", "in the stream"])
def test_a_watch_that_is_too_old_is_expired(cluster: HttpCluster, api: FakeApi, how: str) -> None:
    """Both kinds of 410 are the same error."""
    api.create("flowruns", RUN)
    version = cluster.list_runs(Selector()).resource_version
    if how == "as the answer":
        api.compact()
    else:
        api.faults.error_in_watch(410)
    with pytest.raises(Expired), cluster.watch_runs(Selector(), version) as watch:
        list(watch)


def test_a_watch_that_is_cut_off_within_a_line_is_unreachable(cluster: HttpCluster, api: FakeApi) -> None:
    """The whole lines before count; the broken one is an error, not an event."""
    api.faults.cut_watch(after=1)
    told: list[str] = []

    def read() -> None:
        with cluster.watch_runs(Selector(), "1") as watch:
            api.create("flowruns", RUN)
            api.create("flowruns", {**RUN, "metadata": {"name": "b"}})
            for event in watch:
                if event.type is not EventType.BOOKMARK:
                    told.append(event.object["metadata"]["name"])  # noqa: PERF401 what came before the break counts

    with pytest.raises(Unreachable):
        read()
    assert told == ["a"]


def test_a_list_that_grew_too_old_while_it_was_read_is_read_again(
    cluster: HttpCluster, api: FakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A `continue` token that expired is no error for whoever asked for the list."""
    from towpath.cluster import plan

    monkeypatch.setattr(plan, "CHUNK", 2)
    for name in "abcde":
        api.create("flowruns", {**RUN, "metadata": {"name": name}})
    api.faults.answer("GET", 410, path="continue=")
    assert [run["metadata"]["name"] for run in cluster.list_runs(Selector()).items] == list("abcde")


def test_errors_do_not_hold_the_token(cluster: HttpCluster, api: FakeApi) -> None:
    """Whatever is raised or shown, the credentials are not in it."""
    api.faults.answer("GET", 403)
    with pytest.raises(Refused) as refused:
        cluster.get_run("a")
    assert "t-0" not in f"{refused.value!r} {cluster!r} {FixedToken('t-0')!r}"
