"""Rehearsing a flow: its own code runs, and each task or flow that it calls is a step in a sketch instead."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from towpath.definitions import HOOKS
from towpath.engine.clock import SYSTEM
from towpath.engine.drive import drive, drive_async
from towpath.engine.flow_execution import FlowExecution
from towpath.engine.loops import run_anywhere
from towpath.engine.ports import Surroundings
from towpath.engine.task_execution import TaskExecution
from towpath.errors import ParameterError
from towpath.logging import disable_run_logger
from towpath.runs import FlowRun
from towpath.sketches import Sketch
from towpath.tasks import Task

if TYPE_CHECKING:
    from towpath.definitions import Definition
    from towpath.flows import Flow


def rehearse(flow: Flow[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Sketch:
    """Sketch a flow. Nothing is recorded, logged, retried or kept, and no hook is called.

    Args:
        flow: what to sketch.
        args: the flow's own.
        kwargs: the flow's own, by name.

    Raises:
        ParameterError: they do not fit.
        BaseException: what the flow's code raised, which may not know what to do with a stand-in.
    """
    bare = {"retries": 0, "timeout_seconds": None, "task_runner": None, "persist_result": False}
    plain = flow.with_changes({**bare, **dict.fromkeys(HOOKS)})
    surroundings = Surroundings(SYSTEM.clock, SYSTEM.dice)
    run = FlowExecution(plain, FlowRun(flow.name), plain.signature.bind, surroundings, None)
    run.args, run.kwargs = args, kwargs
    run.context.rehearsal = rehearsal = Rehearsal()
    with disable_run_logger():
        ending = run_anywhere(drive_async(run)) if flow.is_async else drive(run)
    if ending.error is not None:
        if not isinstance(ending.error, ParameterError):
            ending.error.add_note(
                "This was raised while the flow was sketched, which runs its code with stand-ins for the values of its"
                " tasks. Where it needs a value to go on, say which: @task(viz_return_value=[1, 2, 3])."
            )
        raise ending.error
    return rehearsal.sketch


class Rehearsal:
    """Makes steps of a sketch of what a flow calls."""

    def __init__(self) -> None:
        self.sketch = Sketch()

    def execution(
        self, definition: Definition[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], wait_for: Any
    ) -> TaskExecution:
        """Give what runs instead of a task or flow: a task that waits for the same, and is noted."""

        def step(arguments: Any) -> Any:
            return self.sketch.join(noted, arguments)

        async def step_async(arguments: Any) -> Any:
            return step(arguments)

        stand_in: Task[..., Any] = Task(step_async if definition.is_async else step, name=definition.name)
        execution = TaskExecution(stand_in, ([args, kwargs, wait_for],), {}, None)
        noted = self.sketch.add(execution.run.name, getattr(definition, "viz_return_value", None))
        return execution
