"""Logs of runs in a cluster: which pod has them, and reading on where a stream broke off."""

from __future__ import annotations

from typing import Any

import pytest
from tests.sdk.cli.bodies_of_runs import seen
from tests.sdk.cli.fake_sender import FakeSender, listed

from towpath import names
from towpath.cli.podlogs import PodLogs
from towpath.cli.port import LogQuery
from towpath.cluster.console import Console
from towpath.errors import NotFound, Refused, Unreachable

PODS = "GET /api/v1/namespaces/default/pods"
WAITING = Refused('The Kubernetes API could not …: 400, container "flow" in pod "pod-1" is waiting to start.')
AWAY = Unreachable("The server is away.")


def pod(attempt: int, state: str = "running", run: str = "r") -> dict[str, Any]:
    """Build the pod of an attempt."""
    labels = {names.LABEL_RUN_UID: run, names.LABEL_ATTEMPT: str(attempt)}
    status = {"name": names.CONTAINER, "state": {state: {"x": 1}}}
    return {"metadata": {"name": f"pod-{attempt}", "labels": labels}, "status": {"containerStatuses": [status]}}


def at(second: int, text: str) -> str:
    """Write a line as the API gives it: with the container's time before it."""
    return f"2026-01-01T12:00:{second:02d}.000000001Z {text}"


class Logs:
    """Pods with logs, and what was slept."""

    def __init__(self, *pods: dict[str, Any], **logs: list[list[str | Exception]]) -> None:
        self.sender = FakeSender()
        self.sender.tell("GET", "/api/v1/namespaces/default/pods", listed(*pods))
        self.sender.logs = {name.replace("_", "-"): streams for name, streams in logs.items()}
        self.slept: list[float] = []
        self._logs = PodLogs(Console(self.sender, "default"), sleep=self.slept.append)

    def read(self, run: Any, **query: Any) -> list[str]:
        """Give the messages that there are."""
        return [line.message for line in self._logs.read(run, LogQuery(**query))]

    def follow(self, *changes: Any, **query: Any) -> list[str]:
        """Give the messages while a run changes."""
        return [line.message for line in self._logs.follow(changes, LogQuery(follow=True, **query))]

    def queries(self) -> list[dict[str, str]]:
        """Give what was asked of each log."""
        return [dict(request.query) for request in self.sender.requests if request.path.endswith("/log")]


def test_the_latest_attempt_is_read_unless_another_is_asked_for() -> None:
    """Each attempt has a pod of its own; `--tail` is for the server to cut."""
    logs = Logs(pod(1, "terminated"), pod(2), pod_1=[[at(1, "old")]], pod_2=[[at(2, "new")]])
    run = seen("r", "RUNNING", attempt=2)
    assert logs.read(run) == ["new"]
    assert logs.read(run, attempt=1, tail=5) == ["old"]
    assert [query.get("tailLines") for query in logs.queries()] == [None, "5"]
    assert all(query["container"] == names.CONTAINER and query["timestamps"] == "true" for query in logs.queries())


def test_the_pod_of_another_run_of_the_same_name_does_not_count() -> None:
    """A run that was deleted and made anew has a UID of its own."""
    logs = Logs(pod(1, run="an older one"), pod_1=[[at(1, "not this")]])
    with pytest.raises(NotFound, match="has no log yet"):
        logs.read(seen("r", "PENDING"))


@pytest.mark.parametrize(
    ("pods", "run", "attempt", "sentence"),
    [
        pytest.param(
            [], seen("r", "COMPLETED", attempt=1), None, "Run 'r' has no pod any more, and its log went", id="gone"
        ),
        pytest.param(
            [pod(2)], seen("r", "RUNNING", attempt=2), 1, "Attempt 1 of run 'r' has no pod any more", id="old one gone"
        ),
        pytest.param([], seen("r"), None, "Run 'r' has no log yet: it is New. Wait for it with --follow.", id="new"),
        pytest.param(
            [pod(1, "waiting")],
            seen("r", "PENDING", reason="ImagePullFailed", attempt=1),
            None,
            r"it is Pending \(ImagePullFailed\)",
            id="container waits",
        ),
    ],
)
def test_a_log_that_cannot_be_had_says_why(pods: list[Any], run: Any, attempt: int | None, sentence: str) -> None:
    """Gone with its pod, or not begun: the sentence says which, and what to do."""
    with pytest.raises(NotFound, match=sentence):
        Logs(*pods).read(run, attempt=attempt)


def test_a_log_is_followed_through_attempts_to_the_end() -> None:
    """The stream ends with its container; the next attempt's follows; the run's end ends it all."""
    logs = Logs(pod(1), pod(2), pod_1=[[at(1, "one")]], pod_2=[[at(2, "two")]])
    told = logs.follow(
        seen("r"),
        seen("r", "PENDING", attempt=1),
        seen("r", "RUNNING", attempt=1),
        seen("r", "SCHEDULED", attempt=2),
        seen("r", "RUNNING", attempt=2),
        seen("r", "COMPLETED", attempt=2),
        seen("r", "RUNNING", attempt=3),
    )
    assert told == ["one", "two"]
    assert [query["follow"] for query in logs.queries()] == ["true", "true"]


def test_one_attempt_can_be_followed_by_itself() -> None:
    """Its end is the end, whatever the run does."""
    logs = Logs(pod(1), pod(2), pod_1=[[at(1, "one")]], pod_2=[[at(2, "two")]])
    running = seen("r", "RUNNING", attempt=2)
    assert logs.follow(running, running, attempt=1) == ["one"]


def test_a_run_that_ended_before_anybody_looked_has_its_log_still() -> None:
    """As long as the pod is there."""
    logs = Logs(pod(1, "terminated"), pod_1=[[at(1, "one")]])
    assert logs.follow(seen("r", "FAILED", attempt=1)) == ["one"]


def test_a_followed_run_whose_pod_is_gone_says_so() -> None:
    """A pod that vanishes while the run goes on is waited for: there may be another; after the end there is none."""
    with pytest.raises(NotFound, match="has no pod any more"):
        Logs().follow(seen("r", "RUNNING", attempt=1), seen("r", "COMPLETED", attempt=1))


def test_a_stream_that_breaks_off_goes_on_where_it_was() -> None:
    """The server is asked for lines from the last second on, and those that are known already are not told again."""
    streams: list[list[str | Exception]] = [
        [at(1, "one"), at(2, "two"), AWAY],
        [AWAY],
        [at(2, "two"), at(3, "three")],
    ]
    logs = Logs(pod(1), pod_1=streams)
    assert logs.follow(seen("r", "COMPLETED", attempt=1), tail=10) == ["one", "two", "three"]
    assert [query.get("sinceTime") for query in logs.queries()] == [
        None,
        "2026-01-01T12:00:02Z",
        "2026-01-01T12:00:02Z",
    ]
    assert [query.get("tailLines") for query in logs.queries()] == ["10", None, None]
    assert len(logs.slept) == 2


def test_a_log_that_is_not_followed_breaks_off_with_an_error() -> None:
    """Half a log is not taken for the whole."""
    with pytest.raises(Unreachable):
        Logs(pod(1), pod_1=[[at(1, "one"), AWAY]]).read(seen("r", "RUNNING", attempt=1))


def test_a_run_is_believed_before_its_kubelet() -> None:
    """The pod's status lags behind: a run that runs, or has ended, has a log."""
    for state in ("RUNNING", "COMPLETED"):
        assert Logs(pod(1, "waiting"), pod_1=[[at(1, "one")]]).read(seen("r", state, attempt=1)) == ["one"]


def test_a_kubelet_that_has_not_noticed_yet_is_asked_again() -> None:
    """Where the run has told that it began, there is a log, a moment later; but nobody waits for ever."""
    begun = seen("r", "COMPLETED", attempt=1, startTime="2026-01-01T12:00:00Z")
    logs = Logs(pod(1, "waiting"), pod_1=[[WAITING], [WAITING], [at(1, "one")]])
    assert logs.follow(begun) == ["one"]
    assert len(logs.slept) == 2
    with pytest.raises(NotFound, match="has not begun"):
        Logs(pod(1, "waiting"), pod_1=[[WAITING]] * 20).read(begun)


def test_a_container_that_never_began_has_no_log() -> None:
    """An image that could not be pulled leaves a pod without a log; any other refusal stays one."""
    with pytest.raises(NotFound, match="The container of pod 'pod-1' has not begun"):
        Logs(pod(1, "waiting"), pod_1=[[WAITING]]).read(seen("r", "CRASHED", attempt=1))
    with pytest.raises(Refused):
        Logs(pod(1, "waiting"), pod_1=[[Refused("403, no.")]]).read(seen("r", "CRASHED", attempt=1))


def test_what_the_kubelet_says_itself_is_shown() -> None:
    """It has no time before it."""
    said = "unable to retrieve container logs for containerd://1234"
    assert Logs(pod(1), pod_1=[[at(1, "one"), said]]).read(seen("r", "COMPLETED", attempt=1)) == ["one", said]


def test_who_may_not_read_logs_is_told() -> None:
    """A refusal is no reason to wait."""
    logs = Logs(pod(1))
    logs.sender.answers[PODS] = Refused("You may not.")
    with pytest.raises(Refused):
        logs.follow(seen("r", "RUNNING", attempt=1))
