"""`towpath runs pause`, `resume` and `retry`: have a run wait, go on, and begin anew."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

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

    from towpath.flows import Flow
    from towpath.pausing.port import Begun, Standing


def pause(asked: argparse.Namespace) -> int:
    """Ask a run to wait at its next call of a task or flow."""
    _refuse_cluster(asked, "paused")
    from towpath.pausing.asking import ask

    run = ask(asked.run, is_suspension=asked.suspend)
    what = "suspended" if asked.suspend else "paused"
    if asked.json:
        say_json({"name": run.name, "id": run.id, "asked": what})
    else:
        say(f"{run.name} will be {what} at its next call of a task or flow.")
    return Exit.OK


def resume(asked: argparse.Namespace) -> int:
    """Resume a run."""
    _refuse_cluster(asked, "resumed")
    from towpath.pausing import resuming
    from towpath.pausing.here import pauses
    from towpath.pausing.waiting import waited

    standing = pauses().find(asked.run)
    waits = resuming.the_pause(standing)
    wanted = None if waits is None else waits.wanted
    run_input = given.parameters(asked.param, asked.input_json, wanted, read_text, "--input-json") or None
    resuming.check(standing, waits, run_input)  # wrong input is refused before the flow is loaded
    flow = _loaded(standing) if waits is None or waits.is_suspension else None
    return _go_on(asked, waited(resuming.resume(standing.id, run_input)), flow)


def retry(asked: argparse.Namespace) -> int:
    """Have a run begin anew that ended otherwise than well."""
    if is_cluster(asked):
        return _retry_in_cluster(asked)
    from towpath.pausing import resuming
    from towpath.pausing.here import pauses

    standing = pauses().find(asked.run)
    may_begin = standing.state is StateType.SCHEDULED or (
        standing.state.is_terminal and standing.state is not StateType.COMPLETED
    )
    flow = _loaded(standing) if may_begin else None
    return _go_on(asked, resuming.retry(standing.id), flow)


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
    from towpath.history.place import history_file
    from towpath.pausing.again import load_origin

    history = history_file()
    assert history is not None, "a history that is off has no runs"
    return None if standing.origin is None else load_origin(standing.origin, history)


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
    else:
        say(f"{begun.name} begins anew: its server starts it, or does so when it is there.")
    return Exit.OK


def _run(asked: argparse.Namespace, begun: Begun, flow: Flow[Any, Any]) -> int:
    from towpath.engine.interrupts import Interrupt
    from towpath.pausing.again import run_again
    from towpath.pausing.here import pauses

    interrupt = Interrupt()
    with ended_in_order(interrupt) as was_interrupted:
        ended = run_again(pauses(), begun.run_id, flow, interrupt)
    if ended is None:
        raise PauseError(f"Run {begun.name!r} has begun anew in another process, which was faster.")
    return told(*ended, as_json=asked.json, was_interrupted=was_interrupted())


def _refuse_cluster(asked: argparse.Namespace, done: str) -> None:
    if is_cluster(asked):
        raise PauseError(f"Runs in a cluster cannot be {done} yet; only those of this machine can, with --local.")
