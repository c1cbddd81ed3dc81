"""Serves both flows of `of_flows` until it is told to stop: one on demand, one every so many seconds."""

from __future__ import annotations

import sys
from datetime import timedelta

from of_flows import clock, tick, tool

if __name__ == "__main__":
    folder, seconds = sys.argv[1], int(sys.argv[2])
    deployments = [clock.to_deployment("c", parameters={"folder": folder})]
    if seconds:
        every = timedelta(seconds=seconds)
        deployments.append(tick.to_deployment("t", interval=every, parameters={"folder": folder}))
    tool.serve(*deployments)
