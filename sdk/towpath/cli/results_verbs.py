"""What can be typed about kept results: this part of the table of verbs."""

from __future__ import annotations

from typing import Final

from towpath.cli.arguments import JSON
from towpath.cli.words import Example, Group, Verb, place, value

_STORAGE: Final = value(
    "--storage", metavar="PLACE", help="a folder or fsspec URL; TOWPATH_RESULT_STORAGE by default, else this user's own"
)

GROUPS: Final = (Group("results", "see and remove kept results"),)

VERBS: Final = (
    Verb(
        ("results", "ls"),
        "list kept results, the newest first",
        "results:ls",
        (
            value("--limit", metavar="N", type=int, default=50, help="at most so many; 0 for all; 50 by default"),
            _STORAGE,
            JSON,
        ),
        (
            Example("towpath results ls", "what is kept, of which run, how old and how large"),
            Example(
                "towpath results ls --storage s3://bucket/results --limit 0 --json | jq -r '.[].key'",
                "keys, for a script",
            ),
        ),
    ),
    Verb(
        ("results", "show"),
        "show a kept result with its value",
        "results:show",
        (place("key", "its key"), _STORAGE, JSON),
        (
            Example("towpath results show sales/2026-01-31", "what is known of it, and its value"),
            Example("towpath results show sales/2026-01-31 --json | jq .value", "the value, for a program"),
        ),
        "A pickle is loaded, as a run would load it: show those only that runs of your own have written.",
    ),
    Verb(
        ("results", "delete"),
        "delete kept results: what needs them is run again",
        "results:delete",
        (place("key", "whole key; several may be given", nargs="+"), _STORAGE, JSON),
        (Example("towpath results delete sales/2026-01-31", "the next run of that task does its work"),),
    ),
    Verb(
        ("results", "prune"),
        "delete kept results that have expired, or are too old",
        "results:prune",
        (
            value(
                "--older-than", metavar="WHEN", help="also those from before: 12h, 30d, or a date such as 2026-01-31"
            ),
            _STORAGE,
            JSON,
        ),
        (
            Example("towpath results prune", "those that count no longer anyhow"),
            Example("towpath results prune --older-than 30d", "all from more than a month ago, too"),
        ),
    ),
)
