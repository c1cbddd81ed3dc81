"""What a person at a terminal asks of a cluster, beside what a run asks by the `port`: to cancel, to delete, to apply,
to read logs, and to look whether all is in place. Plans its requests here, has them sent by the adapter.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Final, Protocol
from urllib.parse import quote

from towpath import names
from towpath.cluster.plan import Request, collection
from towpath.cluster.port import Body
from towpath.errors import NotFound

MERGE_PATCH: Final = "application/merge-patch+json"
#: JSON is YAML too, and this is the only name that every API server takes.
APPLY_PATCH: Final = "application/apply-patch+yaml"
FIELD_MANAGER: Final = "towpath"
_CHUNK: Final = 500


class Sender(Protocol):
    """What sends requests: the HTTP adapter."""

    def send(self, request: Request) -> dict[str, Any]:
        """Send a request and give its answer."""
        ...

    def lines(self, request: Request) -> AbstractContextManager[Iterator[str]]:
        """Send a request and give its answer line by line, as it comes; the stream may break off with Unreachable."""
        ...


class Console:
    """The rest of a cluster, as seen from one namespace."""

    def __init__(self, sender: Sender, namespace: str) -> None:
        self._sender = sender
        self.namespace = namespace

    def cancel_run(self, name: str, *, now: bool = False) -> Body:
        """Wish for the end of a FlowRun and of all below it.

        Args:
            name: of the FlowRun.
            now: whether its process is killed, without its grace period; also after it was told to end.
        """
        return self.wish(f"cancel FlowRun {name!r}", name, {"cancel": True} | ({"cancelMode": "Now"} if now else {}))

    def retry_run(self, name: str, attempt: int) -> Body:
        """Wish for one more attempt of a FlowRun after the one in which it has ended."""
        return self.wish(f"retry FlowRun {name!r}", name, {"retryAfterAttempt": attempt})

    def wish(self, aim: str, name: str, spec: Body, resource_version: str | None = None) -> Body:
        """Change what is wished of a FlowRun.

        Args:
            aim: what for, to complete "could not …".
            name: of the FlowRun.
            spec: the fields to change; None takes one away.
            resource_version: the FlowRun as it was looked at; None: whatever it is by now.

        Raises:
            Conflict: it has changed since.
        """
        wish: dict[str, Any] = {"spec": spec}
        if resource_version is not None:
            wish["metadata"] = {"resourceVersion": resource_version}
        return self._sender.send(
            Request(
                "PATCH",
                self._towpath("flowruns", name),
                f"{aim} in namespace {self.namespace!r}",
                body=_json(wish),
                content_type=MERGE_PATCH,
            )
        )

    def delete_run(self, name: str) -> None:
        """Delete a FlowRun; what it owns goes in the background."""
        aim = f"delete FlowRun {name!r} in namespace {self.namespace!r}"
        query = (("propagationPolicy", "Background"),)
        self._sender.send(Request("DELETE", self._towpath("flowruns", name), aim, query))

    def flows(self) -> Sequence[Body]:
        """List the Flows."""
        return self._items(collection("flows", self.namespace), f"list flows in namespace {self.namespace!r}")

    def flow(self, name: str) -> Body:
        """Read a Flow."""
        aim = f"read Flow {name!r} in namespace {self.namespace!r}"
        return self._sender.send(Request("GET", self._towpath("flows", name), aim))

    def apply(self, manifest: Body, *, force: bool = False) -> Body:
        """Apply a Flow or Deployment, server-side.

        Args:
            manifest: the object, with only what is to be set.
            force: take over fields that another manager has set.

        Raises:
            Conflict: somebody else has set one of the fields.
        """
        kind, name = manifest["kind"], manifest["metadata"]["name"]
        query = (("fieldManager", FIELD_MANAGER), ("force", str(force).lower()))
        return self._sender.send(
            Request(
                "PATCH",
                self._towpath(f"{kind.lower()}s", name),
                f"apply {kind} {name!r} in namespace {self.namespace!r}",
                query,
                _json(manifest),
                APPLY_PATCH,
            )
        )

    def suspend_deployment(self, name: str, suspend: bool) -> Body:
        """Have the schedules of a Deployment make no runs, or make them again."""
        return self._sender.send(
            Request(
                "PATCH",
                self._towpath("deployments", name),
                f"{'suspend' if suspend else 'resume'} Deployment {name!r} in namespace {self.namespace!r}",
                body=_json({"spec": {"suspend": suspend or None}}),
                content_type=MERGE_PATCH,
            )
        )

    def automation(self, name: str) -> Body:
        """Read an Automation."""
        aim = f"read Automation {name!r} in namespace {self.namespace!r}"
        return self._sender.send(Request("GET", self._towpath("automations", name), aim))

    def test_automation(self, name: str, test: str) -> Body:
        """Ask for a test of an Automation; each other text is another test."""
        annotations = {names.ANNOTATION_TEST: test}
        return self._sender.send(
            Request(
                "PATCH",
                self._towpath("automations", name),
                f"test Automation {name!r} in namespace {self.namespace!r}",
                body=_json({"metadata": {"annotations": annotations}}),
                content_type=MERGE_PATCH,
            )
        )

    def listed(self, plural: str) -> Sequence[Body]:
        """List all objects of one of Towpath's kinds."""
        return self._items(collection(plural, self.namespace), f"list {plural} in namespace {self.namespace!r}")

    def create(self, plural: str, manifest: Body) -> Body:
        """Create an object of one of Towpath's kinds.

        Raises:
            Conflict: there is one of this name.
        """
        aim = f"create {manifest['kind']} {manifest['metadata']['name']!r} in namespace {self.namespace!r}"
        return self._sender.send(Request("POST", collection(plural, self.namespace), aim, body=_json(manifest)))

    def change(self, plural: str, name: str, spec: Body) -> Body:
        """Change fields of an object's spec; None removes one."""
        aim = f"change {name!r} of {plural} in namespace {self.namespace!r}"
        body = _json({"spec": spec})
        return self._sender.send(
            Request("PATCH", self._towpath(plural, name), aim, body=body, content_type=MERGE_PATCH)
        )

    def delete(self, plural: str, name: str) -> None:
        """Delete an object of one of Towpath's kinds."""
        aim = f"delete {name!r} of {plural} in namespace {self.namespace!r}"
        self._sender.send(Request("DELETE", self._towpath(plural, name), aim))

    def pods(self, run: str) -> Sequence[Body]:
        """List the pods that there are of a run's attempts."""
        aim = f"list the pods of run {run!r} in namespace {self.namespace!r}"
        return self._items(self._core("pods"), aim, (("labelSelector", f"{names.LABEL_RUN}={run}"),))

    def log(
        self, pod: str, *, follow: bool = False, tail: int | None = None, since: str | None = None
    ) -> AbstractContextManager[Iterator[str]]:
        """Read the log of a run's pod, each line with the time at which it was written before it.

        Args:
            pod: its name.
            follow: go on until the container has ended.
            tail: only the last so many lines.
            since: RFC 3339 time, to the second; only lines from then on.

        Raises:
            NotFound: there is no such pod.
        """
        query = [("container", names.CONTAINER), ("timestamps", "true")]
        if follow:
            query.append(("follow", "true"))
        if tail is not None:
            query.append(("tailLines", str(tail)))
        if since is not None:
            query.append(("sinceTime", since))
        aim = f"read the log of pod {pod!r} in namespace {self.namespace!r}"
        return self._sender.lines(Request("GET", f"{self._core('pods', pod)}/log", aim, tuple(query)))

    def may(self, verb: str, resource: str, *, group: str = names.GROUP) -> bool:
        """Tell whether whoever asks may do something in the namespace.

        Args:
            verb: such as `create`.
            resource: such as `flowruns`, or `pods/log`.
            group: of the API; empty for pods and the like.
        """
        plural, _, subresource = resource.partition("/")
        asked = {"namespace": self.namespace, "verb": verb, "group": group, "resource": plural}
        if subresource:
            asked["subresource"] = subresource
        review = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": asked},
        }
        path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
        answer = self._sender.send(Request("POST", path, f"say whether you may {verb} {resource}", body=_json(review)))
        return bool(answer["status"].get("allowed"))

    def version(self) -> str:
        """Give the version of Kubernetes, such as v1.34.4."""
        return str(self._sender.send(Request("GET", "/version", "tell its version"))["gitVersion"])

    def schemas(self) -> Mapping[str, Body] | None:
        """Give what the API server knows of Towpath's kinds, by kind, as OpenAPI schemas; None: it has none of them."""
        path = f"/openapi/v3/apis/{names.API_VERSION}"
        try:
            document = self._sender.send(Request("GET", path, f"describe {names.API_VERSION}"))
        except NotFound:
            return None
        found: dict[str, Body] = {}
        for schema in document["components"]["schemas"].values():
            for kind in schema.get("x-kubernetes-group-version-kind") or ():
                if (kind["group"], kind["version"]) == (names.GROUP, names.VERSION):
                    found[kind["kind"]] = schema
        return found

    def operators(self) -> Sequence[Body]:
        """List the operator's Deployments, in all namespaces."""
        query = (("labelSelector", "app.kubernetes.io/component=operator,app.kubernetes.io/name=towpath"),)
        return self._items("/apis/apps/v1/deployments", "look for Towpath's operator", query)

    def service_account(self, name: str) -> Body:
        """Read a service account."""
        aim = f"read ServiceAccount {name!r} in namespace {self.namespace!r}"
        return self._sender.send(Request("GET", self._core("serviceaccounts", name), aim))

    def _items(self, path: str, aim: str, query: tuple[tuple[str, str], ...] = ()) -> Sequence[Body]:
        items: list[Body] = []
        token = ""
        while True:
            more = (("continue", token),) if token else ()
            answer = self._sender.send(Request("GET", path, aim, (*query, ("limit", str(_CHUNK)), *more)))
            items += answer["items"]
            token = answer["metadata"].get("continue") or ""
            if not token:
                return items

    def _towpath(self, plural: str, name: str) -> str:
        return f"{collection(plural, self.namespace)}/{quote(name, safe='')}"

    def _core(self, plural: str, name: str = "") -> str:
        path = f"/api/v1/namespaces/{quote(self.namespace, safe='')}/{plural}"
        return f"{path}/{quote(name, safe='')}" if name else path


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":"), allow_nan=False).encode()
