"""The rows that Luigi has something for: tasks whose outputs are in memory, without any record."""

from __future__ import annotations

import itertools
import logging

import luigi
from luigi.mock import MockTarget
from stopwatch import measure

logging.disable(logging.CRITICAL)
fresh = itertools.count()


class Same(luigi.Task):
    number = luigi.IntParameter()

    def output(self):
        return MockTarget(f"same-{self.number}")

    def run(self):
        with self.output().open("w") as file:
            file.write("x")


def calls(times):
    assert luigi.build([Same(number=next(fresh)) for _ in range(times)], local_scheduler=True, log_level="CRITICAL")


def empties(times):
    for _ in range(times):
        calls(1)


if __name__ == "__main__":
    measure({"call": calls, "empty": empties})
