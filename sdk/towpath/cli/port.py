"""What the verbs about runs and deployments ask for; `locally`, `in_cluster` and their siblings answer.

Every call may raise NotFound or NoSuchRun, and in a cluster Refused, Unreachable and Conflict.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from towpath.cli.seen import Deployment, Line, Run, TaskRun
from towpath.states import StateType


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """Which runs are asked for."""

    flow: str | None = None
    states: frozenset[StateType] = frozenset()
    """Empty for any."""
    since: datetime | None = None
    """Created then or later."""
    children: bool = False
    """Whether also those that another run has called."""
    limit: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LogQuery:
    """Which lines of a log are asked for."""

    follow: bool = False
    """Whether to go on until the run has ended."""
    tail: int | None = None
    """Only the last so many of those that there are already."""
    attempt: int | None = None
    """None for the latest, or with `follow` for that and all further ones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """What a deployment's run takes, as far as that can be known before there is one."""

    flow: str
    """Name of the flow."""
    schema: Mapping[str, Any] | None = None
    """JSON Schema of its parameters."""
    preset: Collection[str] = ()
    """Names of the parameters that the deployment gives."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A run that is asked of a deployment."""

    deployment: str
    parameters: Mapping[str, Any]
    at: datetime | None = None
    """Not before."""
    run_name: str | None = None
    tags: frozenset[str] = frozenset()


class Runs(Protocol):
    """The runs of one place."""

    @property
    def place(self) -> str:
        """Where they are, to complete "There are no runs …"."""
        ...

    @property
    def flags(self) -> str:
        """What to type for this place, such as `-n data`; empty if nothing."""
        ...

    def list(self, query: Query) -> Sequence[Run]:
        """Give runs, the newest first."""
        ...

    def get(self, which: str, *, whole: bool = False) -> Run:
        """Give a run, with all that is known of it.

        Args:
            which: its name or id, or the beginning of either if that fits one run only.
            whole: take no beginning.
        """
        ...

    def tree(self, run: Run) -> Sequence[Run]:
        """Give a run and all that are below it."""
        ...

    def tasks(self, run: Run) -> Sequence[TaskRun]:
        """Give the run's task runs, where they are known one by one."""
        ...

    def follow(self, run: Run | None, beat_seconds: float) -> Iterator[Run | None]:
        """Give a run and those below it, then each as it changes, until the run has ended.

        Of None: runs that go on, and those that begin, without an end. None comes out whenever nothing has changed for
        about `beat_seconds`.
        """
        ...

    def logs(self, run: Run, query: LogQuery) -> Iterator[Line]:
        """Give what a run has logged, in order."""
        ...

    def cancel(self, run: Run, *, now: bool = False) -> None:
        """Ask for the end of a run that has not ended, and of all below it.

        Args:
            run: which.
            now: without giving its process time to end in order, where that is possible.
        """
        ...

    def delete(self, run: Run, *, force: bool) -> None:
        """Delete a run with all below it.

        Args:
            run: which.
            force: also if it has not ended, where that is possible.
        """
        ...

    def close(self) -> None:
        """Let go of files and connections."""
        ...


class Deployments(Protocol):
    """The deployments of one place."""

    @property
    def runs(self) -> Runs:
        """The runs of the same place."""
        ...

    @property
    def how_to_make_one(self) -> str:
        """What to do where there is none, in a sentence."""
        ...

    def list(self) -> Sequence[Deployment]:
        """Give all, by name."""
        ...

    def get(self, name: str) -> Deployment:
        """Give one, with all that is known of it.

        Raises:
            NotFound: there is no such deployment; the message says which there are.
        """
        ...

    def pause(self, name: str, paused: bool) -> Deployment:
        """Have its schedules make no runs, or make them again; runs that there are go on.

        Raises:
            NotFound: there is no such deployment; the message says which there are.
            Conflict: nobody would heed it.
        """
        ...

    def takes(self, deployment: str) -> Taken:
        """Tell what a run takes.

        Raises:
            NotFound: there is no such deployment; the message says which there are.
        """
        ...

    def run(self, wanted: Wanted) -> Run:
        """Have a run made."""
        ...
