"""`towpath config view`: each setting, its value, and where that comes from."""

from __future__ import annotations

import difflib
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from towpath import names, settings, settings_files
from towpath.blocks.system import ENV_FOLDER, folder
from towpath.cli.exits import ENV_DEBUG, Exit
from towpath.cli.output import note, say, say_json, style_of, table
from towpath.cli.target import ENV_TARGET, target_set
from towpath.errors import ConfigurationError
from towpath.history.place import ENV_HISTORY, ENV_HOME, history_file

if TYPE_CHECKING:
    import argparse

_PREFIX: Final = settings_files.PREFIX
#: What the operator and the chart set, each for a process of their own; and what is no setting, but a value of flows'.
_OF_OTHERS: Final = ("TOWPATH_OPERATOR_", "TOWPATH_TEST_", names.VARIABLE_PREFIX, names.SECRET_PREFIX)


@dataclass(frozen=True, slots=True)
class Setting:
    """An environment variable that a person may set."""

    name: str
    meaning: str
    value: Callable[[], str]
    """Gives what holds; raises ConfigurationError if the variable has a value that cannot be."""
    by_file: bool = True
    """Whether a settings file can say it, too."""

    @property
    def key(self) -> str:
        """Its name in a settings file."""
        return settings_files.key_of(self.name)


@dataclass(frozen=True, slots=True)
class Found:
    """A setting as it is here and now."""

    name: str
    value: str | None
    source: str
    """`default`, `environment`, or the path of a settings file."""
    meaning: str
    problem: str | None = None


def view(asked: argparse.Namespace) -> int:
    """Show the settings."""
    found = list(look())
    wrong = [one for one in found if one.problem]
    if asked.json:
        say_json(found)
    else:
        style = style_of(sys.stdout)
        rows = [(one.name, one.value or "", one.source, style.faint(one.meaning)) for one in found if not one.problem]
        say(table([("SETTING", "VALUE", "FROM", "MEANING"), *rows]))
    note(*(f"towpath: {one.problem}" for one in wrong))
    return Exit.USAGE if wrong else Exit.OK


def look(environment: Mapping[str, str] = os.environ) -> Iterator[Found]:
    """Give each setting, and what looks like one in the environment or a file but is none."""
    try:
        said = settings_files.values()
    except ConfigurationError as error:  # and nothing can be told of any setting
        yield Found("", None, "", "", str(error))
        return
    for setting in SETTINGS:
        source = "default"
        if setting.name in environment:
            source = "environment" if environment[setting.name].strip() else source
        elif setting.by_file and setting.name in said:
            source = str(said[setting.name].file)
        try:
            yield Found(setting.name, setting.value(), source, setting.meaning)
        except ConfigurationError as error:
            yield Found(setting.name, settings.text(setting.name), source, setting.meaning, str(error))
    known = [setting.name for setting in SETTINGS]
    for name in sorted(environment):
        if not name.startswith(_PREFIX) or name in known or name in OF_PODS or name.startswith(_OF_OTHERS):
            continue
        yield Found(name, environment[name], "environment", "", f"{name} sets nothing: {meant(name)}")
    by_file = {setting.name for setting in SETTINGS if setting.by_file}
    for name in sorted(set(said) - by_file):
        file, key = said[name].file, settings_files.key_of(name)
        hint = "it has to be in the environment." if name in known else meant(name, as_key=True)
        yield Found(name, said[name].text, str(file), "", f"In {str(file)!r}, {key} sets nothing: {hint}")


def meant(name: str, *, as_key: bool = False) -> str:
    """Say which setting somebody may have meant.

    Args:
        name: of a variable that sets nothing.
        as_key: whether to say its name as in a file.
    """
    near = difflib.get_close_matches(name, [setting.name for setting in SETTINGS], n=1, cutoff=0.8)
    shown = settings_files.key_of(near[0]) if near and as_key else near[0] if near else ""
    return f"is {shown} meant?" if near else "`towpath config` lists what does."


def _home() -> str:
    environment = {key: value for key, value in settings.environment().items() if key != ENV_HISTORY}
    file = history_file(environment)
    assert file is not None
    return str(file.parent)


def _of_environment(name: str, default: str = "") -> Callable[[], str]:
    return lambda: os.environ.get(name, "").strip() or default


def _plain(name: str) -> Callable[[], str]:
    return lambda: settings.text(name)


def _whether(tell: Callable[[], bool]) -> Callable[[], str]:
    return lambda: str(tell()).lower()


def _result_storage() -> str:
    return settings.result_storage() or f"{_home()}/results"


#: What a run's pod is told by the operator.
OF_PODS: Final = frozenset(
    {value for name, value in vars(names).items() if name.startswith("ENV_") and value != names.ENV_NAMESPACE}
    | {"TOWPATH_GRACE_SECONDS", "TOWPATH_TERMINATION_LOG"}
)
SETTINGS: Final = (
    Setting(ENV_HOME, "folder of what Towpath keeps on this machine", _home),
    Setting(ENV_HISTORY, "file in which runs are recorded, or off", lambda: str(history_file() or "off")),
    Setting(ENV_TARGET, "where runs are looked for: local or cluster", target_set),
    Setting(names.ENV_NAMESPACE, "namespace in a cluster, instead of the context's", _plain(names.ENV_NAMESPACE)),
    Setting(
        "KUBECONFIG",
        "files that name clusters, as kubectl reads them",
        _of_environment("KUBECONFIG", "~/.kube/config"),
        False,
    ),
    Setting("TOWPATH_LOG_LEVEL", "least severe lines that are logged", settings.log_level),
    Setting("TOWPATH_LOG_FORMAT", "text for people, json for machines", settings.log_format),
    Setting("TOWPATH_LOG_PRINTS", "whether print goes to the log", _whether(settings.log_prints)),
    Setting(
        "TOWPATH_LOGGING_EXTRA_LOGGERS",
        "other loggers whose lines are shown and kept",
        lambda: ",".join(settings.extra_loggers()),
    ),
    Setting("TOWPATH_PROGRESS", "whether progress is shown at a terminal", _whether(settings.progress)),
    Setting("TOWPATH_MAX_DEPTH", "how deep flows may call flows", lambda: str(settings.max_depth())),
    Setting("TOWPATH_MAX_WORKERS", "tasks that run at once; 0: no limit", lambda: str(settings.max_workers() or 0)),
    Setting(names.ENV_RESULT_STORAGE, "where results are kept: a folder or an fsspec URL", _result_storage),
    Setting("TOWPATH_RESULTS_DEFAULT_SERIALIZER", "how results are written", settings.result_serializer),
    Setting(
        "TOWPATH_RESULTS_PERSIST_BY_DEFAULT",
        "whether results are kept where it is not said",
        _whether(settings.persist_by_default),
    ),
    Setting(
        "TOWPATH_TASKS_REFRESH_CACHE",
        "whether tasks run although there is a kept result",
        _whether(settings.refresh_cache),
    ),
    Setting(
        "TOWPATH_TASKS_DISABLE_CACHING",
        "whether kept results never stand for new ones",
        _whether(settings.disable_caching),
    ),
    Setting(ENV_FOLDER, "folder of secrets, a file each", lambda: str(folder())),
    Setting("NO_COLOR", "no colours, whatever its value", _of_environment("NO_COLOR"), False),
    Setting(ENV_DEBUG, "tracebacks of the command line's own errors", _of_environment(ENV_DEBUG), False),
)
