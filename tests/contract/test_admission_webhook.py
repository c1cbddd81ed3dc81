"""The webhook and a real API server: the chart's configuration, certificates that it accepts, and words that arrive.

Objects are of kinds in a group of their own, and most are not kept (`--dry-run=server`), so that no operator meddles.
"""

from __future__ import annotations

import base64
import enum
import json
import secrets
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated

import pytest
import yaml
from pydantic import BaseModel, Field
from tests.contract.apiserver import ApiServer
from tests.contract.local_webhook import LocalWebhook
from tests.contract.own_group import OwnGroup
from tests.helm import chart
from tests.kube import Body
from tests.operator.admission.certificates import make_certificate

from towpath import flow
from towpath.errors import ParameterError
from towpath.names import VERSION

pytestmark = pytest.mark.cluster


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Address(BaseModel):
    street: str
    number: int = Field(gt=0)
    near: Address | None = None


@flow
def add(
    x: int,
    by: list[int] | None = None,
    colour: Colour = Colour.RED,
    few: Annotated[int, Field(le=9)] = 1,
    *,
    at: Address | None = None,
) -> int:
    """Add numbers; the parameters are of many kinds, and not in the order of the alphabet."""
    return x


FLOW: Body = {"image": "a:1", "entrypoint": "flows.py:add", "parameters": add.parameter_schema()}
NARROWER = {"type": "object", "properties": {"y": {"type": "integer"}}, "additionalProperties": False}


class Kubectl:
    """`kubectl apply --dry-run=server` of objects of the kinds."""

    def __init__(self, kinds: OwnGroup) -> None:
        self.kinds = kinds

    def apply(
        self, kind: str, spec: Body, name: str = "one", *, keep: bool = False
    ) -> subprocess.CompletedProcess[str]:
        """Apply an object; give what came of it, and what was said."""
        body = {"apiVersion": f"{self.kinds.group}/{VERSION}", "kind": kind, "metadata": {"name": name}, "spec": spec}
        cluster = self.kinds.apiserver.cluster
        return subprocess.run(
            [
                *(cluster.bin / "kubectl", "--kubeconfig", cluster.kubeconfig, "-n", self.kinds.apiserver.namespace),
                *("apply", "--server-side", "-f", "-", *(() if keep else ("--dry-run=server",))),
            ],
            input=json.dumps(body),
            capture_output=True,
            text=True,
            check=False,
        )

    def run(self, parameters: Body, **spec: object) -> subprocess.CompletedProcess[str]:
        """Apply a run of the flow `add`."""
        return self.apply("FlowRun", {"flowRef": "add", "parameters": parameters, **spec})


@pytest.fixture(scope="module")
def kubectl(kinds: OwnGroup) -> Kubectl:
    """Somebody who applies things."""
    return Kubectl(kinds)


@pytest.fixture(scope="module")
def webhook(kinds: OwnGroup, kubectl: Kubectl, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalWebhook]:
    """The webhook, and a Flow that it knows of."""
    local = LocalWebhook(kinds, tmp_path_factory.mktemp("certificate"))
    with local.serving(), local.configured():
        assert kubectl.apply("Flow", FLOW, "add", keep=True).returncode == 0
        until(lambda: kubectl.run({"x": "many"}).returncode != 0, "the API server asks")
        yield local


def until(holds: Callable[[], bool], what: str) -> None:
    """Wait until something holds; the API server takes a changed configuration up by a watch."""
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline, f"{what}: did not come true within 60 s"
        time.sleep(0.2)


def words_of_the_sdk(parameters: Body) -> str:
    """Give the sentence with which a flow's author is told of wrong parameters."""
    with pytest.raises(ParameterError) as wrong:
        add.validate_parameters(parameters)
    return str(wrong.value)


@pytest.mark.parametrize(
    "parameters",
    [
        {"x": "many"},
        {"few": 1},
        {"x": 1, "z": 2},
        {"x": None},
        {"x": {"b": 1, "a": [2.5]}},
        {"x": 1, "by": ["5", "five"]},
        {"x": 1, "colour": "green"},
        {"x": 1, "few": 10},
        {"x": 1, "at": {"street": "s", "number": 0, "near": {"street": 5, "number": 1}}},
        {"at": {"street": "s"}, "by": {"c": 1, "a": 2}},
    ],
    ids=["wrong", "missing", "misspelt", "null", "an object", "in a list", "choice", "bound", "nested", "several"],
)
def test_kubectl_says_what_the_author_is_told(webhook: LocalWebhook, kubectl: Kubectl, parameters: Body) -> None:
    """The same sentence in a terminal, in Python, and in a run's status."""
    refused = kubectl.run(parameters)
    assert refused.returncode != 0
    assert f'The FlowRun "one" is invalid: spec: {words_of_the_sdk(parameters)}' in refused.stderr


def test_good_runs_are_made_without_a_word(webhook: LocalWebhook, kubectl: Kubectl) -> None:
    """Nothing on stderr."""
    accepted = kubectl.run({"x": 1})
    assert (accepted.returncode, accepted.stderr) == (0, "")


def test_warnings_reach_who_applies(webhook: LocalWebhook, kubectl: Kubectl) -> None:
    """A Deployment before its Flow is made, and kubectl shows what is missing."""
    made = kubectl.apply("Deployment", {"flowRef": "nobody"})
    assert made.returncode == 0
    assert "Warning: There is no Flow 'nobody'" in made.stderr


def test_definitions_are_judged(webhook: LocalWebhook, kubectl: Kubectl) -> None:
    """Schedules, schemas and templates are refused where they are applied."""
    nightly = {"flowRef": "add", "schedules": [{"name": "odd", "cron": "0 25 * * *", "parameters": {"x": 1}}]}
    assert "Schedule 'odd':" in kubectl.apply("Deployment", nightly).stderr
    assert "no usable JSON Schema" in kubectl.apply("Flow", FLOW | {"parameters": {"type": "strange"}}).stderr
    template = {"template": {"spec": {"hostNetwork": True}}}
    assert "hostNetwork" in kubectl.apply("Queue", template).stderr
    tell = {"url": "https://a.example", "format": "Text", "text": "{{ run.nme }}"}
    automation = {"trigger": {"states": {"types": ["FAILED"]}}, "actions": [{"webhook": tell}]}
    assert "{{ run.nme }}" in kubectl.apply("Automation", automation).stderr


def test_a_broken_deployment_can_be_suspended(webhook: LocalWebhook, kubectl: Kubectl) -> None:
    """What was wrong before is told again, and stops nobody from putting an end to it."""
    given = {"flowRef": "add", "parameters": {"x": 1}}
    assert kubectl.apply("Deployment", given, "outgrown", keep=True).returncode == 0
    try:
        assert kubectl.apply("Flow", FLOW | {"parameters": NARROWER}, "add", keep=True).returncode == 0
        suspended = kubectl.apply("Deployment", given | {"suspend": True}, "outgrown")
        assert suspended.returncode == 0, suspended.stderr
        assert "Warning: " in suspended.stderr
        assert kubectl.apply("Deployment", given | {"parameters": {"w": 1}}, "outgrown").returncode != 0
    finally:
        assert kubectl.apply("Flow", FLOW, "add", keep=True).returncode == 0


def test_children_cost_no_question(webhook: LocalWebhook, kubectl: Kubectl) -> None:
    """What a flow calls is not asked about."""
    parent = {"name": "p", "uid": "u", "depth": 1}
    child = {"flow": FLOW, "parameters": {"x": "many"}, "parent": parent}
    before = len(webhook.asked)
    assert kubectl.apply("FlowRun", child, "child").returncode == 0
    assert "child" not in webhook.asked[before:]


def test_a_certificate_is_replaced_while_everybody_works(webhook: LocalWebhook, kubectl: Kubectl) -> None:
    """Trusted first, shown next, the old one dropped last: the API server is answered before, between and after."""

    def is_answered() -> bool:
        return kubectl.run({"x": "many"}).returncode != 0

    old = webhook.trusted
    assert is_answered()
    webhook.trusted = webhook.new_certificate()
    webhook.lead(webhook.trusted, old)
    until(is_answered, "the API server trusts both")
    webhook.lead(webhook.trusted)
    until(is_answered, "the API server trusts the new one")


def test_without_an_answer_everything_is_taken(webhook: LocalWebhook, kubectl: Kubectl, tmp_path: Path) -> None:
    """An operator that is away, or whose certificate is not the one that is trusted, is in nobody's way."""
    stranger = make_certificate(tmp_path, f"IP:{webhook.host}")
    for certificate, port in ((stranger, 0), (webhook.trusted, 1)):
        webhook.lead(certificate, port=port)
        until(lambda: kubectl.run({"x": "many"}).returncode == 0, "everything is taken")
        webhook.lead(webhook.trusted)
        until(lambda: kubectl.run({"x": "many"}).returncode != 0, "the API server asks again")


def certificates(apiserver: ApiServer, issued: int | None) -> tuple[str, str, str]:
    """Give what is in the Secret, what an upgrade puts there, and what it has the API server trust.

    Args:
        issued: when the certificate was made, in seconds since the epoch; None: there is none.
    """
    release, namespace = f"kept-{secrets.token_hex(3)}-towpath", apiserver.namespace
    templates = ("--show-only", "templates/admission-webhook.yaml")
    made = chart.render({}, show_only=[templates[1]], release=release, namespace=namespace).one("Secret")
    path = apiserver.path("secrets", group="/api/v1")
    if issued is not None:
        made["metadata"]["annotations"] = {
            "towpath.dev/issued": str(issued),
            "meta.helm.sh/release-name": release,
            "meta.helm.sh/release-namespace": namespace,
        }
        apiserver.kube.create(path, made)
    arguments = ("template", release, str(chart.CHART), "-n", namespace, "--dry-run=server", *templates)
    rendered = list(yaml.safe_load_all(apiserver.cluster.helm(*arguments)))
    secret = next(body for body in rendered if body["kind"] == "Secret")
    hook = next(body for body in rendered if body["kind"] == "ValidatingWebhookConfiguration")["webhooks"][0]
    found = (made["data"]["tls.crt"], secret["data"]["tls.crt"], hook["clientConfig"]["caBundle"])
    before, after, trusted = (base64.b64decode(text).decode() for text in found)
    return before, after, trusted


def test_an_upgrade_keeps_the_certificate(apiserver: ApiServer) -> None:
    """For a year; the API server goes on trusting it."""
    before, after, trusted = certificates(apiserver, int(time.time()) - 300 * 86_400)
    assert before == after == trusted


def test_an_upgrade_after_a_year_replaces_it_without_a_gap(apiserver: ApiServer) -> None:
    """Until the kubelet has brought the new one to the pods, the API server trusts the old one too."""
    before, after, trusted = certificates(apiserver, int(time.time()) - 366 * 86_400)
    assert after != before
    assert trusted == after + before


def test_the_first_installation_makes_one(apiserver: ApiServer) -> None:
    """And trusts no other."""
    _, after, trusted = certificates(apiserver, None)
    assert trusted == after
