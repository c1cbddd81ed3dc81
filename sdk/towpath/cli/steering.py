"""`towpath runs pause`, `resume` and `retry`: have a run wait, go on, and begin anew."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from towpath.cli import given
from towpath.cli.exits import Exit
from towpath.cli.files import read_text
from towpath.cli.output import say, say_json
from towpath.cli.running import ended_in_order, told
from towpath.cli.target import cluster_meant, flags_for, is_cluster
from towpath.errors import PauseError
from towpath.states import StateType

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from towpath.flows import Flow
    from towpath.pausing.port import Begun, Standing, Steering

_NOT_BEGUN: Final = frozenset({StateType.SCHEDULED, StateType.PENDING})


def pause(asked: argparse.Namespace) -> int:
    """Ask a run to wait at its next call of a task or flow."""
    from towpath.pausing.asking import ask

    with _steering(asked) as book:
        run = ask(asked.run, is_suspension=asked.suspend, book=book)
    what = "suspended" if asked.suspend else "paused"
    if asked.json:
        say_json({"name": run.name, "id": run.id, "asked": what})
    elif asked.suspend and run.state in _NOT_BEGUN:
        say(f"{run.name} does not begin until it is resumed.")
    else:
        say(f"{run.name} will be {what} at its next call of a task or flow.")
    return Exit.OK


def resume(asked: argparse.Namespace) -> int:
    """Resume a run."""
    from towpath.pausing import resuming
    from towpath.pausing.waiting import waited

    with _steering(asked) as book:
        standing = book.find(asked.run)
        waits = resuming.the_pause(standing)
        wanted = None if waits is None else waits.wanted
        run_input = given.parameters(asked.param, asked.input_json, wanted, read_text, "--input-json") or None
        resuming.check(standing, waits, run_input)  # wrong input is refused before the flow is loaded
        flow = _loaded(standing) if waits is None or waits.is_suspension else None
        return _go_on(asked, waited(resuming.resume(standing.id, run_input, book)), flow)


def retry(asked: argparse.Namespace) -> int:
    """Have a run begin anew that ended otherwise than well."""
    if is_cluster(asked):
        return _retry_in_cluster(asked)
    from towpath.pausing import resuming
    from towpath.pausing.here import local_pauses

    standing = local_pauses().find(asked.run)
    may_begin = standing.state is StateType.SCHEDULED or (
        standing.state.is_terminal and standing.state is not StateType.COMPLETED
    )
    flow = _loaded(standing) if may_begin else None
    return _go_on(asked, resuming.retry(standing.id, local_pauses()), flow)


def _retry_in_cluster(asked: argparse.Namespace) -> int:
    from towpath.cli.in_cluster import ClusterRuns

    with cluster_meant(asked) as (cluster, console):
        runs = ClusterRuns(cluster, console, flags_for(asked))
        run = runs.get(asked.run)
        runs.retry(run)
        if asked.json:
            say_json(runs.get(run.name, whole=True))
        else:
            say(f"{run.name} is tried again, attempt {(run.attempt or 0) + 1}.")
    return Exit.OK


def _loaded(standing: Standing) -> Flow[Any, Any] | None:
    """Load the flow of a run that is to begin anew here, before that is decided: if it fails, nothing has changed."""
    if standing.origin is None:
        return None
    from towpath.history.place import history_file
    from towpath.pausing.again import load_origin

    history = history_file()
    assert history is not None, "a history that is off has no runs"
    return load_origin(standing.origin, history)


def _go_on(asked: argparse.Namespace, begun: Begun, flow: Flow[Any, Any] | None) -> int:
    """Say what becomes of a run; one that nobody else starts is run here, to its end."""
    from towpath.pausing.port import Next

    if begun.then is Next.TO_BE_STARTED:
        assert flow is not None
        return _run(asked, begun, flow)
    if asked.json:
        say_json({"name": begun.name, "id": begun.run_id, "then": begun.then.value})
    elif begun.then is Next.GOES_ON:
        say(f"{begun.name} goes on.")
    elif is_cluster(asked):
        say(f"{begun.name} begins, with what it has kept: the operator starts it.")
    else:
        say(f"{begun.name} begins anew: its server starts it, or does so when it is there.")
    return Exit.OK


def _run(asked: argparse.Namespace, begun: Begun, flow: Flow[Any, Any]) -> int:
    from towpath.engine.interrupts import Interrupt
    from towpath.pausing.again import run_again
    from towpath.pausing.here import local_pauses

    interrupt = Interrupt()
    with ended_in_order(interrupt) as was_interrupted:
        ended = run_again(local_pauses(), begun.run_id, flow, interrupt)
    if ended is None:
        raise PauseError(f"Run {begun.name!r} has begun anew in another process, which was faster.")
    return told(*ended, as_json=asked.json, was_interrupted=was_interrupted())


@contextmanager
def _steering(asked: argparse.Namespace) -> Iterator[Steering]:
    """Open the place whose runs are meant, for who has them wait and go on."""
    if not is_cluster(asked):
        from towpath.pausing.here import local_pauses

        yield local_pauses()
        return
    with cluster_meant(asked) as (cluster, console):
        from towpath.cluster.steering import ClusterSteering

        yield ClusterSteering(cluster, console)
