"""`towpath version`."""

from __future__ import annotations

import platform
import sys
from typing import TYPE_CHECKING

from towpath import __version__, names
from towpath.cli.exits import Exit
from towpath.cli.output import say, say_json

if TYPE_CHECKING:
    import argparse


def show(asked: argparse.Namespace) -> int:
    """Print versions."""
    python = f"{platform.python_implementation()} {platform.python_version()}"
    if asked.json:
        say_json({"towpath": __version__, "resources": names.API_VERSION, "python": python, "platform": sys.platform})
    else:
        say(f"Towpath {__version__}, resources {names.API_VERSION}, {python} on {sys.platform}")
    return Exit.OK
