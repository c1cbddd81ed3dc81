"""The limits: what each row writes or hands over in any case, by hand."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from stopwatch import measure
from tests.bench import bare


def spawns(times):
    for _ in range(times):
        subprocess.run([sys.executable, "-c", "pass"], check=True)


if __name__ == "__main__":
    folder = Path(os.environ["BENCH_FOLDER"])
    files = bare.Pickles(folder)
    files.write(2)
    batched = bare.rows(folder / "batched.db", own_transactions=False)
    own = bare.rows(folder / "own.db", own_transactions=True)
    measure(
        {
            "call": batched,
            "submit": bare.pool,
            "map": bare.pool,
            "memory": bare.pool,
            "await": batched,
            "empty": own,
            "subflow": own,
            "hit": lambda times: [files.read(2) for _ in range(times // 2)],
            "kept": files.write,
            "there": spawns,
        }
    )
