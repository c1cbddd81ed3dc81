"""Automations on the real cluster: a failure is told, signed, and tidied up after, whatever becomes of the operator.

The operator under test is run from this checkout, so that it can be killed and reaches a receiver on this machine.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.cluster.api import Cluster
from tests.e2e.operators import OperatorProcess
from tests.e2e.runs import NAMESPACE, Runs
from tests.kube import Body, Kube
from tests.operator.automations.receiver import receiving

from towpath import names
from towpath.cli.__main__ import main

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300), pytest.mark.usefixtures("installed_operator_away")]

KEY = b"thirty-two bytes of random noise"


@pytest.fixture(scope="module")
def operator(
    cluster: Cluster, installed_operator_away: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[OperatorProcess]:
    """An operator that works."""
    process = OperatorProcess(cluster.kubeconfig, Path(tmp_path_factory.mktemp("operator")) / "log")
    process.start()
    yield process
    process.stop()


class Automations:
    """The Automations of one test, with what they need."""

    def __init__(self, kube: Kube, runs: Runs) -> None:
        self.kube, self.runs = kube, runs
        self.made: list[str] = []

    def make(self, kind: str, spec: Body) -> str:
        """Create an object; give its name."""
        name, plural = f"{self.runs.prefix}-{len(self.made)}", f"{kind.lower()}s"
        body: Body = {"apiVersion": names.API_VERSION, "kind": kind, "metadata": {"name": name}, "spec": spec}
        self.kube.create(self.runs.path(plural), body)
        self.made.append(self.runs.path(plural, name))
        return name

    def secret(self, **values: str) -> str:
        """Create a Secret; give its name."""
        name = f"{self.runs.prefix}-secret"
        path = self.runs.path("secrets", group="/api/v1")
        body = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": values}
        self.kube.create(path, body)
        self.made.append(f"{path}/{name}")
        return name

    def done(self, name: str, count: int) -> Body:
        """Wait until an Automation has done so many things and nothing is left to do; give its status."""

        def is_done(body: Body | None) -> bool:
            status = (body or {}).get("status") or {}
            return status.get("delivered", 0) == count and not status.get("pending")

        body = self.kube.wait(self.runs.path("automations", name), is_done, 90, f"{count} things done")
        assert body is not None
        return body["status"]  # type: ignore[no-any-return]

    def close(self) -> None:
        """Delete everything."""
        for path in reversed(self.made):
            self.kube.delete(path)


@pytest.fixture
def automations(kube: Kube, runs: Runs) -> Iterator[Automations]:
    """What the test makes, until it is over."""
    made = Automations(kube, runs)
    yield made
    made.close()


def test_a_failure_is_told_and_tidied_up_after(operator: OperatorProcess, automations: Automations, runs: Runs) -> None:
    """The operator is killed when the receiver has refused the message once: it comes again, and one clean-up run only."""
    with receiving((503, {})) as receiver:
        secret = automations.secret(url=receiver.url, sign=f"whsec_{base64.b64encode(KEY).decode()}")
        etl = automations.make("Deployment", {"flowRef": automations.make("Flow", {
            "image": runs.image, "command": ["sh", "-c", "exit 3"], "infraRetries": 0,
        })})  # fmt: skip
        tidy = automations.make("Deployment", {"flowRef": "there-is-none"})  # its runs wait for it, and cost no pods
        webhook = {
            "urlFrom": {"secretKeyRef": {"name": secret, "key": "url"}},
            "signingSecretRef": {"name": secret, "key": "sign"},
        }
        clean_up = {"name": tidy, "parameters": {"after": "{{ run.name }}"}}
        spec = {
            "trigger": {"states": {"types": ["FAILED", "CRASHED"]}},
            "match": {"deployments": [etl]},
            "actions": [{"webhook": webhook}, {"runDeployment": clean_up}],
        }
        automation = automations.make("Automation", spec)
        run = runs.create({"deploymentRef": etl})
        runs.ended(run)
        receiver.wait(1)
        operator.kill()
        operator.stop()
        operator.start()
        receiver.wait(2)
        status = automations.done(automation, 2)
        for _, headers, body in receiver.received:
            signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
            wanted = base64.b64encode(hmac.new(KEY, signed, hashlib.sha256).digest()).decode()
            assert headers["webhook-signature"] == f"v1,{wanted}"
        events = [receiver.json(number) for number in range(len(receiver.received))]
    assert {event["id"] for event in events} == {status["dealt"][0]}
    assert (events[0]["type"], events[0]["subject"]) == ("dev.towpath.flowrun.failed", run)
    assert events[0]["data"]["reason"] == "Exited"
    assert (status["triggered"], status["failed"]) == (1, 0)
    label = f"{names.LABEL_AUTOMATION}={automation}"
    made = runs.kube.items(runs.path("flowruns"), labelSelector=label)
    assert [(one["spec"]["deploymentRef"], one["spec"]["parameters"]) for one in made] == [(tidy, {"after": run})]
    for one in made:
        runs.started.append(one["metadata"]["name"])


def test_silence_is_told_and_what_is_late_is_cancelled(
    operator: OperatorProcess, automations: Automations, runs: Runs, cluster: Cluster,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """A Deployment without a success is told of; its run that never began is cancelled; a test arrives when asked for."""
    monkeypatch.setenv("KUBECONFIG", str(cluster.kubeconfig))
    with receiving() as receiver:
        etl = automations.make("Deployment", {"flowRef": "there-is-none"})
        match = {"deployments": [etl]}
        hook = {"webhook": {"url": receiver.url}}
        quiet = automations.make(
            "Automation", {"trigger": {"noSuccess": {"forSeconds": 10}}, "match": match, "actions": [hook]}
        )
        late = automations.make(
            "Automation", {"trigger": {"late": {"afterSeconds": 2}}, "match": match, "actions": [{"cancel": {}}]}
        )
        run = runs.ended(runs.create({"deploymentRef": etl}))
        assert run["status"]["state"]["type"] == "CANCELLED"
        automations.done(late, 1)
        assert main(["automations", "test", quiet, "-n", NAMESPACE, "--timeout", "60"]) == 0
        assert capsys.readouterr().out == f"The test of {quiet} was taken by 1 webhook.\n"
        receiver.wait(2)
        kinds = sorted(receiver.json(number)["type"] for number in range(2))
    assert kinds == ["dev.towpath.automation.nosuccess", "dev.towpath.automation.test"]
