"""The deployments that are served on this machine (`flow.serve`): the port over the history's book."""

from __future__ import annotations

from collections.abc import Sequence

from towpath.cli.port import Runs, Taken, Wanted
from towpath.cli.seen import Deployment, Run, Schedule
from towpath.deployments import Asked
from towpath.errors import Conflict, NotFound
from towpath.serving.bell import ring
from towpath.serving.book import Book
from towpath.serving.calling import Caller
from towpath.serving.orders import KnownDeployment
from towpath.serving.register import Pause


class LocalDeployments:
    """What is served here, or was.

    Args:
        book: has them.
        caller: reaches who serves them; None if nothing has ever been.
        runs: the runs of this machine.
    """

    how_to_make_one = "`flow.serve(…)` in a script serves one; --cluster lists those of a cluster."

    def __init__(self, book: Book, caller: Caller | None, runs: Runs) -> None:
        self._book, self._caller = book, caller
        self.runs = runs

    def list(self) -> Sequence[Deployment]:
        """Give all that the book knows."""
        return [_deployment(known) for known in self._book.deployments()]

    def get(self, name: str) -> Deployment:
        """Give one."""
        return _deployment(self._known(name))

    def pause(self, name: str, paused: bool) -> Deployment:
        """Tell whoever serves it, who forgets it when it is started anew."""
        known = self._known(name)
        if not known.is_served:
            what = "there is nothing to pause" if paused else "they make runs again when it is"
            raise Conflict(f"Deployment {known.key!r} is not served at present: its schedules make no runs; {what}.")
        self._book.pause([known.key], Pause.YES if paused else Pause.NO)
        ring(self._book.path, known.server)
        return self.get(known.key)

    def takes(self, deployment: str) -> Taken:
        """Look the deployment up; what its flow takes, its server has said."""
        known = self._known(deployment)
        return Taken(flow=known.flow, schema=known.parameter_schema, preset=frozenset(known.parameters))

    def run(self, wanted: Wanted) -> Run:
        """Order a run; whoever serves the deployment starts it."""
        known = self._known(wanted.deployment)
        assert self._caller is not None, "a deployment was found in its book"
        asked = Asked(
            name=known.key,
            parameters=wanted.parameters,
            scheduled_time=wanted.at,
            run_name=wanted.run_name,
            tags=wanted.tags,
            idempotency_key=None,
            job_variables=None,
            as_subflow=False,
            outlives_parent=True,
        )
        return self.runs.get(self._caller.place(asked, known).id, whole=True)

    def _known(self, name: str) -> KnownDeployment:
        known = self._caller.known(name) if self._caller is not None else None
        if known is None:
            there = ", ".join(repr(one.name) for one in self.list())
            have = f"There are {there}." if there else "There are none."
            raise NotFound(f"There is no deployment {name!r} on this machine. {have} --cluster looks in the cluster.")
        return known


def _deployment(known: KnownDeployment) -> Deployment:
    message = "its schedules are paused" if known.is_paused else None
    return Deployment(
        name=known.key,
        flow=known.flow,
        ready=known.is_served,
        message=message if known.is_served else "not served at present: its runs wait",
        parameters=known.parameters,
        tags=tuple(sorted(known.tags)),
        paused=known.is_paused,
        schedules=tuple(Schedule(one.key, one.says, one.active) for one in known.schedules),
        description=known.description,
        version=known.version,
        takes=known.parameter_schema,
    )
