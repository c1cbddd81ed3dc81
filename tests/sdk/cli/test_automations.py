"""Automations on the command line: what is shown of them, and what is asked for."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from tests.sdk.cli.fake_sender import FakeSender, listed, sent

from towpath import names
from towpath.cli import automations as command
from towpath.cli.__main__ import main
from towpath.cli.automations import action_of, match_of, trigger_of
from towpath.cli.exits import Exit
from towpath.cluster.console import Console
from towpath.cluster.plan import Request

Body = dict[str, Any]
ALL = "/apis/towpath.dev/v1alpha1/namespaces/data/automations"
ONE = f"{ALL}/tell"
SPEC: Body = {
    "trigger": {"states": {"types": ["FAILED", "CRASHED"]}},
    "match": {"deployments": ["etl"]},
    "actions": [
        {"webhook": {"urlFrom": {"secretKeyRef": {"name": "chat", "key": "url"}}, "format": "Slack"}},
        {"runDeployment": {"name": "tidy"}},
    ],
}
STATUS: Body = {
    "observedGeneration": 1,
    "conditions": [{"type": "Ready", "status": "True", "message": ""}],
    "triggered": 3,
    "delivered": 5,
    "waiting": 1,
    "lastTriggered": "2026-03-01T12:00:00.000000Z",
    "lastError": "hooks.slack.com answered 503.",
    "pending": [
        {
            "id": "1", "event": "failed", "run": "etl-1",
            "left": [{"action": 0, "attempts": 2, "nextAt": "2026-03-01T12:00:20.000000Z", "lastError": "it answered 503."}],
        }
    ],
}  # fmt: skip


def automation(**fields: Any) -> Body:
    """Build an Automation."""
    return {"metadata": {"name": "tell", "generation": 1}, "spec": SPEC, "status": STATUS} | fields


@pytest.fixture
def sender(monkeypatch: pytest.MonkeyPatch) -> FakeSender:
    """Give what answers for a namespace with one automation."""
    made = FakeSender()
    made.tell("GET", ALL, listed(automation()))
    made.tell("GET", ONE, automation())

    @contextmanager
    def meant(_: object) -> Iterator[tuple[None, Console]]:
        yield None, Console(made, "data")

    monkeypatch.setattr(command, "cluster_meant", meant)
    monkeypatch.setattr(command, "_POLL_SECONDS", 0)
    return made


def test_list(sender: FakeSender, capsys: pytest.CaptureFixture[str]) -> None:
    """A line says when an automation does what about which runs, and how that went."""
    assert main(["automations", "ls", "-n", "data"]) == Exit.OK
    heads, line = capsys.readouterr().out.splitlines()
    assert heads.split() == [
        "AUTOMATION",
        "READY",
        "WHEN",
        "RUNS",
        "DOES",
        "TRIGGERED",
        "DONE",
        "WAITING",
        "LAST",
        "MESSAGE",
    ]
    for words in (
        "FAILED or CRASHED",
        "of etl",
        "Slack to the URL in chat/url, run tidy",
        "hooks.slack.com answered 503.",
    ):
        assert words in line
    sender.tell("GET", ALL, listed())
    assert main(["automations", "ls", "-n", "data"]) == Exit.OK
    assert "There are no automations in namespace 'data'." in capsys.readouterr().err


def test_inspect(sender: FakeSender, capsys: pytest.CaptureFixture[str]) -> None:
    """The page has what waits, why, and when it is tried again; JSON has all of it."""
    assert main(["automations", "inspect", "tell", "-n", "data"]) == Exit.OK
    page = capsys.readouterr().out
    assert "Waits to be done" in page
    assert "etl-1  Slack to the URL in chat/url  tried 2 times" in page
    assert "it answered 503." in page
    assert main(["automations", "inspect", "tell", "-n", "data", "--json"]) == Exit.OK
    found = json.loads(capsys.readouterr().out)
    assert (found["triggered"], found["done"], found["pending"][0]["attempts"]) == (3, 5, 2)
    assert main(["automations", "inspect", "tel", "-n", "data"]) == Exit.NOT_FOUND
    assert "There is no Automation 'tel' in namespace 'data'. Known: tell." in capsys.readouterr().err


def test_pause_and_resume(sender: FakeSender, capsys: pytest.CaptureFixture[str]) -> None:
    """Both change spec.suspend and nothing else."""
    sender.tell("PATCH", ONE, automation())
    assert main(["automations", "pause", "tell", "-n", "data"]) == Exit.OK
    assert main(["automations", "resume", "tell", "-n", "data"]) == Exit.OK
    assert capsys.readouterr().out == "tell is paused.\ntell goes on.\n"
    assert [sent(request) for request in sender.requests if request.method == "PATCH"] == [
        {"spec": {"suspend": True}},
        {"spec": {"suspend": None}},
    ]


def answering(*looks: Callable[[str], Body]) -> Callable[[Request], Body]:
    """Answer with an automation as it is at each look after the test was asked for; the last stays."""
    asked: list[str] = []
    left = list(looks)

    def answer(request: Request) -> Body:
        if request.method == "PATCH":
            asked.append(sent(request)["metadata"]["annotations"][names.ANNOTATION_TEST])
            return automation()
        if not asked:
            return automation()
        look = left.pop(0) if len(left) > 1 else left[0]
        return automation(status={**STATUS, **look(asked[0])})

    return answer


def under_way(**left: Any) -> Callable[[str], Body]:
    """Give the status of an automation whose test is being sent."""
    return lambda value: {"tested": value, "pending": [{"id": "2", "event": "test", "left": [{"action": 0, **left}]}]}


NOT_YET: Callable[[str], Body] = lambda _: {}  # noqa: E731
TAKEN: Callable[[str], Body] = lambda value: {"tested": value, "pending": []}  # noqa: E731


@pytest.mark.parametrize(
    ("looks", "code", "words"),
    [
        ([NOT_YET, under_way(), TAKEN], Exit.OK, "The test of tell was taken by 1 webhook.\n"),
        ([under_way(attempts=1, lastError="x answered 404.")], Exit.NOT_COMPLETED, "was not taken: x answered 404."),
        ([NOT_YET], Exit.TIMED_OUT, "The operator has not sent a test of tell within 0.2 s."),
        ([under_way()], Exit.NOT_COMPLETED, "was not taken: It was not answered yet."),
        ([lambda value: {"tested": value, "pending": [], "failed": 1}], Exit.NOT_COMPLETED, "hooks.slack.com answered 503."),
    ],
    ids=["taken", "refused", "no operator", "no answer", "given up at once"],
)  # fmt: skip
def test_a_test(
    sender: FakeSender, capsys: pytest.CaptureFixture[str], looks: list[Any], code: Exit, words: str
) -> None:
    """The command waits for what the operator tells of its test, and says how it went."""
    answer = answering(*looks)
    sender.tell("GET", ONE, answer)
    sender.tell("PATCH", ONE, answer)
    timeout = "60" if code == Exit.OK else "0.2"
    assert main(["automations", "test", "tell", "-n", "data", "--timeout", timeout]) == code
    shown = capsys.readouterr()
    assert words in shown.out + shown.err


def test_a_test_needs_a_webhook(sender: FakeSender, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is asked for where there is nothing to see."""
    sender.tell("GET", ONE, automation(spec=SPEC | {"actions": [{"cancel": {}}]}))
    assert main(["automations", "test", "tell", "-n", "data"]) == Exit.NOT_FOUND
    assert "has no webhook" in capsys.readouterr().err
    assert not [request for request in sender.requests if request.method == "PATCH"]


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (trigger_of({"states": {"types": ["FAILED"], "reasons": ["OutOfMemory"]}}), "FAILED (OutOfMemory)"),
        (trigger_of({"late": {"afterSeconds": 300}}), "late by 300 s"),
        (trigger_of({"longRunning": {"afterSeconds": 300}}), "running for 300 s"),
        (trigger_of({"noSuccess": {"forSeconds": 300}}), "no success for 300 s"),
        (match_of({}), "all"),
        (match_of({"flows": ["a"], "tags": ["b", "c"], "labels": {"d": "e"}, "subflows": True}),
         "of flow a, tagged b and c, d=e, with subflows"),
        (action_of({"webhook": {"url": "https://x.example/t0ken"}}), "CloudEvents to x.example"),
        (action_of({"webhook": {"url": "https://x.example", "body": {}}}), "own body to x.example"),
        (action_of({"cancel": {}}), "cancel the run"),
        (action_of({"cancel": {"mode": "Now"}}), "cancel the run now"),
        (action_of({"suspend": {}}), "suspend the run"),
        (action_of({"suspend": {"target": "Deployment"}}), "suspend the deployment"),
    ],
)  # fmt: skip
def test_words(said: str, expected: str) -> None:
    """Trigger, runs and actions are told in a few words, of a URL only its host."""
    assert said == expected
