"""What can be typed about settings: this part of the table of verbs."""

from __future__ import annotations

from typing import Final

from towpath.cli.arguments import JSON
from towpath.cli.words import Example, Group, Verb, flag, place

_PROJECT: Final = flag("--project", help="in the towpath.toml of the project, not in the user's own")
_WHERE: Final = (
    "A name is that of an environment variable, or the same without TOWPATH_ and in lower case. What the environment"
    " says goes over a project's towpath.toml, that over [tool.towpath] in its pyproject.toml, and that over the user's"
    " own file, ~/.config/towpath/towpath.toml."
)

GROUPS: Final = (Group("config", "see and change settings", default="view"),)

VERBS: Final = (
    Verb(
        ("config", "view"),
        "show each setting, its value, and where that comes from",
        "config:view",
        (JSON,),
        (
            Example("towpath config view", "all of them; `towpath config` does the same"),
            Example("TOWPATH_LOG_LEVEL=DEBUG towpath config view --json", "for a program"),
        ),
        _WHERE + " The exit code is 2 if a setting has a value that cannot be.",
    ),
    Verb(
        ("config", "set"),
        "write settings into a file",
        "configuring:set_",
        (
            place("setting", "the setting and its value; several may be given", metavar="NAME=VALUE", nargs="+"),
            _PROJECT,
            JSON,
        ),
        (
            Example("towpath config set log_level=DEBUG", "for this user"),
            Example("towpath config set results_persist_by_default=true max_workers=8 --project", "for this project"),
        ),
        _WHERE,
    ),
    Verb(
        ("config", "unset"),
        "take settings out of a file",
        "configuring:unset",
        (place("setting", "name of the setting; several may be given", metavar="NAME", nargs="+"), _PROJECT, JSON),
        (
            Example(
                "towpath config unset log_level", "from now on, what goes below it holds: another file, the default"
            ),
            Example("towpath config unset max_workers --project", "in this project's file"),
        ),
        _WHERE,
    ),
)
