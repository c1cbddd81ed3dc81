"""A server without time or processes: the test says what time it is, and what becomes of each process."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from towpath import flow
from towpath.api.v1alpha1 import transitions
from towpath.runs import FlowRun
from towpath.schedules import Schedule
from towpath.serving.book import Book
from towpath.serving.deployment import ServedDeployment
from towpath.serving.orders import Order, TakenOrder
from towpath.serving.place import Place
from towpath.serving.server import Server
from towpath.slugs import new_id, slug
from towpath.states import State, StateType

START = datetime(2026, 1, 5, 12, tzinfo=UTC)
GRACE_SECONDS = 10.0


@flow
def etl(day: int = 0) -> int:
    """Give the day."""
    return day


@flow
def report() -> None:
    """Report."""


def deployment(*schedules: Schedule, name: str = "nightly", **options: Any) -> ServedDeployment:
    """Build a deployment of `etl`."""
    of = options.pop("flow", etl)
    return ServedDeployment(name=name, flow=of, place=Place(f"flows:{of.name}", ()), schedules=schedules, **options)


class FakeAlive:
    """Which processes are alive is what the test says."""

    def __init__(self) -> None:
        self._tokens = itertools.count(1)
        self._alive: set[int] = set()

    def announce(self) -> int:
        """Give a token of a process that is alive."""
        token = next(self._tokens)
        self._alive.add(token)
        return token

    def end(self, token: int) -> None:
        """End a process."""
        self._alive.discard(token)

    def is_alive(self, token: int) -> bool:
        """Tell whether a process is alive."""
        return token in self._alive


@dataclass
class FakeChild:
    """A process that does what the test says."""

    book: Book
    alive: FakeAlive
    place: Place
    pid: int
    token: int
    exit_code: int | None = None
    taken: TakenOrder | None = None
    begun: list[str] = field(default_factory=list)
    stopped: int = 0
    killed: int = 0
    dismissed: bool = False

    def begin(self, run_id: str) -> bool:
        """Take the run, as a process does."""
        if self.exit_code is not None:
            return False
        self.begun.append(run_id)
        self.taken = self.book.take(run_id, self.token, self.pid)
        if self.taken is None:
            self.exit(0)
        return True

    def finish(self, type_: StateType = StateType.COMPLETED) -> None:
        """Tell an end, and exit."""
        assert self.taken is not None
        told = transitions.state(type_, START)
        self.book.tell(self.taken.run_id, {"state": told, "result": {"serializer": "json", "inline": "1"}})
        self.exit(0)

    def exit(self, code: int) -> None:
        """End, without a word."""
        self.exit_code = code
        self.alive.end(self.token)

    def dismiss(self) -> None:
        """End, if it has nothing to do."""
        self.dismissed = True
        if not self.begun:
            self.exit(0)

    def stop(self) -> None:
        """Count."""
        self.stopped += 1

    def kill(self) -> None:
        """End at once."""
        self.killed += 1
        if self.exit_code is None:
            self.exit(-9)


class FakeProcesses:
    """Starts fake children."""

    def __init__(self, book: Book, alive: FakeAlive) -> None:
        self.book, self.alive = book, alive
        self.children: list[FakeChild] = []
        self.none_left = False

    def start(self, deployment: ServedDeployment) -> FakeChild:
        """Start one."""
        if self.none_left:
            raise BlockingIOError("Resource temporarily unavailable")
        child = FakeChild(self.book, self.alive, deployment.place, 1000 + len(self.children), self.alive.announce())
        self.children.append(child)
        return child

    @property
    def taken(self) -> list[TakenOrder]:
        """All orders that were taken."""
        return [child.taken for child in self.children if child.taken is not None]

    @property
    def running(self) -> list[FakeChild]:
        """Processes that work on a run."""
        return [child for child in self.children if child.taken is not None and child.exit_code is None]


class Scene:
    """A server over a book of its own; time passes when the test says so.

    Args:
        path: of the history file.
        deployments: what is served.
        limit: how many runs go on at once.
    """

    def __init__(self, path: Path, *deployments: ServedDeployment, limit: int | None = None) -> None:
        self.path, self.deployments, self.limit = path, deployments, limit
        self.now = START
        self.moment = 0.0
        self.book = Book(path)
        self.alive = FakeAlive()
        self.book.alive = self.alive  # type: ignore[assignment]
        self.others = Book(path)
        """The book as other processes have it open."""
        self.others.alive = self.alive  # type: ignore[assignment]
        self.processes = FakeProcesses(self.others, self.alive)
        self.server, self.token = self.another()

    def another(self) -> tuple[Server, int]:
        """Start a server, and give it with the token of its process."""
        token = self.alive.announce()
        server = Server(
            self.deployments,
            self.book,
            self.processes,
            token,
            limit=self.limit,
            grace_seconds=GRACE_SECONDS,
            monotonic=lambda: self.moment,
        )
        server.open(self.now)
        return server, token

    def kill(self) -> None:
        """Kill the server: what waits for it to say something goes as well, runs go on."""
        self.alive.end(self.token)
        for child in self.processes.children:
            if not child.begun and child.exit_code is None:
                child.exit(0)

    def restart(self) -> None:
        """Kill the server, and start it again."""
        self.kill()
        self.server, self.token = self.another()

    def turn(self) -> float:
        """Let the server do what is to be done now."""
        return self.server.turn(self.now)

    def jump(self, seconds: float) -> None:
        """Let time pass in which nobody serves, and then a turn."""
        self.now += timedelta(seconds=seconds)
        self.moment += seconds
        self.turn()

    def wait(self, seconds: float) -> None:
        """Let time pass, with a turn whenever the server wants one."""
        end = self.moment + seconds
        while self.moment < end:
            step = min(max(self.turn(), 0.001), end - self.moment)
            self.now += timedelta(seconds=step)
            self.moment += step
        self.turn()

    def ask(self, *, key: str = "etl/nightly", parent: str | None = None, **options: Any) -> str:
        """Order a run, as `run_deployment` does; give its id."""
        run = FlowRun("etl", name=slug(), parameters={}, deployment="nightly", parent_id=parent)
        order = Order(run=run, deployment=key, identity=f"order {new_id()}", due=self.now)
        return self.others.enter(key, [replace(order, **options)], self.now)[0]

    def close(self) -> None:
        """Close the book."""
        self.book.close()
        self.others.close()

    def state(self, run_id: str) -> State[Any]:
        """Give the state of a run, as the history has it."""
        state = self.book.state_of(run_id)
        assert state is not None
        return state

    def end(self, run_id: str) -> str | None:
        """Give the type of a run's outcome, if it has one."""
        outcome = self.book.outcomes([run_id]).get(run_id)
        return None if outcome is None else outcome["state"]["type"]

    def due(self) -> list[float]:
        """Give the times for which runs were taken, in seconds since the scene began."""
        return sorted((taken.due - START).total_seconds() for taken in self.processes.taken)
