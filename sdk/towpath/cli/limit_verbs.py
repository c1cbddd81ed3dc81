"""What can be typed about limits: this part of the table of verbs."""

from __future__ import annotations

from typing import Final

from towpath.cli.arguments import JSON
from towpath.cli.words import Example, Group, Verb, flag, place, value

_HERE: Final = "Limits are those of this machine: they hold among all its processes."
_NAME: Final = "name of the limit; tag:NAME limits task runs that are tagged NAME"

GROUPS: Final = (Group("limits", "see and set limits of what may go on at once, or in a second"),)

VERBS: Final = (
    Verb(
        ("limits", "ls"),
        "list limits, who holds their slots, and who waits for them",
        "limits:ls",
        (JSON,),
        (
            Example("towpath limits ls", "all of them"),
            Example("towpath limits ls --json | jq '.[] | select(.waiting != [])'", "those that somebody waits for"),
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
            JSON,
        ),
        (
            Example("towpath limits set database 5", 'five blocks of `with concurrency("database")` at once'),
            Example("towpath limits set api 10 --slot-decay-per-second 2", "ten at once, and then two a second"),
            Example("towpath limits set tag:heavy 1", "one task run at a time that is tagged heavy"),
            Example("towpath limits set database --inactive", "no limit for now"),
        ),
        "It holds at once, also for those who wait. " + _HERE,
    ),
    Verb(
        ("limits", "delete"),
        "delete limits, and let in who waits for them",
        "limits:delete",
        (place("name", "name of the limit", nargs="+"), JSON),
        (Example("towpath limits delete database tag:heavy", "those who hold slots go on; nobody waits any more"),),
        _HERE,
    ),
)
