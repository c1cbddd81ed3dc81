"""What each thing may cost, and what the machine needs, at the same moment, for something known that it is held to.

A budget of 100 µs was set where writing three rows took 28; elsewhere, and on a busy day, it is 100/28 of what three
rows take there and then.
"""

from __future__ import annotations

from typing import Final, NamedTuple

BARE_PROCESS: Final = "python -c pass"
LIBRARIES: Final = "a process that can log and write SQLite"
POD_LIBRARIES: Final = "a process that loads httpx and pydantic"
THREE_ROWS: Final = "three SQLite rows, batched"
OWN_ROWS: Final = "three SQLite rows, each its own transaction"
ROWS_AND_READ: Final = "three SQLite rows, and a pickle file read"
ROWS_AND_WRITTEN: Final = "three SQLite rows, and a pickle file written and renamed"


class Budget(NamedTuple):
    """What something may cost.

    Args:
        what: the thing.
        seconds: what it may take where the budget was set.
        unit: what it is measured beside.
        unit_seconds: what that took where the budget was set.
    """

    what: str
    seconds: float
    unit: str
    unit_seconds: float

    def allowed(self, unit: float) -> float:
        """Give the seconds that it may take where its unit takes so many."""
        return self.seconds / self.unit_seconds * unit


IMPORT: Final = Budget("from towpath import flow, task: over bare", 0.040, BARE_PROCESS, 0.015)
HELLO: Final = Budget("hello-world flow, whole process", 0.150, LIBRARIES, 0.060)
RECORD: Final = Budget("a task's three states, recorded", 40e-6, THREE_ROWS, 28e-6)
CALL: Final = Budget("task call, recorded", 100e-6, THREE_ROWS, 28e-6)
SUBMIT: Final = Budget("task submit and result, recorded", 200e-6, THREE_ROWS, 28e-6)
MAP: Final = Budget("mapped task, recorded", 200e-6, THREE_ROWS, 28e-6)
AWAIT: Final = Budget("async task awaited, recorded", 150e-6, THREE_ROWS, 28e-6)
EMPTY_FLOW: Final = Budget("empty flow at the top, wall", 0.003, OWN_ROWS, 150e-6)
SUBFLOW: Final = Budget("flow in a flow, in process, wall", 0.002, OWN_ROWS, 150e-6)
POD: Final = Budget("python -m towpath.engine, empty flow", 0.5, POD_LIBRARIES, 0.3)
CACHE_HIT: Final = Budget("cache hit", 200e-6, ROWS_AND_READ, 38e-6)
RESULT_KEPT: Final = Budget("result kept", 300e-6, ROWS_AND_WRITTEN, 68e-6)
FIRST_LINE: Final = Budget("run_deployment → first line of the run, wall", 0.4, BARE_PROCESS, 0.015)
BACK: Final = Budget("last line of the run → the caller has it, wall", 0.05, BARE_PROCESS, 0.015)
LATENESS: Final = Budget("lateness of scheduled runs, 95th percentile", 0.1, BARE_PROCESS, 0.015)

IMPORT_BYTES: Final = 20 * 2**20
MAP_BYTES: Final = 40 * 2**20
DISTRIBUTIONS: Final = 12
INSTALLED_BYTES: Final = 25_000_000
