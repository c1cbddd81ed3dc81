"""What can be typed about limits and queues: this part of the table of verbs."""

from __future__ import annotations

from typing import Final

from towpath.cli.arguments import JSON, TARGET
from towpath.cli.words import Example, Group, Verb, flag, many, place, value

_HERE: Final = (
    "On this machine a limit holds among all its processes; in a cluster it is a ConcurrencyLimit, and holds among all"
    " runs of its namespace."
)
_THERE: Final = "Queues are those of a cluster: say which by -n NAMESPACE, --context NAME or --cluster."
_NAME: Final = "name of the limit; tag:NAME limits task runs that are tagged NAME"

GROUPS: Final = (
    Group("limits", "see and set limits of what may go on at once, or in a second"),
    Group("queues", "see and steer the queues in which runs of a cluster take their turn"),
)

_LIMITS: Final = (
    Verb(
        ("limits", "ls"),
        "list limits, who holds their slots, and who waits for them",
        "limits:ls",
        (*TARGET, JSON),
        (
            Example("towpath limits ls", "all of this machine"),
            Example("towpath limits ls -n data", "all of a namespace"),
            Example("towpath limits ls --json | jq '.[] | select(.waiting != [])'", "those that somebody waits for"),
        ),
        _HERE,
    ),
    Verb(
        ("limits", "inspect"),
        "show a limit, and who is at it",
        "limits:inspect",
        (place("name", _NAME), *TARGET, JSON),
        (
            Example("towpath limits inspect database", "of this machine"),
            Example("towpath limits inspect tag:heavy -n data", "the one for tasks tagged heavy, in a namespace"),
        ),
        _HERE,
    ),
    Verb(
        ("limits", "set"),
        "make a limit, or change it",
        "limits:set_",
        (
            place("name", _NAME),
            place("slots", "how many there are; 0 lets nobody in; a limit that exists keeps its own", nargs="?"),
            value(
                "--slot-decay-per-second",
                metavar="RATE",
                type=float,
                help="slots that come free by themselves in a second, as rate_limit needs it; 0: none do",
            ),
            flag("--inactive", help="let it limit nothing"),
            flag("--active", help="let it limit again"),
            flag("--runs", help="in a cluster, with tag:NAME: limit runs that are tagged NAME, not tasks"),
            *TARGET,
            JSON,
        ),
        (
            Example("towpath limits set database 5", 'five blocks of `with concurrency("database")` at once'),
            Example("towpath limits set database 5 -n data", "the same among all runs of a namespace"),
            Example("towpath limits set api 10 --slot-decay-per-second 2", "ten at once, and then two a second"),
            Example("towpath limits set tag:heavy 1", "one task run at a time that is tagged heavy"),
            Example("towpath limits set tag:gpu 2 --runs -n data", "two runs at a time that are tagged gpu"),
            Example("towpath limits set database --inactive", "no limit for now"),
        ),
        "It holds at once on this machine, also for those who wait, and within seconds in a cluster. " + _HERE,
    ),
    Verb(
        ("limits", "delete"),
        "delete limits, and let in who waits for them",
        "limits:delete",
        (place("name", _NAME, nargs="+"), *TARGET, JSON),
        (
            Example("towpath limits delete database tag:heavy", "those who hold slots go on; nobody waits any more"),
            Example("towpath limits delete database -n data", "the ConcurrencyLimit of a namespace"),
        ),
        _HERE,
    ),
)

_QUEUE: Final = place("queue", "name of the queue")
_QUEUES: Final = (
    Verb(
        ("queues", "ls"),
        "list queues, with how many of their runs are at work and how many wait",
        "queues:ls",
        (*TARGET, JSON),
        (
            Example("towpath queues ls -n data", "those of a namespace"),
            Example("towpath queues ls -n data --json | jq '.[] | select(.waiting > 0).name'", "where runs wait"),
        ),
        _THERE,
    ),
    Verb(
        ("queues", "inspect"),
        "show a queue, and which runs wait in it",
        "queues:inspect",
        (_QUEUE, *TARGET, JSON),
        (Example("towpath queues inspect nightly -n data", "its settings, and who waits for what"),),
        _THERE,
    ),
    Verb(
        ("queues", "set"),
        "make a queue, or change it",
        "queues:set_",
        (
            _QUEUE,
            place("limit", "how many of its runs may be at work at once; what is not said stays as it is", nargs="?"),
            flag("--unlimited", help="any number of runs at once"),
            value(
                "--priority",
                metavar="N",
                type=int,
                help="added to the priority of each of its runs; where runs of several queues wait for the same, the"
                " higher comes first",
            ),
            *TARGET,
            JSON,
        ),
        (
            Example("towpath queues set nightly 5 -n data", "five runs at once"),
            Example("towpath queues set urgent --priority 100 -n data", "before all others, any number at once"),
            Example("towpath queues set nightly --unlimited -n data", "no limit any more"),
        ),
        "A run is in a queue by `work_queue_name=…` of its deployment, or `queue` in its spec. " + _THERE,
    ),
    Verb(
        ("queues", "pause"),
        "let no more runs of a queue begin; those at work go on",
        "queues:pause",
        (_QUEUE, *TARGET, JSON),
        (Example("towpath queues pause nightly -n data", "before a database is restarted"),),
        _THERE,
    ),
    Verb(
        ("queues", "resume"),
        "let runs of a queue begin again",
        "queues:resume",
        (_QUEUE, *TARGET, JSON),
        (Example("towpath queues resume nightly -n data", "those that wait begin, in order"),),
        _THERE,
    ),
    Verb(
        ("queues", "delete"),
        "delete queues",
        "queues:delete",
        (place("queue", "name of the queue", nargs="+"), *TARGET, JSON),
        (Example("towpath queues delete nightly -n data", "runs that name it wait for one of the name, ten minutes"),),
        _THERE,
    ),
)

VERBS: Final = (*_LIMITS, *_QUEUES)
#: What `towpath deploy` takes about whose turn it is.
TURNS: Final = (
    value(
        "--concurrency-limit", metavar="N", type=int, help="how many runs may be at work at once; any number by default"
    ),
    value(
        "--on-conflict",
        metavar="enqueue|cancel-new|cancel-running",
        choices=("enqueue", "cancel-new", "cancel-running"),
        help="what becomes of one more: it waits, by default, is cancelled itself, or takes the place of the oldest",
        completes="enqueue cancel-new cancel-running",
    ),
    many(
        "--limit", metavar="NAME", help="a ConcurrencyLimit of which every run needs a slot; may be given several times"
    ),
    value("--work-queue", metavar="NAME", help="the Queue in which every run takes its turn"),
    value(
        "--priority", metavar="N", type=int, help="of runs that wait for the same, those with a higher one come first"
    ),
)
