"""The cluster port over HTTP: one suite for the fake API and for a real API server, which keeps the fake honest."""

from __future__ import annotations

import queue
import secrets
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from tests.contract.fake_api import FakeApi

from towpath.api.v1alpha1 import transitions
from towpath.cluster import plan
from towpath.cluster.access import Access, FixedToken
from towpath.cluster.ends import End, Ends
from towpath.cluster.http import HttpCluster
from towpath.cluster.port import Event, EventType, Expired, Selector
from towpath.cluster.standing import report
from towpath.errors import ClusterError, Conflict, NotFound, Refused
from towpath.states import StateType

NOW = datetime(2026, 3, 1, tzinfo=UTC)


REAL = pytest.param("real", marks=[pytest.mark.cluster, pytest.mark.timeout(600)])


@pytest.fixture(params=["fake", REAL])
def cluster(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[HttpCluster]:
    """Give a namespace of an API server, fake or real; on the real one in an API group that no operator knows."""
    if request.param == "fake":
        with FakeApi() as api:
            made = HttpCluster(Access(api.url, "default", FixedToken()))
            yield made
            made.close()
        return
    server, kinds = request.getfixturevalue("apiserver"), request.getfixturevalue("kinds")
    monkeypatch.setattr(plan, "GROUP", kinds.group)
    made = HttpCluster(_access(server.kube, server.namespace))
    yield made
    made.close()


only_real = pytest.mark.parametrize("cluster", [REAL], indirect=True)


def _access(kube: Any, namespace: str) -> Access:
    from towpath.cluster import kubeconfig

    config = kubeconfig.read([kube.kubeconfig])
    assert config is not None
    return kubeconfig.access(config, namespace=namespace)


@pytest.fixture
def group() -> str:
    """Give a label's value that only this test's runs have."""
    return f"g-{secrets.token_hex(4)}"


def manifest(name: str, group: str, **spec: Any) -> dict[str, Any]:
    """Build a run."""
    flow = {"image": "shop:1", "entrypoint": "shop:sell"}
    return {
        "apiVersion": f"{plan.GROUP}/v1alpha1",
        "kind": "FlowRun",
        "metadata": {"name": f"{group}-{name}", "labels": {"test": group}},
        "spec": {"flow": flow, **spec},
    }


def begin(cluster: HttpCluster, name: str) -> Any:
    """Bring a run to its first attempt, RUNNING."""
    run = cluster.get_run(name)
    status = run.get("status") or {}
    running = transitions.state(StateType.RUNNING, NOW)
    return cluster.patch_status(name, transitions.transition(status, running, attempt=1))


def test_a_created_run_is_read_back(cluster: HttpCluster, group: str) -> None:
    """What is created comes back with a UID and a version, and is read under its name."""
    made = cluster.create_run(manifest("a", group, parameters={"n": 1, "text": "ü"}))
    assert made["metadata"]["uid"]
    read = cluster.get_run(f"{group}-a")
    assert read["metadata"]["uid"] == made["metadata"]["uid"]
    assert read["spec"]["parameters"] == {"n": 1, "text": "ü"}


def test_a_name_that_is_taken_is_a_conflict(cluster: HttpCluster, group: str) -> None:
    """Creating is answered by 409 if it was done before: nobody asks first."""
    cluster.create_run(manifest("a", group))
    with pytest.raises(Conflict, match=rf"create FlowRun '{group}-a' .*already exists"):
        cluster.create_run(manifest("a", group))


def test_what_does_not_exist_is_not_found(cluster: HttpCluster, group: str) -> None:
    """Reading or writing what is not there says so."""
    with pytest.raises(NotFound):
        cluster.get_run(f"{group}-none")
    with pytest.raises(NotFound):
        cluster.patch_status(f"{group}-none", [{"op": "add", "path": "/status", "value": {}}])
    with pytest.raises(NotFound):
        cluster.get_deployment(f"{group}-none")


def test_a_report_is_written_if_the_run_is_as_it_was_seen(cluster: HttpCluster, group: str) -> None:
    """The patch that a run's process writes is taken as it is, field by field."""
    cluster.create_run(manifest("a", group))
    running = begin(cluster, f"{group}-a")
    done = transitions.state(StateType.COMPLETED, NOW, reason="Succeeded")
    fields = {"result": {"inline": "[1]", "serializer": "json", "size": 3}, "tasks": {"total": 1, "completed": 1}}
    ended = cluster.patch_status(f"{group}-a", report(running, 1, done, fields))
    status = ended["status"]
    assert (status["state"]["type"], status["result"]["inline"]) == ("COMPLETED", "[1]")
    assert [entry["type"] for entry in status["history"]] == ["RUNNING", "COMPLETED"]
    assert cluster.get_run(f"{group}-a")["status"] == status


def test_whatever_a_state_says_the_next_report_is_taken(cluster: HttpCluster, group: str) -> None:
    """Also after a message with quotes, other scripts, and what an API server escapes: it is not taken for another."""
    cluster.create_run(manifest("a", group))
    name = f"{group}-a"
    running = begin(cluster, name)
    paused = transitions.state(StateType.PAUSED, NOW, message='„Größe“ < 5 & "\u2028\x1b" 漢 🙂 …')
    waits = cluster.patch_status(name, report(running, 1, paused, {}))
    done = transitions.state(StateType.COMPLETED, NOW, reason="Succeeded")
    assert cluster.patch_status(name, report(waits, 1, done, {}))["status"]["state"]["type"] == "COMPLETED"


def test_a_failed_test_of_a_patch_is_a_conflict(cluster: HttpCluster, group: str) -> None:
    """Another attempt, another state, or none at all: nothing is written, and the writer looks again."""
    cluster.create_run(manifest("a", group))
    name = f"{group}-a"
    done = transitions.state(StateType.COMPLETED, NOW)
    with pytest.raises(Conflict):
        cluster.patch_status(name, [{"op": "test", "path": "/status/attempt", "value": 1}])
    running = begin(cluster, name)
    with pytest.raises(Conflict):
        cluster.patch_status(name, report({**running, "status": {**running["status"], "attempt": 2}}, 2, done, {}))
    stale = {**running["status"], "state": {**running["status"]["state"], "type": "PENDING"}}
    with pytest.raises(Conflict):
        cluster.patch_status(name, report({**running, "status": stale}, 1, done, {}))
    assert cluster.get_run(name)["status"]["state"]["type"] == "RUNNING"


def test_an_end_that_was_written_stays(cluster: HttpCluster, group: str) -> None:
    """A terminal state is refused any change, in words, but the same report again does no harm."""
    cluster.create_run(manifest("a", group))
    name = f"{group}-a"
    done = transitions.state(StateType.COMPLETED, NOW)
    ended = cluster.patch_status(name, report(begin(cluster, name), 1, done, {}))
    cluster.patch_status(name, [{"op": "add", "path": "/status/state", "value": ended["status"]["state"]}])
    failed = transitions.state(StateType.FAILED, NOW)
    with pytest.raises(Refused, match="its state is final within its attempt"):
        cluster.patch_status(name, [{"op": "add", "path": "/status/state", "value": failed}])


def test_lists_take_labels_and_names(cluster: HttpCluster, group: str) -> None:
    """A selector takes what has the label, or the one of that name."""
    for name in ("a", "b"):
        cluster.create_run(manifest(name, group))
    by_label = cluster.list_runs(Selector(labels={"test": group}))
    by_name = cluster.list_runs(Selector(name=f"{group}-b"))
    assert [run["metadata"]["name"] for run in by_label.items] == [f"{group}-a", f"{group}-b"]
    assert [run["metadata"]["name"] for run in by_name.items] == [f"{group}-b"]
    assert by_label.resource_version


def test_a_list_in_chunks_is_whole(cluster: HttpCluster, group: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """However small the chunks, nothing is missing and nothing is there twice."""
    monkeypatch.setattr(plan, "CHUNK", 2)
    for number in range(5):
        cluster.create_run(manifest(str(number), group))
    names = [run["metadata"]["name"] for run in cluster.list_runs(Selector(labels={"test": group})).items]
    assert names == [f"{group}-{number}" for number in range(5)]


def test_a_watch_goes_on_from_a_list(cluster: HttpCluster, group: str) -> None:
    """What happens after the list is told in order, for what the selector takes only."""
    cluster.create_run(manifest("old", group))
    selector = Selector(labels={"test": group})
    listing = cluster.list_runs(selector)
    cluster.create_run(manifest("elsewhere", f"{group}-other"))
    cluster.create_run(manifest("new", group))
    begin(cluster, f"{group}-new")
    with cluster.watch_runs(selector, listing.resource_version) as watch:
        told = _first(watch, 2)
    assert [(event.type, event.object["metadata"]["name"]) for event in told] == [
        (EventType.ADDED, f"{group}-new"),
        (EventType.MODIFIED, f"{group}-new"),
    ]


def test_a_watch_of_one_run_by_its_name(cluster: HttpCluster, group: str) -> None:
    """The field selector works in a watch too."""
    cluster.create_run(manifest("a", group))
    selector = Selector(name=f"{group}-a")
    version = cluster.list_runs(selector).resource_version
    cluster.create_run(manifest("b", group))
    begin(cluster, f"{group}-a")
    with cluster.watch_runs(selector, version) as watch:
        (event,) = _first(watch, 1)
    assert event.object["metadata"]["name"] == f"{group}-a"


def _first(watch: Any, count: int) -> list[Event]:
    told: list[Event] = []
    for event in watch:
        if event.type is not EventType.BOOKMARK:
            told.append(event)
        if len(told) == count:
            break
    return told


@only_real  # the fake's watches are made to expire in test_cluster_faults
def test_a_watch_from_long_ago_is_expired(cluster: HttpCluster) -> None:
    """A watch from long ago cannot be had: 410, as the answer or as the first event."""
    with pytest.raises(Expired), cluster.watch_runs(Selector(), "1") as watch:
        _first(watch, 1)


def test_a_watch_is_closed_from_another_thread(cluster: HttpCluster, group: str) -> None:
    """Closing ends the iteration at once, though nothing happens."""
    version = cluster.list_runs(Selector(labels={"test": group})).resource_version
    opened, ended = threading.Event(), threading.Event()
    watch = cluster.watch_runs(Selector(labels={"test": group}), version)

    def read() -> None:
        with watch:
            opened.set()
            for _ in watch:
                pass
        ended.set()

    threading.Thread(target=read, daemon=True).start()
    assert opened.wait(20)
    watch.close()
    assert ended.wait(5)


def test_ends_are_told_as_they_happen(cluster: HttpCluster, group: str) -> None:
    """Waiting for many runs with one watch works over HTTP as it does in memory."""
    ends = Ends(cluster, Selector(labels={"test": group}))
    told: queue.SimpleQueue[End] = queue.SimpleQueue()
    for name in ("a", "b"):
        ends.expect(cluster.create_run(manifest(name, group)), told.put)
    for name in ("b", "a"):
        run = begin(cluster, f"{group}-{name}")
        cluster.patch_status(f"{group}-{name}", report(run, 1, transitions.state(StateType.COMPLETED, NOW), {}))
        end = told.get(timeout=20)
        assert isinstance(end, dict)
        assert end["metadata"]["name"] == f"{group}-{name}"
    ends.close(ClusterError("done"))


@only_real  # the fake knows no schema
def test_what_is_not_valid_is_refused_in_words(cluster: HttpCluster, group: str) -> None:
    """A bad object's refusal names the field and the rule."""
    bad = manifest("a", group, parent={"name": "p", "uid": "u", "depth": 99})
    with pytest.raises(Refused, match=r"422, .*spec\.parent\.depth"):
        cluster.create_run(bad)
