"""Where a run's flow came from, so that another process can start the run again: its file and name, and what was round.

    {"entrypoint": "/home/ada/etl.py:etl", "folder": "/home/ada", "path": ["/home/ada", …]}

Noted of every run that nobody has called, so it costs microseconds and loads nothing.
"""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import ModuleType

    from towpath.flows import Flow


def origin_of(flow: Flow[Any, Any]) -> str | None:
    """Tell where a flow comes from, as a JSON object; None if no other process could load it as it is.

    That is so if it is local to a function, was typed into an interactive session, or has options of its own and no
    name in its module: `etl.with_options(retries=2)()`.
    """
    function = flow.fn
    module = sys.modules.get(getattr(function, "__module__", None) or "")
    file = getattr(module, "__file__", None)
    if module is None or not file or not file.endswith(".py"):
        return None
    name = _name_in(module, flow, getattr(function, "__qualname__", ""))
    if name is None:
        return None
    try:
        folder = os.getcwd()  # noqa: PTH109 pathlib would have to be loaded
    except FileNotFoundError:
        return None
    entrypoint = f"{os.path.join(folder, file)}:{name}"  # noqa: PTH118
    return json.dumps({"entrypoint": entrypoint, "folder": folder, "path": [entry or folder for entry in sys.path]})


def _name_in(module: ModuleType, flow: Flow[Any, Any], qualname: str) -> str | None:
    found: Any = module
    for part in qualname.split("."):
        found = getattr(found, part, None)
    if found is flow:
        return qualname
    return next((name for name, value in vars(module).items() if value is flow), None)
