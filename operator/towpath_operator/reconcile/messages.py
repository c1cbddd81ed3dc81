"""What an Automation says: placeholders in texts, and the bodies that receivers understand.

A placeholder is a name between braces, `{{ run.name }}`, and stands for what is known; nothing is computed. Parameters
and results of runs are not among them, for they may be secret.

- CloudEvents 1.0, JSON format, structured mode.
- Slack's incoming webhooks: `text` for notifications, `blocks` for what is seen.
- Teams' workflows: a message with one Adaptive Card.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from towpath import names
from towpath.api.v1alpha1.transitions import rfc3339
from towpath.limits import cut
from towpath_operator.reconcile.observed import Body
from towpath_operator.reconcile.occurrences import LATE, LONG_RUNNING, NO_SUCCESS, TEST, Occurrence
from towpath_operator.reconcile.reading import mapping, text, value

JSON_TYPE: Final = "application/json"
_PLACEHOLDER: Final = re.compile(r"\{\{(.*?)\}\}", re.DOTALL)
#: Types of CloudEvents begin with a domain, turned round.
_TYPES: Final = ".".join(reversed(names.GROUP.split(".")))
#: Slack takes 3,000 characters in a section.
_LONGEST: Final = 2900

PLACEHOLDERS: Final = (
    "run.name",
    "run.namespace",
    "run.flow",
    "run.deployment",
    "run.attempt",
    "state.type",
    "state.name",
    "state.reason",
    "state.message",
    "event.id",
    "event.type",
    "event.time",
    "event.count",
    "event.summary",
    "automation.name",
)


@dataclass(frozen=True, slots=True)
class Message:
    """What is sent."""

    content_type: str
    body: Any
    """A JSON value; text, if the content type says so."""


def known(automation: Body, found: Occurrence) -> Mapping[str, Any]:
    """Give what the placeholders stand for."""
    return {
        "run.name": found.run,
        "run.namespace": text(automation, "metadata", "namespace"),
        "run.flow": found.flow,
        "run.deployment": found.deployment,
        "run.attempt": found.attempt,
        "state.type": found.type,
        "state.name": found.name,
        "state.reason": found.reason,
        "state.message": found.message,
        "event.id": found.id,
        "event.type": found.event,
        "event.time": rfc3339(found.at),
        "event.count": found.count,
        "event.summary": summary(automation, found),
        "automation.name": text(automation, "metadata", "name"),
    }


def summary(automation: Body, found: Occurrence) -> str:
    """Say in a sentence what happened."""
    more = f" And {found.count - 1} more since the last message." if found.count > 1 else ""
    said = found.message and f" {found.message}"
    if found.event in (NO_SUCCESS, TEST):
        of = found.deployment or found.flow
        return f"{of + ': ' if of else ''}{found.message}{more}"
    who = f"Run {found.run}" + (f" of {found.deployment or found.flow}" if found.deployment or found.flow else "")
    if found.event == LATE:
        return f"{who} in namespace {text(automation, 'metadata', 'namespace')} has not begun yet.{said}{more}"
    if found.event == LONG_RUNNING:
        return f"{who} in namespace {text(automation, 'metadata', 'namespace')} is still running.{said}{more}"
    why = f" ({found.reason})" if found.reason else ""
    return f"{who} in namespace {text(automation, 'metadata', 'namespace')} is {found.name}{why}.{said}{more}"


def render(template: Any, values: Mapping[str, Any]) -> Any:
    """Put values in the place of placeholders in all texts of a JSON value; a text that is only one becomes its value.

    Unknown placeholders stay as they are; `unknown` finds them.
    """
    if isinstance(template, str):
        whole = _PLACEHOLDER.fullmatch(template)
        if whole and whole[1].strip() in values:
            return values[whole[1].strip()]
        return _PLACEHOLDER.sub(lambda match: str(values.get(match[1].strip(), match[0])), template)
    if isinstance(template, Mapping):
        return {key: render(item, values) for key, item in template.items()}
    if isinstance(template, list | tuple):
        return [render(item, values) for item in template]
    return template


def unknown(template: Any) -> Iterator[str]:
    """Give the placeholders in a JSON value that stand for nothing."""
    if isinstance(template, str):
        yield from (found.strip() for found in _PLACEHOLDER.findall(template) if found.strip() not in PLACEHOLDERS)
    elif isinstance(template, Mapping):
        for item in template.values():
            yield from unknown(item)
    elif isinstance(template, list | tuple):
        for item in template:
            yield from unknown(item)


def message(automation: Body, webhook: Mapping[str, Any], found: Occurrence) -> Message:
    """Build what a webhook is sent about an event."""
    values = known(automation, found)
    if body := mapping(webhook, "body"):
        return Message(JSON_TYPE, render(body, values))
    template = text(webhook, "text")
    match text(webhook, "format"):
        case "Text":
            return Message("text/plain; charset=utf-8", str(render(template, values)))
        case "Slack":
            return Message(JSON_TYPE, _slack(template, values))
        case "Teams":
            return Message(JSON_TYPE, _teams(template, values))
        case _:
            return Message("application/cloudevents+json; charset=utf-8", cloud_event(automation, found))


def cloud_event(automation: Body, found: Occurrence) -> dict[str, Any]:
    """Build a CloudEvent."""
    namespace, name = text(automation, "metadata", "namespace"), text(automation, "metadata", "name")
    is_of_run = found.event not in (NO_SUCCESS, TEST)
    data: dict[str, Any] = {
        "automation": name,
        "namespace": namespace,
        "run": found.run,
        "flow": found.flow,
        "deployment": found.deployment,
        "state": found.type,
        "name": found.name,
        "reason": found.reason,
        "message": found.message,
        "summary": summary(automation, found),
        "attempt": found.attempt,
        "count": found.count,
        "test": found.event == TEST,
    }
    event: dict[str, Any] = {
        "specversion": "1.0",
        "id": found.id,
        "source": f"/towpath/{namespace}/{found.deployment or found.flow or name}",
        "type": f"{_TYPES}.{'flowrun' if is_of_run else 'automation'}.{found.event}",
        "time": rfc3339(found.at),
        "datacontenttype": JSON_TYPE,
        "data": {key: said for key, said in data.items() if said},
    }
    if is_of_run:
        event["subject"] = found.run
    return event


def _facts(values: Mapping[str, Any]) -> list[tuple[str, str]]:
    wanted = (
        ("Run", "run.name"),
        ("Deployment", "run.deployment"),
        ("Flow", "run.flow"),
        ("Namespace", "run.namespace"),
        ("State", "state.name"),
        ("Reason", "state.reason"),
        ("Attempt", "run.attempt"),
        ("Time", "event.time"),
        ("Automation", "automation.name"),
    )
    return [(title, str(values[key])) for title, key in wanted if values[key]]


def _rendered(template: str, values: Mapping[str, Any]) -> str:
    """Render a text for people; the summary where there is none, or nothing is left of it."""
    return str(render(template, values)).strip() or str(values["event.summary"])


def _slack(template: str, values: Mapping[str, Any]) -> dict[str, Any]:
    values = {key: _escaped(said) if isinstance(said, str) else said for key, said in values.items()}
    shown = _rendered(template, values)
    facts = " · ".join(f"{title}: {fact}" for title, fact in _facts(values))
    return {
        "text": shown,
        "blocks": [
            {"type": "section", "text": {"type": "mrkdwn", "text": cut(shown, _LONGEST)}},
            {"type": "context", "elements": [{"type": "mrkdwn", "text": cut(facts, _LONGEST)}]},
        ],
    }


def _escaped(said: str) -> str:
    """Escape what Slack takes for its own: what a run says must not mention a whole channel."""
    return said.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _teams(template: str, values: Mapping[str, Any]) -> dict[str, Any]:
    said = _rendered(template, values)
    card = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "body": [
            {"type": "TextBlock", "text": said, "wrap": True, "weight": "Bolder"},
            {"type": "FactSet", "facts": [{"title": title, "value": fact} for title, fact in _facts(values)]},
        ],
    }
    attachment = {"contentType": "application/vnd.microsoft.card.adaptive", "contentUrl": None, "content": card}
    return {"type": "message", "attachments": [attachment]}


def problem_of(automation: Body) -> str:
    """Say which placeholders of an Automation stand for nothing; empty if all are known."""
    for number, action in enumerate(value(automation, "spec", "actions") or ()):
        webhook, parameters = mapping(action, "webhook"), mapping(action, "runDeployment", "parameters")
        for template in (text(webhook, "text"), mapping(webhook, "body"), parameters):
            for word in unknown(template):
                return (
                    f"actions[{number}] has the placeholder {'{{ ' + word + ' }}'!r}, which stands for nothing."
                    f" There are: {', '.join(PLACEHOLDERS)}."
                )
    return ""
