"""What can be typed to serve a flow, and to steer deployments: this part of the table of verbs."""

from __future__ import annotations

from typing import Final

from towpath.cli.arguments import FLOW_FILE, JSON, PARAMETERS, TARGET
from towpath.cli.words import Argument, Example, Verb, flag, many, place, value

_DEPLOYMENT: Final = place("deployment", "name of the deployment")
_HERE: Final = " On this machine, its server forgets that when it is started anew; in a cluster it is spec.suspend."

SERVE: Final = Verb(
    ("serve",),
    "serve a flow: run it on this machine when schedules say and somebody asks, until Ctrl-C",
    "serving:serve",
    (
        FLOW_FILE,
        value("--name", metavar="NAME", help="name of the deployment; the flow's by default"),
        many("--cron", metavar="CRON", help="run it at the times of a cron expression; may be given several times"),
        many("--interval", metavar="TIME", help="run it so often: seconds, or 15m, 2h, 1d; may be given several times"),
        many("--rrule", metavar="RRULE", help="run it at the times of a recurrence rule; may be given several times"),
        value(
            "--timezone",
            metavar="ZONE",
            help="where the clock of the schedules hangs, such as Europe/Berlin; UTC by default",
        ),
        *PARAMETERS,
        many("--tag", metavar="TAG", help="a tag of every run; may be given several times"),
        value("--limit", metavar="N", type=int, help="at most so many runs at once; 0 for no limit; 5 by default"),
        flag("--paused", help="the schedules make no runs until `towpath deployments resume`"),
        Argument(
            ("--missed",),
            "what becomes of times that were due while nobody served, as after a crash: a run for each, for the latest,"
            " or for none",
            {"choices": ("all", "latest", "skip"), "default": "all"},
            "all latest skip",
        ),
        flag("--json", help="log in JSON, an object a line, for programs"),
    ),
    (
        Example("towpath serve etl.py:etl", "run it for whoever asks: `towpath deployments run etl`, run_deployment"),
        Example("towpath serve etl.py:etl --name nightly --cron '0 2 * * *' --timezone Europe/Berlin", "every night"),
        Example(
            "towpath serve etl.py:etl --interval 15m -p full=true --limit 1", "four times an hour, one after the other"
        ),
    ),
    "Each run is a process of its own. Ctrl-C or SIGTERM asks runs to end, and waits for them; a second one does not"
    " wait. A script does the same with flow.serve(...). In a cluster, deployments need no server: `towpath deploy`.",
)

VERBS: Final = (
    Verb(
        ("deployments", "inspect"),
        "show all that is known of a deployment",
        "deployments:inspect",
        (_DEPLOYMENT, *TARGET, JSON),
        (
            Example("towpath deployments inspect nightly", "its schedules, its parameters, and what its flow takes"),
            Example("towpath deployments inspect nightly -n data --json | jq .next_runs", "for a program"),
        ),
    ),
    Verb(
        ("deployments", "pause"),
        "have the schedules of a deployment make no runs",
        "deployments:pause",
        (_DEPLOYMENT, *TARGET, JSON),
        (
            Example("towpath deployments pause nightly", "one that is served on this machine"),
            Example("towpath deployments pause nightly -n data", "one in a cluster"),
        ),
        "Runs that there are go on, and `towpath deployments run` makes others." + _HERE,
    ),
    Verb(
        ("deployments", "resume"),
        "have the schedules of a deployment make runs again",
        "deployments:resume",
        (_DEPLOYMENT, *TARGET, JSON),
        (
            Example("towpath deployments resume nightly", "one that is served on this machine"),
            Example("towpath deployments resume nightly -n data", "one in a cluster"),
        ),
        "What was due meanwhile is left out." + _HERE,
    ),
)
