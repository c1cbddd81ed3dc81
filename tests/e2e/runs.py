"""Runs in the cluster, as a test speaks of them."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Iterator
from typing import Any

from tests.kube import TOWPATH, ApiError, Body, Kube

from towpath.states import StateType

NAMESPACE = "towpath-e2e"


class Runs:
    """FlowRuns of one test in one namespace; names start with the test's own, so that tests do not meet."""

    def __init__(self, kube: Kube, namespace: str, image: str, prefix: str) -> None:
        self.kube = kube
        self.namespace = namespace
        self.image = image
        words = re.sub(r"[^a-z0-9]+", "-", prefix.lower()).strip("-")[-22:].strip("-")
        self.prefix = f"{words}-{secrets.token_hex(2)}"  # the audit log remembers the names of earlier sessions
        self.started: list[str] = []

    def path(self, plural: str, name: str = "", group: str = TOWPATH) -> str:
        """Give the path of an object, or of a collection."""
        return f"{group}/namespaces/{self.namespace}/{plural}" + (f"/{name}" if name else "")

    def create(self, spec: Body, name: str | None = None) -> str:
        """Create a FlowRun of any spec; give its name."""
        name = name or f"{self.prefix}-{len(self.started)}"
        body = {"apiVersion": "towpath.dev/v1alpha1", "kind": "FlowRun", "metadata": {"name": name}, "spec": spec}
        self.kube.create(self.path("flowruns"), body)
        self.started.append(name)
        return name

    def start(self, function: str, parameters: Body | None = None, *, flow: Body | None = None, **spec: Any) -> str:
        """Start a function of tests/e2e/flows/flows.py as a run of its own."""
        return self.create(
            {
                "flow": {"image": self.image, "entrypoint": f"flows.py:{function}", **(flow or {})},
                "parameters": parameters or {},
                **spec,
            }
        )

    def get(self, name: str) -> Body:
        """Read a run."""
        return self.kube.get(self.path("flowruns", name))

    def ended(self, name: str, timeout: float = 120) -> Body:
        """Wait until a run has ended; give it."""
        body = self.kube.wait(
            self.path("flowruns", name),
            lambda run: run is not None and state_type(run).is_terminal,
            timeout,
            "an end",
        )
        assert body is not None
        return body

    def reached(self, name: str, type_: StateType, timeout: float = 60) -> Body:
        """Wait until a run is in a state; give it."""
        body = self.kube.wait(
            self.path("flowruns", name),
            lambda run: run is not None and state_type(run) is type_,
            timeout,
            f"state {type_}",
        )
        assert body is not None
        return body

    def gone(self, path: str, timeout: float = 60) -> None:
        """Wait until an object does not exist."""
        self.kube.wait(path, lambda body: body is None, timeout, "its end")

    def children(self, name: str) -> list[Body]:
        """List the runs that a run called."""
        uid = self.get(name)["metadata"]["uid"]
        everything = self.kube.items(self.path("flowruns"))
        return [run for run in everything if (run["spec"].get("parent") or {}).get("uid") == uid]

    def wait_children(self, name: str, count: int, type_: StateType, timeout: float = 60) -> list[Body]:
        """Wait until a run has so many children in a state; give them."""
        import time

        deadline = time.monotonic() + timeout
        while True:
            found = [child for child in self.children(name) if state_type(child) is type_]
            if len(found) >= count:
                return found
            assert time.monotonic() < deadline, (
                f"{name} has {len(found)} children {type_}, not {count}, after {timeout} s"
            )
            time.sleep(0.2)

    def jobs(self, name: str) -> list[Body]:
        """List the Jobs of a run."""
        return self.kube.items(self.path("jobs", group="/apis/batch/v1"), labelSelector=f"towpath.dev/run={name}")

    def pods(self, name: str) -> list[Body]:
        """List the pods of a run."""
        return self.kube.items(self.path("pods", group="/api/v1"), labelSelector=f"towpath.dev/run={name}")

    def no_pod_lives(self, name: str, timeout: float = 60) -> None:
        """Wait until no process of a run goes on."""
        import time

        deadline = time.monotonic() + timeout
        while any(pod["status"]["phase"] not in {"Succeeded", "Failed"} for pod in self.pods(name)):
            assert time.monotonic() < deadline, f"{name} has a live pod after {timeout} s"
            time.sleep(0.2)

    def cancel(self, name: str) -> None:
        """Ask for a run's cancellation, as `kubectl patch` does."""
        self.kube.merge(self.path("flowruns", name), {"spec": {"cancel": True}})

    def retry(self, name: str, attempt: int, timeout: float = 60) -> None:
        """Ask for the attempt after this one, and wait until it has begun."""
        self.kube.merge(self.path("flowruns", name), {"spec": {"retryAfterAttempt": attempt}})
        self.kube.wait(
            self.path("flowruns", name),
            lambda run: run is not None and run["status"]["attempt"] == attempt + 1,
            timeout,
            f"attempt {attempt + 1}",
        )

    def clean(self) -> None:
        """Delete the test's runs; what they own goes with them."""
        for name in self.started:
            self.kube.delete(self.path("flowruns", name))

    def explain(self) -> Iterator[str]:
        """Say how the test's runs ended up, for a failure's report."""
        for name in self.started:
            try:
                yield f"{name}: {json.dumps(self.get(name).get('status'), indent=1)}"
            except ApiError as error:
                yield f"{name}: {error}"


def state(run: Body) -> Body:
    """Give a run's state; empty if it has none yet."""
    return (run.get("status") or {}).get("state") or {}


def state_type(run: Body) -> StateType:
    """Give the type of a run's state; SCHEDULED if it has none yet."""
    return StateType(state(run).get("type", "SCHEDULED"))


def result(run: Body) -> Any:
    """Give what a run returned, which must have travelled as JSON."""
    travelled = run["status"]["result"]
    assert travelled["serializer"] == "json", travelled
    return json.loads(travelled["inline"])
