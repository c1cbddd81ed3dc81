"""A flow run whose result is kept."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final, TypeVar

from towpath.caching import Uncacheable, key_of
from towpath.context import current
from towpath.engine import core
from towpath.engine.effects import Concluded, Ending, Event, Returned
from towpath.engine.execution import persists_in
from towpath.engine.flow_execution import FlowExecution
from towpath.engine.keeping import RUNS, KeptState, say, store_in
from towpath.engine.steps import Steps, settled, settled_async
from towpath.errors import StorageError, UnreadableRecord
from towpath.results import ResultStore
from towpath.states import CACHED, StateType

T = TypeVar("T")
#: Where in the storage results of flows go that another flow has called in its process.
CALLS: Final = "calls"


class KeptFlowExecution(FlowExecution):
    """A flow run that keeps its result, by its id; one that was called by a flow finds it when that is tried again."""

    __slots__ = ("_is_again",)

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        outer = current()
        parent = None if outer is None else outer.flow_run
        self._is_again = parent is not None and self.run.parent_id is not None and parent.run_count + parent.attempt > 2

    def call(self) -> Event:
        """Give the kept result if there is one; else call user code and keep what it returns."""
        found = settled(self._found(in_loop=False))
        return found or settled(self._kept(super().call(), in_loop=False))

    async def call_async(self) -> Event:
        """Give the kept result if there is one; else call user code and keep what it returns."""
        found = await settled_async(self._found(in_loop=True))
        return found or await settled_async(self._kept(await super().call_async(), in_loop=True))

    def _found(self, *, in_loop: bool) -> Steps[Concluded | None]:
        """Give the end that this call had when the flow that calls was tried before; None if it had none."""
        if not self._is_again or not self._persists:
            return None
        key, store = self._key(), store_in(self.context)
        try:
            record = yield from _do(store, lambda: store.find(key), in_loop=in_loop)
            if record is None:
                return None
            ending = core.end_of(self.plan, Returned(record.result))
        except (StorageError, UnreadableRecord) as error:
            say(self.context, f"The result kept under {key!r} cannot be used, so the flow runs: {error}")
            return None
        ending.state.name = CACHED
        ending.state.message = f"The result was kept under {key!r}."
        return Concluded(self._without_value(ending, store, key))

    def _kept(self, event: Event, *, in_loop: bool) -> Steps[Event]:
        ending = core.end_of(self.plan, event)
        if not isinstance(event, Returned) or ending.state.type is not StateType.COMPLETED:
            return event
        if not self._persists:
            return Concluded(self._without_value(ending, None, None))
        try:
            key, store = self._key(), store_in(self.context)
            packed = store.pack(event.value, key, source=self.run.name)
            yield from _do(store, lambda: store.put(packed), in_loop=in_loop)
        except Exception as error:
            ending.state.message = f"The result could not be kept. {error}"
            say(self.context, f"The result could not be kept, so it cannot be used again. {error}")
            return Concluded(ending)
        return Concluded(self._without_value(ending, store, key))

    @property
    def _persists(self) -> bool:
        return persists_in(self.definition, self.context)

    def _key(self) -> str:
        if self.run.parent_id is not None:
            try:
                return f"{CALLS}/{key_of(self.run.identity, dict(self.run.parameters))}"
            except Uncacheable:
                self._is_again = False
        return f"{RUNS}/{self.run.id}"

    def _without_value(self, ending: Ending, store: ResultStore | None, key: str | None) -> Ending:
        """Let go of the value, if the author wants that; a call that waits for it still gets it."""
        if self.definition.cache_result_in_memory:
            return ending
        return replace(ending, state=KeptState(ending.state, store, key, self.run.name))


def _do(store: ResultStore, work: Callable[[], T], *, in_loop: bool) -> Steps[T]:
    """Do what takes time: here, or in a thread where that would hold up an event loop."""
    if in_loop and not store.is_near:
        import asyncio

        done: T = yield asyncio.to_thread(work)
        return done
    return work()
