"""What the API server takes as an Automation, and with which words it refuses the rest."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.builders import make_metadata
from tests.contract.own_group import OwnGroup, refusal_of
from tests.kube import Body

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300)]

PAGE = Path(__file__).parents[2] / "docs" / "automations.md"
FAILED: Body = {"states": {"types": ["FAILED", "CRASHED"]}}
HOOK: Body = {"url": "https://hooks.example.com/in?a=b#c"}
REF: Body = {"name": "towpath-automations", "key": "url"}


def automation(*actions: Body, trigger: Body = FAILED, **spec: Any) -> Body:
    """Build an Automation."""
    metadata = {"name": "tell", "namespace": make_metadata("Automation", "tell")["namespace"]}
    body = {"trigger": trigger, "actions": list(actions or ({"webhook": HOOK},)), **spec}
    return {"apiVersion": "towpath.dev/v1alpha1", "kind": "Automation", "metadata": metadata, "spec": body}


def webhook(**fields: Any) -> Body:
    """Build an Automation that calls a webhook."""
    return automation({"webhook": HOOK | fields})


GOOD = {
    "states": automation(trigger={"states": {"types": ["PAUSED"], "names": ["Suspended"], "reasons": ["OutOfMemory"]}}),
    "late": automation({"cancel": {"mode": "Now"}}, {"suspend": {}}, trigger={"late": {"afterSeconds": 60}}),
    "long": automation({"suspend": {"target": "Deployment"}}, trigger={"longRunning": {"afterSeconds": 60}}),
    "silence": automation(
        {"suspend": {"target": "Deployment"}},
        trigger={"noSuccess": {"forSeconds": 10}},
        match={"deployments": ["etl"]},
    ),
    "match": automation(
        match={"deployments": ["a"], "flows": ["b"], "tags": ["C d"], "labels": {"e.f/g": "h"}, "subflows": True}
    ),
    "throttle": automation({"runDeployment": {"name": "tidy", "parameters": {"a": [None, 1.5]}}}, throttle={"seconds": 60}),
    "secrets": automation(
        {
            "webhook": {
                "urlFrom": {"secretKeyRef": REF},
                "signingSecretRef": REF,
                "headers": [{"name": "X-A", "value": "b"}, {"name": "Authorization", "secretKeyRef": REF}],
            }
        }
    ),
    "slack": webhook(format="Slack", text="{{ run.name }}"),
    "body": webhook(body={"a": {"b": [1, None, "{{ run.name }}"]}}),
    "suspended": automation(suspend=True),
}  # fmt: skip


@pytest.mark.parametrize("body", GOOD.values(), ids=GOOD)
def test_a_good_automation_is_kept_as_it_is(kinds: OwnGroup, body: Body) -> None:
    """The API server gives back exactly what was sent."""
    assert kinds.create(body)["spec"] == body["spec"]


TRIGGER = "set exactly one of states, late, longRunning and noSuccess"
ACTION = "set exactly one of webhook, runDeployment, cancel and suspend"
URL = "a URL begins with https:// or http:// and a host"
BAD = {
    "no trigger": (automation(trigger={}), TRIGGER),
    "two triggers": (automation(trigger=FAILED | {"late": {"afterSeconds": 5}}), TRIGGER),
    "no such state": (automation(trigger={"states": {"types": ["LATE"]}}), "Unsupported value"),
    "no action": (automation({}), ACTION),
    "two actions in one": (automation({"cancel": {}, "suspend": {}}), ACTION),
    "nine actions": (automation(*[{"webhook": HOOK}] * 9), "Too many"),
    "no url": (automation({"webhook": {}}), "set exactly one of url and urlFrom"),
    "two urls": (webhook(urlFrom={"secretKeyRef": REF}), "set exactly one of url and urlFrom"),
    "no scheme": (webhook(url="hooks.example.com"), URL),
    "a password": (webhook(url="https://me:secret@hooks.example.com"), URL),
    "text without a format": (webhook(text="x"), "text goes with the formats Slack, Teams and Text"),
    "format without its text": (webhook(format="Text"), "the format Text needs a text"),
    "body and format": (webhook(body={"a": 1}, format="Teams"), "body stands for itself"),
    "own header": (webhook(headers=[{"name": "Webhook-Id", "value": "x"}]), "this header is set by Towpath"),
    "header of lines": (webhook(headers=[{"name": "X-A", "value": "a\nb"}]), "headers[0].value"),
    "header without value": (webhook(headers=[{"name": "X-A"}]), "set exactly one of value and secretKeyRef"),
    "throttled cancel": (automation({"cancel": {}}, throttle={"seconds": 5}), "need an Automation of their own"),
    "cancel of silence": (automation({"cancel": {}}, trigger={"noSuccess": {"forSeconds": 60}}), "speaks of no run"),
    "suspend of silence": (
        automation({"suspend": {"target": "Deployment"}}, trigger={"noSuccess": {"forSeconds": 60}}),
        "needs match.deployments with one name",
    ),
    "too short": (automation(trigger={"noSuccess": {"forSeconds": 9}}), "greater than or equal to 10"),
}


@pytest.mark.parametrize(("body", "words"), BAD.values(), ids=BAD)
def test_a_bad_automation_is_refused(kinds: OwnGroup, body: Body, words: str) -> None:
    """With words that say what to do; a password in a URL is not repeated."""
    said = str(refusal_of(kinds.create, body))
    assert words in said
    assert "secret@" not in said


@pytest.mark.parametrize("number", range(5))
def test_the_page_can_be_applied(kinds: OwnGroup, number: int) -> None:
    """Each Automation on the page is taken as it is written there."""
    written = [part.split("```")[0] for part in PAGE.read_text().split("```yaml\n")[1:]]
    assert len(written) == 5
    body = yaml.safe_load(written[number])
    body["metadata"]["namespace"] = make_metadata("Automation", "tell")["namespace"]
    assert kinds.create(body)["spec"] == body["spec"]
