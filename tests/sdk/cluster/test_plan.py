"""Requests to the Kubernetes API as values, and what its answers mean."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from towpath.cluster import plan
from towpath.cluster.backoff import Backoff
from towpath.cluster.port import EventType, Expired, Selector
from towpath.errors import ClusterError, Conflict, NotFound, Refused, Unreachable

RUNS = "/apis/towpath.dev/v1alpha1/namespaces/shop/flowruns"
GET = plan.get("flowruns", "shop", "a")
POST = plan.create("flowruns", "shop", {"metadata": {"name": "a"}})
PATCH = plan.patch_status("flowruns", "shop", "a", [{"op": "test", "path": "/status/attempt", "value": 1}])
CHILDREN = Selector(labels={"towpath.dev/parent": "top"})


@pytest.mark.parametrize(
    ("request_", "method", "path", "query"),
    [
        pytest.param(GET, "GET", f"{RUNS}/a", {}, id="get"),
        pytest.param(
            plan.get("flowruns", "a/b", "c?d"), "GET", RUNS.replace("shop", "a%2Fb") + "/c%3Fd", {}, id="quoted"
        ),
        pytest.param(POST, "POST", RUNS, {}, id="create"),
        pytest.param(PATCH, "PATCH", f"{RUNS}/a/status", {}, id="patch"),
        pytest.param(
            plan.listing("flowruns", "shop", CHILDREN),
            "GET",
            RUNS,
            {"labelSelector": "towpath.dev/parent=top", "limit": "500"},
            id="list",
        ),
        pytest.param(
            plan.listing("deployments", "shop", Selector(), "next"),
            "GET",
            RUNS.replace("flowruns", "deployments"),
            {"limit": "500", "continue": "next"},
            id="next chunk",
        ),
        pytest.param(
            plan.watch("flowruns", "shop", Selector(name="a"), "7"),
            "GET",
            RUNS,
            {
                "fieldSelector": "metadata.name=a",
                "watch": "1",
                "allowWatchBookmarks": "true",
                "resourceVersion": "7",
                "timeoutSeconds": "240",
            },
            id="watch",
        ),
    ],
)
def test_a_request_says_what_the_api_takes(
    request_: plan.Request, method: str, path: str, query: dict[str, str]
) -> None:
    """Method, path and query are those of the Kubernetes API; names cannot break out of the path."""
    assert (request_.method, request_.path, dict(request_.query)) == (method, path, query)


def test_a_patch_travels_as_json_patch() -> None:
    """The operations are the body, under the content type that makes the API server apply them one by one."""
    assert PATCH.content_type == "application/json-patch+json"
    assert json.loads(PATCH.body or b"") == [{"op": "test", "path": "/status/attempt", "value": 1}]


def status(message: str = "no", reason: str = "", **details: object) -> bytes:
    return json.dumps({"kind": "Status", "message": message, "reason": reason, "details": details}).encode()


@pytest.mark.parametrize(
    ("request_", "code", "body", "error", "retried"),
    [
        pytest.param(GET, 404, status(), NotFound, False, id="missing"),
        pytest.param(GET, 409, status(), Conflict, False, id="exists"),
        pytest.param(POST, 409, status(reason="AlreadyExists"), Conflict, False, id="name is taken"),
        pytest.param(POST, 409, status(reason="Conflict"), Unreachable, True, id="quota counted by others too"),
        pytest.param(GET, 410, status(), Expired, False, id="too old"),
        pytest.param(GET, 401, status(), Refused, False, id="who are you"),
        pytest.param(GET, 403, status(), Refused, False, id="may not"),
        pytest.param(GET, 422, status(), Refused, False, id="invalid"),
        pytest.param(PATCH, 422, status(), Conflict, False, id="failed test"),
        pytest.param(
            PATCH, 422, status(causes=[{"field": "status", "message": "final"}]), Refused, False, id="broken rule"
        ),
        pytest.param(
            PATCH,
            422,
            status(causes=[{"reason": "UnexpectedServerResponse"}]),
            Conflict,
            False,
            id="cause without field",
        ),
        pytest.param(GET, 429, status(), Unreachable, True, id="too many"),
        pytest.param(GET, 500, status(), Unreachable, True, id="server's fault"),
        pytest.param(GET, 503, b"<html>no backend</html>", Unreachable, True, id="proxy's words"),
        pytest.param(GET, 302, b"", Refused, False, id="sent elsewhere"),
    ],
)
def test_an_answer_other_than_success_is_an_error_of_towpath(
    request_: plan.Request, code: int, body: bytes, error: type[ClusterError], retried: bool
) -> None:
    """Each code has one meaning, and only what may pass is worth another try."""
    failure = plan.failure(request_, code, body)
    assert type(failure.error) is error
    assert (failure.status, failure.retried) == (code, retried)


def test_an_error_says_what_was_tried_and_what_the_server_said() -> None:
    """A person reads which object it was, the code, the server's words, and what to do."""
    said = str(plan.failure(GET, 403, status("forbidden: no role")).error)
    assert said == (
        "The Kubernetes API could not read FlowRun 'a' in namespace 'shop': 403, forbidden: no role."
        " Whoever asks needs a role for it, in that namespace."
    )


def test_missing_crds_are_named_as_the_cause() -> None:
    """A 404 for the whole kind says that Towpath is not installed, not that the object is missing."""
    failure = plan.failure(GET, 404, status("the server could not find the requested resource"))
    assert "Install Towpath's CRDs" in str(failure.error)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [(None, 0), ("7", 7), (" 7 ", 7), ("soon", 0), ("Wed, 21 Oct 2026 07:28:00 GMT", 0), ("-3", 0)],
    ids=["none", "seconds", "spaces", "word", "date", "negative"],
)
def test_retry_after_is_read_where_it_is_seconds(header: str | None, seconds: float) -> None:
    """The server's wish counts; anything else is left to our own back-off."""
    assert plan.failure(GET, 429, b"", header).retry_after_seconds == seconds


def test_lines_of_a_watch_are_events() -> None:
    """A line is one event, and says where to go on from."""
    line = json.dumps({"type": "MODIFIED", "object": {"metadata": {"name": "a", "resourceVersion": "9"}}})
    event = plan.event(GET, line)
    assert (event.type, event.resource_version) == (EventType.MODIFIED, "9")


@pytest.mark.parametrize(
    ("line", "error"),
    [
        pytest.param('{"type":"ERROR","object":{"code":410,"message":"too old"}}', Expired, id="410 in the stream"),
        pytest.param('{"type":"ERROR","object":{"code":500,"message":"etcd"}}', Unreachable, id="500 in the stream"),
        pytest.param('{"type":"ERROR","object":null}', Unreachable, id="error without a word"),
        pytest.param('{"type":"MODIFIED","obj', Unreachable, id="cut off"),
        pytest.param("[]", Unreachable, id="no event"),
    ],
)
def test_errors_in_a_watch_are_told_apart(line: str, error: type[ClusterError]) -> None:
    """A watch that is too old has to be listed anew; any other break is gone on from where it was."""
    with pytest.raises(error):
        plan.event(GET, line)


@given(st.integers(0, 10_000), st.floats(0, 1, exclude_max=True))
def test_delays_grow_up_to_a_cap_and_never_vanish(failures: int, chance: float) -> None:
    """A delay lies in the upper half of its doubling, never above the cap, however many failures there were."""
    backoff = Backoff(first_seconds=0.1, most_seconds=10)
    delay = backoff.delay(failures, chance)
    assert 0.05 <= delay <= 10
    assert backoff.delay(failures + 1, chance) >= delay
