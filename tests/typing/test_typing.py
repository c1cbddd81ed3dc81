"""The public types, as type checkers see them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CHECKERS = {
    "mypy": ["mypy", "--strict", "--explicit-package-bases", "--warn-unused-ignores", "tests/typing/api.py"],
    "pyright": ["pyright", "--pythonpath", sys.executable, "--project", "tests/typing"],
}


@pytest.mark.timeout(300)
@pytest.mark.parametrize("checker", CHECKERS)
def test_type_checkers_know_results_and_futures(checker: str) -> None:
    """In its strict mode, each infers what `api.py` asserts of calls, futures, maps, methods and decorators, and refuses
    what is wrong."""
    checked = subprocess.run(
        [sys.executable, "-m", *CHECKERS[checker]],
        cwd=ROOT,
        env={**os.environ, "MYPYPATH": str(ROOT / "sdk"), "PYRIGHT_PYTHON_IGNORE_WARNINGS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr
