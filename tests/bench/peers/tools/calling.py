"""Has the flow of `serving` run, time after time; prints how long the way there and the way back took."""

from __future__ import annotations

import json
import os
import sys
import time
from importlib import import_module
from pathlib import Path

run_deployment = import_module(f"{os.environ['BENCH_TOOL']}.deployments").run_deployment

if __name__ == "__main__":
    folder, times, poll_interval = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
    there, back = [], []
    for _ in range(times):
        called = time.time()
        run = run_deployment("clock/c", poll_interval=poll_interval)
        came = time.time()
        assert run.state.is_completed(), run.state
        began, ended = map(float, Path(folder, "clock").read_text(encoding="ascii").split())
        there.append(began - called)
        back.append(came - ended)
    print(json.dumps({"there": there, "back": back}))
