"""Runs as processes of this machine: what operator, kubelet and pod are to a run, as far as its own process can tell.

Each FlowRun that appears in a fake API is given its attempt and a process that runs `python -m towpath.engine`, the way
a Job gives it a pod. A child's FlowRun is treated like any other, so whole trees run.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.contract.fake_api import FakeApi
from tests.contract.fake_objects import TERMINAL, Body

PENDING = {"type": "PENDING", "name": "Pending", "reason": "JobCreated", "since": "2026-01-01T00:00:00.000000Z"}
CANCELLING = {"type": "CANCELLING", "name": "Cancelling", "since": "2026-01-01T00:00:00.000000Z"}


@dataclass
class LocalPods:
    """Processes of runs, by the name of the run."""

    api: FakeApi
    folder: Path
    """Where the processes stand, where their code is, and where their termination messages go."""
    environment: dict[str, str] = field(default_factory=dict)
    held: set[str] = field(default_factory=set)
    """Functions whose runs get no process until a test starts one."""
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    """The process of each run's last attempt."""

    def create(self, function: str, parameters: Body | None = None, name: str = "top", **spec: Any) -> Body:
        """Create a run of a function in `flows.py`."""
        flow = {"name": function.replace("_", "-"), "image": "shop:1", "entrypoint": f"flows.py:{function}"}
        body = {"metadata": {"name": name}, "spec": {"flow": flow, "parameters": parameters or {}, **spec}}
        return self.api.create("flowruns", body)

    def start(self, run: Body, attempt: int = 1) -> None:
        """Write a run's attempt, and start it as its Job would."""
        self.api.set_status(run["metadata"]["name"], attempt=attempt, job=f"job-{attempt}", state=PENDING)
        self.start_process(run, attempt)

    def start_process(self, run: Body, attempt: int = 1) -> None:
        """Start the process of a run's attempt."""
        name, spec = run["metadata"]["name"], run["spec"]
        flow, parent = spec["flow"], spec.get("parent") or {}
        told = {
            "TOWPATH_RUN": name,
            "TOWPATH_RUN_UID": run["metadata"]["uid"],
            "TOWPATH_NAMESPACE": "default",
            "TOWPATH_ROOT_RUN": (run["metadata"].get("labels") or {}).get("towpath.dev/root-run", name),
            "TOWPATH_PARENT": parent.get("name", ""),
            "TOWPATH_DEPTH": str(parent.get("depth", 0)),
            "TOWPATH_ATTEMPT": str(attempt),
            "TOWPATH_FLOW": flow["name"],
            "TOWPATH_ENTRYPOINT": flow["entrypoint"],
            "TOWPATH_IMAGE": flow["image"],
            "TOWPATH_PARAMETERS": json.dumps(spec.get("parameters") or {}),
            "TOWPATH_TAGS": json.dumps(spec.get("tags") or []),
            "TOWPATH_RETRIES": str(flow.get("retries", "")),
            "TOWPATH_TIMEOUT_SECONDS": str(flow.get("timeoutSeconds", "")),
            "TOWPATH_RESULT_STORAGE": spec.get("resultStorage", ""),
            "TOWPATH_TERMINATION_LOG": str(self.message_file(name)),
        }
        with (self.folder / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                [sys.executable, "-m", "towpath.engine"],
                cwd=self.folder,
                env=os.environ | {"KUBECONFIG": str(self.folder / "kubeconfig")} | told | self.environment,
                stdout=log,
                stderr=log,
            )

    def terminate(self, name: str) -> None:
        """Send SIGTERM, as the kubelet does."""
        self.processes[name].send_signal(signal.SIGTERM)

    def ended(self, name: str = "top", timeout: float = 30) -> Body:
        """Wait until a run is in a terminal state, and give its status."""
        with self.api.changed:
            found = self.api.changed.wait_for(lambda: self._terminal(name), timeout)
            status = self.api.read("flowruns", name).get("status", {})
        assert found, f"{name} has not ended: {status}\n{self.output(name)}"
        return status

    def reached(self, type_: str, name: str = "top", timeout: float = 30) -> None:
        """Wait until a run is in a state."""
        with self.api.changed:
            key = ("flowruns", "default", name)
            assert self.api.changed.wait_for(
                lambda: self.api.objects.get(key, {}).get("status", {}).get("state", {}).get("type") == type_, timeout
            ), self.api.objects.get(key)

    def exited(self, name: str = "top", timeout: float = 30) -> int:
        """Wait for a process, and give its exit code."""
        return self.processes[name].wait(timeout)

    def output(self, name: str = "top") -> str:
        """Give what the processes of a run have said."""
        log = self.folder / f"{name}.log"
        return log.read_text() if log.exists() else ""

    def children(self) -> list[Body]:
        """Give the runs that have a parent, in the order of their names."""
        return [body for _, body in sorted(self.api.objects.items()) if "parent" in body["spec"]]

    def message_file(self, name: str) -> Path:
        """Give the file of a run's termination message."""
        return self.folder / f"{name}.message"

    def message(self, name: str = "top") -> Body:
        """Read a run's termination message."""
        told: Body = json.loads(self.message_file(name).read_bytes())
        return told

    def _terminal(self, name: str) -> bool:
        body = self.api.objects.get(("flowruns", "default", name), {})
        return body.get("status", {}).get("state", {}).get("type") in TERMINAL

    def operate(self, stop: threading.Event) -> None:
        """Start each run that appears."""
        for event in self.api.watch("flowruns", "default", {"resourceVersion": ["1"]}, closed=stop.is_set):
            run = event["object"]
            if event["type"] == "ADDED" and run["spec"]["flow"]["entrypoint"].rpartition(":")[2] not in self.held:
                self.start(run)


@contextmanager
def local_pods(api: FakeApi, folder: Path) -> Iterator[LocalPods]:
    """Run what appears in the API for as long as the block lasts."""
    config = {
        "current-context": "fake",
        "contexts": [{"name": "fake", "context": {"cluster": "fake", "user": "run"}}],
        "clusters": [{"name": "fake", "cluster": {"server": api.url}}],
        "users": [{"name": "run", "user": {"token": "a-secret-token"}}],
    }
    (folder / "kubeconfig").write_text(json.dumps(config))
    pods, stop = LocalPods(api, folder), threading.Event()
    operator = threading.Thread(target=pods.operate, args=(stop,), daemon=True)
    operator.start()
    try:
        yield pods
    finally:
        stop.set()
        with api.changed:
            api.changed.notify_all()
        operator.join()
        for process in pods.processes.values():
            process.kill()
            process.wait()
