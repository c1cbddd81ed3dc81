"""`towpath run`: runs a flow here and now."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, Final

from towpath.cli import given
from towpath.cli.exits import Exit
from towpath.cli.files import read_text
from towpath.cli.output import note, say, say_json, style_of, value_json, value_text
from towpath.cli.seen import SeenState

if TYPE_CHECKING:
    import argparse

    from towpath.engine.interrupts import Interrupt
    from towpath.flows import Flow
    from towpath.runs import FlowRun
    from towpath.states import State

_WHY: Final[Mapping[int, str]] = {
    signal.SIGTERM: "The process was told to stop (SIGTERM).",
    signal.SIGINT: "The run was interrupted from the keyboard.",
}


def run(asked: argparse.Namespace) -> int:
    """Run a flow to its end."""
    from towpath.context import tags
    from towpath.engine.clock import SYSTEM
    from towpath.engine.drive import run_flow
    from towpath.engine.interrupts import Interrupt
    from towpath.origins import origin_of
    from towpath.runs import FlowRun

    flow = load(asked.flow)
    parameters = given.parameters(asked.param, asked.params_json, schema_for(flow, asked.param), read_text)
    flow.validate_parameters(parameters)  # before there is a run: a typing mistake leaves no trace
    interrupt = Interrupt()
    with tags(*asked.tag) as all_tags, ended_in_order(interrupt) as was_interrupted:
        facts = FlowRun(
            flow.name,
            name=asked.name or "",
            flow_version=flow.version,
            tags=frozenset(all_tags),
            origin=origin_of(flow),
        )
        state = run_flow(
            flow, parameters, run=facts, interrupt=interrupt, recorder=SYSTEM.recorder, screen=SYSTEM.screen
        )
    return told(facts, state, as_json=asked.json, was_interrupted=was_interrupted())


def told(run: FlowRun, state: State[Any], *, as_json: bool, was_interrupted: bool) -> Exit:
    """Print how a run ended that this command ran; gives the exit code."""
    _report(run, state, as_json=as_json)
    if state.is_completed():
        return Exit.OK
    if state.is_paused():
        return Exit.SUSPENDED
    return Exit.INTERRUPTED if was_interrupted else Exit.NOT_COMPLETED


def load(entrypoint: str) -> Flow[Any, Any]:
    """Load a flow; as with `python FILE` and `python -m MODULE`, the working directory can be imported from."""
    from towpath.entrypoints import load_flow

    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    return load_flow(entrypoint)


def schema_for(flow: Flow[Any, Any], pairs: list[str]) -> dict[str, Any] | None:
    """Describe what a flow takes, if texts have to be read by it: pydantic is not loaded for nothing."""
    return flow.parameter_schema() if pairs else None


@contextmanager
def ended_in_order(interrupt: Interrupt) -> Iterator[Callable[[], bool]]:
    """End the run in order on SIGTERM and Ctrl-C: `finally` blocks and hooks do their work, and the record says why.

    A second signal does what it always did, and one that is ignored stays so (`nohup`, `&`). Gives what tells whether
    it was Ctrl-C.
    """
    from towpath.engine.wakeups import heard

    before = {number: handler for number in _WHY if (handler := signal.getsignal(number)) != signal.SIG_IGN}
    received: list[int] = []

    def end(number: int, frame: FrameType | None) -> None:
        del frame
        received.append(number)
        signal.signal(number, before[number])
        interrupt.end(_WHY[number])

    def end_blocked(number: int) -> None:
        if number in before:
            interrupt.end(_WHY[number])

    for number in before:
        signal.signal(number, end)
    try:
        with heard(end_blocked):
            yield lambda: signal.SIGINT in received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _report(run: FlowRun, state: State[Any], *, as_json: bool) -> None:
    value = state.data if state.is_completed() else None
    if as_json:
        seen = SeenState(state.type, state.name, None, state.message, run.end_time)
        took = run.total_run_time.total_seconds()
        facts = {"name": run.name, "id": run.id, "flow": run.flow_name, "state": seen, "seconds": took}
        say_json(facts | {"result": value_json(value)})
        return
    if value is not None:
        say(value_text(value))
    if not state.is_completed() and sys.stderr.isatty():
        shown = style_of(sys.stderr).state(SeenState(state.type, state.name))
        note(f"{shown}  {run.name}: towpath runs inspect {run.name}")
