"""Where peers are installed: each in a virtual environment of its own, made once, outside of this checkout."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[3]
#: What is installed. Prefect 3.8 takes a fastapi that its server does not start with, and a SQLAlchemy that its
#: schedules fail with; so both are held below that, within what it declares itself.
REQUIREMENTS: Final[dict[str, tuple[str, ...]]] = {
    "prefect": ("prefect>=3,<4", "fastapi<0.151", "sqlalchemy<2.1"),
    "dbos": ("dbos",),
    "luigi": ("luigi",),
    "dask": ("distributed",),
    "towpath": (str(ROOT),),
}
_NOT_COUNTED: Final = ("pip", "setuptools", "wheel")
_COUNT: Final = f"""
from importlib.metadata import distributions
from pathlib import Path
sizes = {{}}
for one in distributions():
    if one.name.lower() not in {_NOT_COUNTED}:
        paths = (Path(str(file.locate())) for file in one.files or ())
        sizes[one.name.lower()] = sum(path.stat().st_size for path in paths if path.is_file())
print(len(sizes), sum(sizes.values()))
"""


def folder() -> Path:
    """Give the folder of all of them."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "towpath" / "bench-peers"


def python_of(tool: str) -> Path:
    """Give the interpreter of a tool's environment; Towpath's own is this one, as it is being worked on."""
    return Path(sys.executable) if tool in {"towpath", "bare"} else folder() / tool / "bin" / "python"


def make(tool: str) -> None:
    """Install a tool unless that was done; Towpath anew, to see what an installation takes."""
    home = folder() / tool
    done = home / "installed"
    wanted = "\n".join(REQUIREMENTS[tool])
    if tool != "towpath" and done.exists() and done.read_text(encoding="utf-8") == wanted:
        return
    print(f"Installing {tool} into {home} …", flush=True)
    subprocess.run([sys.executable, "-m", "venv", "--clear", home], check=True)
    pip = [home / "bin" / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, *REQUIREMENTS[tool]], check=True)
    done.write_text(wanted, encoding="utf-8")


def installed(tool: str) -> tuple[int, int]:
    """Give how many distributions a tool's environment holds beside pip, and their bytes."""
    told = subprocess.run(
        [folder() / tool / "bin" / "python", "-c", _COUNT], check=True, capture_output=True, text=True
    )
    distributions, size = map(int, told.stdout.split())
    return distributions, size


def version_of(tool: str) -> str:
    """Give the version of a tool."""
    name = "distributed" if tool == "dask" else tool
    code = f"from importlib.metadata import version; print(version({name!r}))"
    told = subprocess.run([folder() / tool / "bin" / "python", "-c", code], check=True, capture_output=True, text=True)
    return told.stdout.strip()
