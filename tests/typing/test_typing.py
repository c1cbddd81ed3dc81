"""The public types, as mypy sees them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.timeout(300)
def test_type_checkers_know_results_and_futures() -> None:
    """mypy, strict, infers what `api.py` asserts of calls, futures, maps, methods and decorators, and refuses what is wrong."""
    checked = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--explicit-package-bases", "tests/typing/api.py"],
        cwd=ROOT,
        env={**os.environ, "MYPYPATH": str(ROOT / "sdk")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr
