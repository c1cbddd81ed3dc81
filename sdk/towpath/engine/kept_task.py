"""A task run whose result is kept, or that is part of a transaction."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from towpath import settings
from towpath.context import current, current_transaction, enter_transaction, leave_transaction
from towpath.engine import core
from towpath.engine.effects import Concluded, Ending, Enter, Event, Raised, Returned
from towpath.engine.execution import persists_in
from towpath.engine.keeping import NOT_KEPT, KeptState, keeping_of, store_in
from towpath.engine.steps import Steps, settled, settled_async
from towpath.engine.task_execution import TaskExecution
from towpath.errors import ConfigurationError
from towpath.states import CACHED, ROLLED_BACK, TERMINAL, State, StateType
from towpath.transactions import AsyncTransaction, BaseTransaction, Transaction

if TYPE_CHECKING:
    from towpath.tasks import Task


class KeptTaskExecution(TaskExecution):
    """A task run that is a transaction of its own, within the one that it is called in."""

    __slots__ = ("_keeping", "_outer")

    def __init__(
        self, task: Task[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], wait_for: Any, **more: Any
    ) -> None:
        super().__init__(task, args, kwargs, wait_for, **more)
        outer = current()
        self.context.persists = persists_in(task, outer)
        if outer is not None and outer.results is None and self.context.persists:
            with suppress(ConfigurationError):  # the run will come upon it, and tell it as its own
                outer.results = store_in(self.context)
        self._outer = current_transaction()
        self._keeping = NOT_KEPT

    def call(self) -> Event:
        """Give the kept result if there is one; else call user code and keep what it returns."""
        try:
            transaction = self._made(Transaction)
            if (found := settled(self._found(transaction))) is not None:
                return found
        except Exception as error:
            return Raised(error, unfit=isinstance(error, ConfigurationError))
        try:
            token = enter_transaction(transaction)
            try:
                event = super().call()
            finally:
                leave_transaction(token)
            return settled(self._kept(transaction, event))
        except BaseException:
            settled(transaction.rollback_steps())
            raise

    async def call_async(self) -> Event:
        """Give the kept result if there is one; else call user code and keep what it returns."""
        try:
            transaction = self._made(AsyncTransaction)
            if (found := await settled_async(self._found(transaction))) is not None:
                return found
        except Exception as error:
            return Raised(error, unfit=isinstance(error, ConfigurationError))
        try:
            token = enter_transaction(transaction)
            try:
                event = await super().call_async()
            finally:
                leave_transaction(token)
            return await settled_async(self._kept(transaction, event))
        except BaseException:
            await settled_async(transaction.rollback_steps())
            raise

    def enter(self, effect: Enter) -> None:
        """Put the run into a state; a block that it failed in has failed too."""
        super().enter(effect)
        type_ = effect.state.type
        if self._outer is not None and type_ in TERMINAL and type_ is not StateType.COMPLETED:
            settled(self._outer.part_failed_steps())

    def _made(self, kind: type[BaseTransaction]) -> BaseTransaction:
        """Make the transaction of a try."""
        task = self.definition
        keeping = self._keeping = keeping_of(self.context, has_arguments=bool(self.args or self.kwargs))
        refreshes = settings.refresh_cache() if task.refresh_cache is None else task.refresh_cache
        return kind(
            keeping.key,
            keeping.store,
            isolation_level=keeping.isolation_level,
            overwrite=refreshes or not keeping.looks_up,
            expiration=task.cache_expiration,
            source=self.run.name,
            is_block=False,
        )

    def _found(self, transaction: BaseTransaction) -> Steps[Concluded | None]:
        """Begin; give the end of a run whose result is there already."""
        yield from transaction.begin_steps()
        if not transaction.is_committed():
            return None
        record = yield from transaction.read_steps()
        assert record is not None
        ending = core.end_of(self.plan, Returned(record.result))
        state = ending.state.copy()  # the value may be the state that the task returned then
        state.name = CACHED
        if self.run.flow_run is not None:
            self.run.flow_run.tasks.took_kept_result()
        state.message = f"The result was kept under {transaction.key!r}."
        ending = replace(ending, state=state)
        return Concluded(ending if transaction.is_borrowed else self._without_value(ending))

    def _kept(self, transaction: BaseTransaction, event: Event) -> Steps[Event]:
        """End: keep what was returned, now or with the transaction round this one."""
        ending = core.end_of(self.plan, event)
        if not isinstance(event, Returned) or ending.state.type is not StateType.COMPLETED:
            yield from transaction.rollback_steps()
            return event
        hooks = self.definition.hooks
        transaction.stage(event.value, [self._take_back, *hooks("on_rollback")], hooks("on_commit"))
        yield from transaction.end_steps()
        if transaction.trouble is not None:
            ending.state.message = f"The result could not be kept. {transaction.trouble}"
        elif transaction.key is None or transaction.is_committed():
            ending = self._without_value(ending)
        return Concluded(ending)

    def _without_value(self, ending: Ending) -> Ending:
        """Let go of the value, if the author wants that; a call that waits for it still gets it."""
        if self.definition.cache_result_in_memory:
            return ending
        state = KeptState(ending.state, self._keeping.store, self._keeping.key, self.run.name)
        return replace(ending, state=state)

    def _take_back(self, _: BaseTransaction) -> None:
        """Note that what the run did has been undone."""
        state: State[Any] = State(StateType.COMPLETED, ROLLED_BACK, "What the run did was rolled back.")
        now = self.surroundings.clock.now()
        state.stamp(now)
        self.run.state = state
        if (recorder := self.surroundings.recorder) is not None:
            recorder.enter(self.run, state, now)
