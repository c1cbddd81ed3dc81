"""What can be typed about artifacts, variables and events: this part of the table of verbs."""

from __future__ import annotations

from typing import Final

from towpath.cli.arguments import JSON
from towpath.cli.words import Example, Group, Verb, flag, many, place, value

_HERE: Final = "They are those of this machine. In a cluster, what runs tell is in the logs of their pods, as JSON."
_VARIABLE: Final = place("name", "name of the variable")
_EVENT: Final = value(
    "--event", metavar="PATTERN", default="*", help="only events of this name; * stands for anything; all by default"
)
_RESOURCE: Final = value(
    "--resource", metavar="PATTERN", default="*", help="only events about the resource of this id; * as above"
)
_OF_RUN: Final = value("--run", metavar="RUN", help="of this run only; its name or id, or the beginning of either")

GROUPS: Final = (
    Group("artifacts", "see and delete artifacts"),
    Group("variables", "see and set variables"),
    Group("events", "see, watch and emit events"),
)

VERBS: Final = (
    Verb(
        ("artifacts", "ls"),
        "list artifacts: the latest version of each key",
        "artifacts:ls",
        (
            flag("-a", "--all", help="all versions, and artifacts without a key, the newest first"),
            _OF_RUN,
            value("--limit", metavar="N", type=int, default=50, help="at most so many; 0 for all; 50 by default"),
            JSON,
        ),
        (
            Example("towpath artifacts ls", "what runs have to show"),
            Example("towpath artifacts ls --run witty-otter", "all that one run has told"),
            Example("towpath artifacts ls --json | jq -r '.[].key'", "keys, for a script"),
        ),
        _HERE,
    ),
    Verb(
        ("artifacts", "inspect"),
        "show an artifact and its versions",
        "artifacts:inspect",
        (place("artifact", "key of the artifact, or id of one version"), JSON),
        (
            Example("towpath artifacts inspect nightly-report", "the latest version, and which there were before"),
            Example("towpath artifacts inspect nightly-report --json | jq -r .data > report.md", "into a file"),
        ),
    ),
    Verb(
        ("artifacts", "delete"),
        "delete artifacts, with all their versions",
        "artifacts:delete",
        (place("artifact", "key of the artifact, or id of one version", nargs="+"), JSON),
        (
            Example("towpath artifacts delete nightly-report", "all versions"),
            Example("towpath artifacts delete ba1d67be-0bd7-452e-8110-247fe5e6d8cc", "one version"),
        ),
        "Those of a run go with it, too: see `towpath runs delete`.",
    ),
    Verb(
        ("variables", "ls"),
        "list variables",
        "variables:ls",
        (many("--tag", metavar="TAG", help="only those with this tag; may be given several times"), JSON),
        (
            Example("towpath variables ls", "all, and where each comes from"),
            Example("towpath variables ls --json | jq 'map({(.name): .value}) | add'", "as one object"),
        ),
        "They are those of this machine. In a cluster they are the keys of the ConfigMap towpath-variables.",
    ),
    Verb(
        ("variables", "get"),
        "print a variable's value, as a flow would get it",
        "variables:get",
        (_VARIABLE, JSON),
        (
            Example("towpath variables get region", "text as it is, anything else as JSON"),
            Example("towpath variables get limits --json | jq .rows", "JSON, whatever it is"),
        ),
    ),
    Verb(
        ("variables", "set"),
        "set a variable on this machine",
        "variables:set_",
        (
            _VARIABLE,
            place("value", "what to set it to: JSON where it is JSON, else text"),
            flag("--overwrite", help="even if it is set already"),
            many("--tag", metavar="TAG", help="a tag of the variable; may be given several times"),
            JSON,
        ),
        (
            Example("towpath variables set region eu-north", "a text"),
            Example("towpath variables set batch 500 --overwrite", "a number, whatever it was before"),
            Example("towpath variables set release '\"1.10\"'", "a text that would be a number"),
            Example('towpath variables set limits \'{"rows": 1000, "cities": ["Oslo", "Lima"]}\'', "anything in JSON"),
        ),
    ),
    Verb(
        ("variables", "unset"),
        "forget variables on this machine",
        "variables:unset",
        (place("name", "name of the variable", nargs="+"), JSON),
        (Example("towpath variables unset batch", "flows get their default again"),),
    ),
    Verb(
        ("events", "ls"),
        "list events: those that were emitted, and states of runs; the latest first",
        "events:ls",
        (
            _EVENT,
            _RESOURCE,
            _OF_RUN,
            value("--since", metavar="WHEN", help="since then: 30m, 2h, 7d, or a date or time such as 2026-01-31"),
            value("--limit", metavar="N", type=int, default=50, help="at most so many; 0 for all; 50 by default"),
            JSON,
        ),
        (
            Example("towpath events ls --since 1h", "what happened"),
            Example("towpath events ls --event 'towpath.flow-run.*' --since 1h --json", "states of flow runs"),
            Example("towpath events ls --event 'towpath.task-run.Failed' --run witty-otter", "tasks that failed"),
            Example("towpath events ls --event 'order.*' --resource 'order-456'", "what was emitted about an order"),
        ),
        "States of task runs are many: they are listed if --event begins with towpath.task-run. " + _HERE,
    ),
    Verb(
        ("events", "watch"),
        "print events as they come, until Ctrl-C",
        "events:watch",
        (
            _EVENT,
            _RESOURCE,
            flag("--once", help="end after the first"),
            value("--timeout", metavar="SECONDS", type=float, help="stop after so long (exit code 6)"),
            JSON,
        ),
        (
            Example("towpath events watch", "everything but states of task runs"),
            Example("towpath events watch --event 'towpath.flow-run.Failed' --json", "one JSON object a line"),
            Example("towpath events watch --event order.paid --once --timeout 600 && ./ship.sh", "wait for one"),
        ),
        _HERE,
    ),
    Verb(
        ("events", "emit"),
        "emit an event",
        "events:emit",
        (
            place("event", "name of the event"),
            value(
                "--resource-id", metavar="ID", help="what it is about; the same as --resource towpath.resource.id=ID"
            ),
            many("--resource", metavar="LABEL=VALUE", help="a label of what it is about; may be given several times"),
            value("--related", metavar="JSON", help="what else has to do with it: an array of objects of labels"),
            value("--payload", metavar="JSON", help="what else there is to say: an object"),
            JSON,
        ),
        (
            Example("towpath events emit order.paid --resource-id order-456", "print its id"),
            Example(
                "towpath events emit order.paid --resource-id order-456 --payload '{\"amount\": 12.5}'",
                "with what there is to say",
            ),
        ),
    ),
)
