"""Where the history is kept.

TOWPATH_HISTORY    the SQLite file itself, or `off` for none                  history.db in TOWPATH_HOME
TOWPATH_HOME       folder of what Towpath keeps for this user                 towpath in XDG_STATE_HOME
XDG_STATE_HOME     folder of what programs keep for this user                 ~/.local/state
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from towpath import settings

ENV_HISTORY: Final = "TOWPATH_HISTORY"
ENV_HOME: Final = "TOWPATH_HOME"
FILE_NAME: Final = "history.db"
_OFF: Final = frozenset({"off", "false", "no", "0"})


def history_file(environment: Mapping[str, str] | None = None) -> Path | None:
    """Give the file that runs are recorded in, as an absolute path; None if the history is switched off.

    Raises:
        OSError: the setting is a relative path, and the working directory is gone.
    """
    environment = settings.environment() if environment is None else environment
    told = environment.get(ENV_HISTORY, "").strip()
    if told.lower() in _OFF:
        return None
    if told:
        return Path(os.path.expanduser(told)).absolute()  # noqa: PTH111 unlike Path's, it never raises
    return home_folder(environment) / FILE_NAME


def home_folder(environment: Mapping[str, str] | None = None) -> Path:
    """Give the folder of what Towpath keeps for this user.

    Raises:
        OSError: the setting is a relative path, and the working directory is gone.
    """
    environment = settings.environment() if environment is None else environment
    if told := environment.get(ENV_HOME, "").strip():
        return Path(os.path.expanduser(told)).absolute()  # noqa: PTH111
    state = environment.get("XDG_STATE_HOME", "")
    if not os.path.isabs(state):  # noqa: PTH117 a relative one does not count, says the XDG specification
        state = os.path.expanduser("~/.local/state")  # noqa: PTH111
    return Path(state) / "towpath"
