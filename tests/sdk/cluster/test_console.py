"""What a person at a terminal asks of a cluster, as requests."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from tests.sdk.cli.fake_sender import FakeSender, listed, sent

from towpath.cluster.console import Console
from towpath.errors import NotFound

RUNS = "/apis/towpath.dev/v1alpha1/namespaces/data/flowruns"
REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"


def console(**answers: Any) -> tuple[Console, FakeSender]:
    """Give a console, and what sends its requests."""
    sender = FakeSender()
    for place, answer in answers.items():
        sender.answers[place] = answer
    return Console(sender, "data"), sender


@pytest.mark.parametrize(
    ("ask", "method", "path", "query", "body", "content_type"),
    [
        pytest.param(
            lambda c: c.cancel_run("r"), "PATCH", f"{RUNS}/r", {}, {"spec": {"cancel": True}},
            "application/merge-patch+json", id="cancel",
        ),
        pytest.param(
            lambda c: c.delete_run("r"), "DELETE", f"{RUNS}/r", {"propagationPolicy": "Background"}, None,
            "application/json", id="delete",
        ),
        pytest.param(
            lambda c: c.flow("etl"), "GET", "/apis/towpath.dev/v1alpha1/namespaces/data/flows/etl", {}, None,
            "application/json", id="flow",
        ),
        pytest.param(
            lambda c: c.service_account("towpath-runner"), "GET",
            "/api/v1/namespaces/data/serviceaccounts/towpath-runner", {}, None, "application/json", id="account",
        ),
        pytest.param(
            lambda c: c.apply({"kind": "Flow", "metadata": {"name": "a/b"}}, force=True), "PATCH",
            "/apis/towpath.dev/v1alpha1/namespaces/data/flows/a%2Fb", {"fieldManager": "towpath", "force": "true"},
            {"kind": "Flow", "metadata": {"name": "a/b"}}, "application/apply-patch+yaml", id="apply",
        ),
    ],
)  # fmt: skip
def test_each_call_is_one_request(
    ask: Callable[[Console], Any], method: str, path: str, query: dict[str, str], body: Any, content_type: str
) -> None:
    """Method, path, query, body and its type are what the API wants; names cannot leave their place."""
    made, sender = console(**{f"{method} {path}": {"metadata": {}}})
    ask(made)
    (request,) = sender.requests
    assert (request.method, request.path, dict(request.query)) == (method, path, query)
    assert (sent(request), request.content_type) == (body, content_type)
    assert request.aim


@pytest.mark.parametrize(
    ("resource", "group", "attributes"),
    [
        ("flowruns", "towpath.dev", {"group": "towpath.dev", "resource": "flowruns"}),
        ("pods/log", "", {"group": "", "resource": "pods", "subresource": "log"}),
    ],
)
@pytest.mark.parametrize("allowed", [True, False])
def test_rights_are_asked_of_the_api_server(
    resource: str, group: str, attributes: dict[str, str], allowed: bool
) -> None:
    """A SelfSubjectAccessReview answers for whoever asks, in the console's namespace."""
    made, sender = console(**{f"POST {REVIEWS}": {"status": {"allowed": allowed}}})
    assert made.may("get", resource, group=group) is allowed
    asked = sent(sender.requests[0])["spec"]["resourceAttributes"]
    assert asked == {"namespace": "data", "verb": "get", **attributes}


def test_long_lists_come_in_chunks() -> None:
    """Each next chunk is asked for with the token of the one before."""
    made, sender = console()
    path = "/apis/towpath.dev/v1alpha1/namespaces/data/flows"
    sender.tell(
        "GET",
        path,
        lambda request: listed({"n": 2}) if ("continue", "t") in request.query else listed({"n": 1}, more="t"),
    )
    assert made.flows() == [{"n": 1}, {"n": 2}]
    assert len(sender.requests) == 2


def test_pods_and_operators_are_found_by_their_labels() -> None:
    """Pods in the namespace, the operator anywhere."""
    made, sender = console(**{"GET /api/v1/namespaces/data/pods": listed(), "GET /apis/apps/v1/deployments": listed()})
    assert (made.pods("r"), made.operators()) == ([], [])
    assert [dict(request.query)["labelSelector"] for request in sender.requests] == [
        "towpath.dev/run=r",
        "app.kubernetes.io/component=operator,app.kubernetes.io/name=towpath",
    ]


def test_schemas_are_those_of_our_kinds() -> None:
    """Other schemas of the document are left out; a server without our kinds has none."""
    flow = {
        "type": "object",
        "x-kubernetes-group-version-kind": [{"group": "towpath.dev", "version": "v1alpha1", "kind": "Flow"}],
    }
    other = {"x-kubernetes-group-version-kind": [{"group": "", "version": "v1", "kind": "DeleteOptions"}]}
    schemas = {"dev.towpath.v1alpha1.Flow": flow, "x.DeleteOptions": other, "ObjectMeta": {}}
    made, _ = console(**{"GET /openapi/v3/apis/towpath.dev/v1alpha1": {"components": {"schemas": schemas}}})
    assert made.schemas() == {"Flow": flow}
    assert console()[0].schemas() is None


def test_a_log_is_asked_for_as_it_is_wanted() -> None:
    """Whole, from a time on, its end, or for as long as it goes on; a pod that is not there is not found."""
    made, sender = console()
    sender.logs = {"p": [["a", "b"]]}
    with made.log("p", follow=True, tail=3, since="2026-01-01T00:00:00Z") as lines:
        assert list(lines) == ["a", "b"]
    assert sender.requests[0].path == "/api/v1/namespaces/data/pods/p/log"
    assert dict(sender.requests[0].query) == {
        "container": "flow",
        "timestamps": "true",
        "follow": "true",
        "tailLines": "3",
        "sinceTime": "2026-01-01T00:00:00Z",
    }
    with pytest.raises(NotFound), made.log("gone"):
        pass


def test_the_version_is_that_of_the_server() -> None:
    """As Kubernetes writes it."""
    assert console(**{"GET /version": {"gitVersion": "v1.34.4"}})[0].version() == "v1.34.4"
