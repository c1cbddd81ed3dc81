"""What can be typed about automations: this part of the table of verbs."""

from __future__ import annotations

from typing import Final

from towpath.cli.arguments import IN_CLUSTER, JSON
from towpath.cli.words import Example, Group, Verb, place, value

_NAME: Final = place("automation", "name of the Automation")
_THERE: Final = " Automations are resources of a cluster, made with kubectl apply."

GROUPS: Final = (Group("automations", "see, test and steer what is done when runs fail, are late or stay away"),)

VERBS: Final = (
    Verb(
        ("automations", "ls"),
        "list automations",
        "automations:ls",
        (*IN_CLUSTER, JSON),
        (
            Example("towpath automations ls -n data", "what they wait for, what they do, and how it went"),
            Example("towpath automations ls -n data --json | jq '.[] | select(.waiting > 0)'", "those not done yet"),
        ),
        _THERE.strip(),
    ),
    Verb(
        ("automations", "inspect"),
        "show an automation, and what of it waits to be done",
        "automations:inspect",
        (_NAME, *IN_CLUSTER, JSON),
        (
            Example("towpath automations inspect tell -n data", "why a message has not come"),
            Example("towpath automations inspect tell -n data --json | jq .pending", "for a program"),
        ),
    ),
    Verb(
        ("automations", "pause"),
        "have an automation do nothing",
        "automations:pause",
        (_NAME, *IN_CLUSTER, JSON),
        (Example("towpath automations pause tell -n data", "before maintenance"),),
        "It is spec.suspend. What happens meanwhile does not count.",
    ),
    Verb(
        ("automations", "resume"),
        "have an automation go on",
        "automations:resume",
        (_NAME, *IN_CLUSTER, JSON),
        (Example("towpath automations resume tell -n data", "after maintenance"),),
        "It begins anew: what happened meanwhile does not count. What had waited to be sent is sent.",
    ),
    Verb(
        ("automations", "test"),
        "have the operator send a test to the webhooks of an automation",
        "automations:test",
        (
            _NAME,
            value("--timeout", metavar="SECONDS", type=float, default=30.0, help="wait for so long; 30 by default"),
            *IN_CLUSTER,
            JSON,
        ),
        (Example("towpath automations test tell -n data", "see whether the message arrives"),),
        "The message says that it is a test. Nothing else is done: no run is made, cancelled or suspended. The exit"
        " code is 0 only if every webhook took it.",
    ),
)
