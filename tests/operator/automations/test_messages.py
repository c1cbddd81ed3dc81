"""What automations say: placeholders, and the JSON shapes that receivers document."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.operator.automations.deciding import FAILED, at, make_automation, run_in

from towpath.api.v1alpha1.transitions import rfc3339
from towpath_operator.reconcile.messages import PLACEHOLDERS, known, message, problem_of, render, unknown
from towpath_operator.reconcile.occurrences import Occurrence, overdue, sample, silence, transitions

Body = dict[str, Any]


def event_of(**run: Any) -> Occurrence:
    """Give the event that a run failed."""
    body = run_in("RUNNING", "FAILED", **{"message": "No such file."} | run)
    return next(transitions(make_automation(), body, None, body["status"]["history"], is_witnessed=False))


def said(webhook: Body, event: Occurrence | None = None) -> Any:
    """Give what is sent, once through JSON."""
    body = message(make_automation(), webhook, event or event_of()).body
    assert json.loads(json.dumps(body)) == body
    return body


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("{{ run.name }} is {{ state.name }}: {{ state.message }}", "etl-1 is Failed: No such file."),
        ("{{run.name}}{{  run.attempt}}", "etl-11"),
        ("{{ run.attempt }}", 1),
        ({"a": ["{{ event.type }}", 5, None, True]}, {"a": ["failed", 5, None, True]}),
        ("{{ run.__class__ }} {{ 1 + 1 }} {{ }}", "{{ run.__class__ }} {{ 1 + 1 }} {{ }}"),
        ("{ run.name } {{ run.name", "{ run.name } {{ run.name"),
    ],
    ids=["text", "blanks", "a number", "inside", "nothing is computed", "no placeholder"],
)
def test_placeholders(template: Any, expected: Any) -> None:
    """Names between braces become what is known; one alone keeps its kind; nothing else is touched."""
    assert render(template, known(make_automation(), event_of())) == expected


def test_what_a_run_says_is_not_rendered_again() -> None:
    """A message that looks like a placeholder stays as it is."""
    assert (
        said({"format": "Text", "text": "{{ state.message }}"}, event_of(message="{{ run.name }}")) == "{{ run.name }}"
    )


def test_all_placeholders_stand_for_something() -> None:
    """Each documented placeholder is known, and there are no others."""
    assert tuple(known(make_automation(), event_of())) == PLACEHOLDERS


@pytest.mark.parametrize(
    "action",
    [
        {"webhook": {"url": "https://x.example", "format": "Text", "text": "{{ run.nam }}"}},
        {"webhook": {"url": "https://x.example", "body": {"a": ["{{ run.nam }}"]}}},
        {"runDeployment": {"name": "tidy", "parameters": {"of": {"run": "{{ run.nam }}"}}}},
    ],
    ids=["text", "body", "parameters"],
)
def test_unknown_placeholders_are_named(action: Body) -> None:
    """One that stands for nothing is told with all that there are, wherever it is."""
    found = problem_of(make_automation(FAILED, action))
    assert found.startswith(
        "actions[0] has the placeholder '{{ run.nam }}', which stands for nothing. There are: run.name"
    )
    assert "event.count" in found
    assert not problem_of(make_automation())
    assert list(unknown("{{ run.name }}")) == []


def test_cloud_event() -> None:
    """A CloudEvent has what version 1.0 requires; of the run it has neither parameters nor result."""
    event = said({})
    assert {key: event[key] for key in ("specversion", "source", "type", "subject", "datacontenttype")} == {
        "specversion": "1.0",
        "source": "/towpath/team-a/etl",
        "type": "dev.towpath.flowrun.failed",
        "subject": "etl-1",
        "datacontenttype": "application/json",
    }
    assert event["id"] == event_of().id
    assert event["time"] == rfc3339(at(2))
    assert event["data"] == {
        "automation": "tell",
        "namespace": "team-a",
        "run": "etl-1",
        "deployment": "etl",
        "state": "FAILED",
        "name": "Failed",
        "reason": "Exited",
        "message": "No such file.",
        "summary": "Run etl-1 of etl in namespace team-a is Failed (Exited). No such file.",
        "attempt": 1,
        "count": 1,
    }
    assert message(make_automation(), {}, event_of()).content_type == "application/cloudevents+json; charset=utf-8"


def test_events_of_no_run() -> None:
    """Silence and tests are events of the automation; a test says that it is one."""
    automation = make_automation({"noSuccess": {"forSeconds": 600}})
    quiet, trial = said({}, silence(automation, at(0))), said({}, sample(automation, at(0)))
    assert (quiet["type"], quiet["source"]) == ("dev.towpath.automation.nosuccess", "/towpath/team-a/tell")
    assert (trial["type"], trial["data"]["test"]) == ("dev.towpath.automation.test", True)
    assert "subject" not in quiet
    assert "subject" not in trial


def test_slack() -> None:
    """Slack gets text for notifications and blocks; what a run says cannot mention a channel, what the author says can."""
    event = event_of(message="<!channel> a & b")
    body = said({"format": "Slack", "text": "<!here> {{ state.message }}"}, event)
    assert body["text"] == "<!here> &lt;!channel&gt; a &amp; b"
    section, context = body["blocks"]
    assert section == {"type": "section", "text": {"type": "mrkdwn", "text": body["text"]}}
    assert context["type"] == "context"
    assert context["elements"][0]["type"] == "mrkdwn"
    assert "Deployment: etl" in context["elements"][0]["text"]
    assert said({"format": "Slack"})["text"] == "Run etl-1 of etl in namespace team-a is Failed (Exited). No such file."


def test_slack_takes_long_texts() -> None:
    """A section has at most the 3,000 characters that Slack takes."""
    body = said({"format": "Slack", "text": "{{ state.message }}" * 100}, event_of(message="y" * 200))
    assert len(body["blocks"][0]["text"]["text"]) <= 3000


@pytest.mark.parametrize("format_", ["Slack", "Teams"])
def test_a_text_of_which_nothing_is_left_is_not_sent(format_: str) -> None:
    """Slack refuses empty texts, and nobody reads them: where all placeholders are empty, the summary is said."""
    automation = make_automation({"noSuccess": {"forSeconds": 600}})
    quiet = silence(automation, at(0))
    body = message(automation, {"format": format_, "text": " {{ run.name }}\n"}, quiet).body
    shown = body["text"] if format_ == "Slack" else body["attachments"][0]["content"]["body"][0]["text"]
    assert shown == known(automation, quiet)["event.summary"]


def test_teams() -> None:
    """Teams gets a message with one Adaptive Card."""
    body = said({"format": "Teams"})
    assert body["type"] == "message"
    (attachment,) = body["attachments"]
    assert attachment["contentType"] == "application/vnd.microsoft.card.adaptive"
    card = attachment["content"]
    assert (card["type"], card["version"]) == ("AdaptiveCard", "1.4")
    text, facts = card["body"]
    assert (text["type"], text["wrap"]) == ("TextBlock", True)
    assert text["text"].startswith("Run etl-1 of etl")
    assert {"title": "Reason", "value": "Exited"} in facts["facts"]


def test_own_body_and_text() -> None:
    """Any JSON object can be sent, and plain text as such."""
    body = {
        "routing_key": "R1",
        "payload": {"summary": "{{ event.summary }}", "severity": "error"},
        "dedup": "{{ event.id }}",
    }
    sent = said({"body": body})
    assert sent["payload"]["summary"].startswith("Run etl-1")
    assert sent["dedup"] == event_of().id
    found = message(make_automation(), {"format": "Text", "text": "{{ run.name }}"}, event_of())
    assert (found.content_type, found.body) == ("text/plain; charset=utf-8", "etl-1")


def test_summaries() -> None:
    """Each kind of event has a sentence; one that stands for several says for how many more."""
    late = make_automation({"late": {"afterSeconds": 60}})
    long = make_automation({"longRunning": {"afterSeconds": 60}})
    run = run_in("PENDING", message="0/3 nodes are available.")

    def summary(automation: Body, event: Occurrence) -> str:
        return str(known(automation, event)["event.summary"])

    assert summary(late, overdue(late, run, None, at(60))) == (
        "Run etl-1 of etl in namespace team-a has not begun yet. 0/3 nodes are available."
    )
    assert "is still running" in summary(long, overdue(long, run_in("RUNNING"), None, at(60)))
    from dataclasses import replace

    assert summary(make_automation(), replace(event_of(), count=13)).endswith("And 12 more since the last message.")
