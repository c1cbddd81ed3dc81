"""How tests are called that try one value after the other."""

from __future__ import annotations

import re


def steady(value: object) -> str:
    """Write a value for a test's name, the same in each process: without the address that a `repr` may have."""
    return re.sub(r" at 0x[0-9a-f]+", "", str(value))
