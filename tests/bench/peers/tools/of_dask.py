"""The rows that Dask has something for: one worker process with two threads, without any record."""

from __future__ import annotations

import time

import psutil
from distributed import Client, LocalCluster
from stopwatch import measure


def same(x):
    return x


def cpu():
    """Give the CPU seconds of this process and of its workers."""
    spent = time.process_time()
    for child in psutil.Process().children(recursive=True):
        used = child.cpu_times()
        spent += used.user + used.system
    return spent


if __name__ == "__main__":
    with (
        LocalCluster(n_workers=1, threads_per_worker=2, dashboard_address=None, host="127.0.0.1") as cluster,
        Client(cluster) as client,
    ):

        def calls(times):
            for number in range(times):
                client.submit(same, number, pure=False).result()

        def submits(times):
            for future in [client.submit(same, number, pure=False) for number in range(times)]:
                future.result()

        def maps(times):
            client.gather(client.map(same, range(times), pure=False))

        measure({"call": calls, "submit": submits, "map": maps, "memory": maps}, cpu)
