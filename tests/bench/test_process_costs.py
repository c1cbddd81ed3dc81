"""What Towpath costs a process: its import, a script from start to exit, and what an installation takes."""

from __future__ import annotations

import re
from importlib.metadata import distribution
from pathlib import Path

from tests.bench.budgets import BARE_PROCESS, DISTRIBUTIONS, HELLO, IMPORT, IMPORT_BYTES, INSTALLED_BYTES, LIBRARIES
from tests.bench.measure import against, mebibytes, peak_memory, processes_cpu

import towpath

IMPORTS = "from towpath import flow, task"
#: What any script has to load that logs, and writes states to SQLite.
NEEDED = "import dataclasses, json, logging, pathlib, sqlite3"
SCRIPT = """
from towpath import flow, task

@task
def greet(name: str) -> str:
    return f"Hello {name}!"

@flow(log_prints=True)
def hello(name: str = "world") -> None:
    print(greet(name))

if __name__ == "__main__":
    hello()
"""


def test_the_import_costs_less_than_three_bare_interpreters() -> None:
    """`from towpath import flow, task`: at most 40 ms where a bare interpreter takes 15, and at most 20 MiB in all."""
    bare, ours = processes_cpu(["-c", "pass"], ["-c", IMPORTS])
    memory = peak_memory(IMPORTS)

    costs = {BARE_PROCESS: bare, "import": ours - bare}
    print(against("Import, CPU of the process", {"import": IMPORT}, costs))
    print(f"  memory of the process: {mebibytes(memory)} ≤ {mebibytes(IMPORT_BYTES)}")
    assert ours - bare <= IMPORT.allowed(bare)
    assert memory <= IMPORT_BYTES


def test_a_script_says_hello_within_ten_bare_interpreters(home: Path) -> None:
    """A flow with a task and a log, recorded, from start to exit: ≤ 0.15 s where what it needs of the library takes 60 ms."""
    script = home / "hello.py"
    script.write_text(SCRIPT, encoding="utf-8")
    bare, libraries, ours = processes_cpu(["-c", "pass"], ["-c", NEEDED], [str(script)])

    costs = {BARE_PROCESS: bare, LIBRARIES: libraries, "hello": ours}
    print(against("A script, CPU of the process", {"hello": HELLO}, costs))
    assert ours <= HELLO.allowed(libraries)


def test_an_installation_is_small() -> None:
    """`pip install towpath`: at most 12 distributions and 25 MB, as they lie on this disk."""
    installed = _installed("towpath", {})
    size = sum(installed.values()) + _own_size()

    print(f"\nInstalled: {len(installed)} distributions, {size / 1e6:.1f} MB")
    assert len(installed) <= DISTRIBUTIONS
    assert size <= INSTALLED_BYTES


def _installed(name: str, found: dict[str, int]) -> dict[str, int]:
    """Give the bytes of a distribution, and of all that it needs without any extra."""
    name = name.lower().replace("_", "-")
    if name not in found:
        files = distribution(name).files or []
        found[name] = sum(path.stat().st_size for file in files if (path := Path(str(file.locate()))).is_file())
        for requirement in distribution(name).requires or ():
            needed = re.match(r"[\w.-]+", requirement)
            if needed is not None and ";" not in requirement:  # none of ours needs anything for some systems only
                _installed(needed[0], found)
    return found


def _own_size() -> int:
    """Give the bytes of what the wheel holds, in this checkout an editable installation; each source once compiled."""
    root = Path(towpath.__file__).parents[2]
    packages = [Path(towpath.__file__).parent, root / "operator" / "towpath_operator"]
    return 2 * sum(path.stat().st_size for package in packages for path in package.rglob("*.py"))
