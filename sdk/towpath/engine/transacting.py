"""What a transaction does, step by step; the same in synchronous and asynchronous code (`towpath.transactions`).

A transaction and its parts are a tree; each part joins it when its work has ended well, and then shares its end.
Whoever ends a transaction closes it first: what comes later than that shares an end that is known already.
"""

# ruff: noqa: SLF001 the members of a tree are one family
from __future__ import annotations

import copy
import threading
from collections.abc import Awaitable, Callable, Sequence
from contextvars import Token
from enum import StrEnum
from typing import TYPE_CHECKING, Any, ClassVar, Final, TypeAlias, TypeVar

from towpath.context import current, current_transaction
from towpath.engine.steps import Steps
from towpath.errors import StorageError, UnreadableRecord
from towpath.slugs import new_id

if TYPE_CHECKING:
    import logging
    from datetime import timedelta

    from towpath.results import Packed, ResultRecord, ResultStore

T = TypeVar("T")
Hook: TypeAlias = Callable[[Any], Any]
_MISSING: Final = object()
#: How often one that waits for a lock looks whether it is still needed.
_LOOK_UP_SECONDS: Final = 0.05


class IsolationLevel(StrEnum):
    """What transactions of the same key see of each other."""

    READ_COMMITTED = "READ_COMMITTED"  # what is committed; several may be at work, and the last to commit counts
    SERIALIZABLE = "SERIALIZABLE"  # one is at work, and the others wait for it


class CommitMode(StrEnum):
    """When a transaction is committed; one within another does as that one, if it is not told."""

    EAGER = "EAGER"  # at its own end
    LAZY = "LAZY"  # at the end of the outermost
    OFF = "OFF"  # by a call of `commit()` only; else it is rolled back at the end of the outermost


class TransactionState(StrEnum):
    """How far a transaction is."""

    PENDING = "PENDING"
    ACTIVE = "ACTIVE"
    STAGED = "STAGED"
    COMMITTED = "COMMITTED"
    ROLLED_BACK = "ROLLED_BACK"


_ENDED: Final = frozenset({TransactionState.COMMITTED, TransactionState.ROLLED_BACK})


class BaseTransaction:
    """What is the same in synchronous and asynchronous code."""

    _in_loop: ClassVar[bool] = False

    def __init__(
        self,
        key: str | None = None,
        store: ResultStore | None = None,
        *,
        commit_mode: CommitMode | str | None = None,
        isolation_level: IsolationLevel | str | None = None,
        overwrite: bool = False,
        write_on_commit: bool = True,
        logger: logging.Logger | logging.LoggerAdapter[Any] | None = None,
        expiration: timedelta | None = None,
        source: str = "",
        is_block: bool = True,
    ) -> None:
        self.parent: BaseTransaction | None = current_transaction()
        self.key = key
        self.store = store
        outer = self.parent
        self.commit_mode: CommitMode = CommitMode(commit_mode or (outer.commit_mode if outer else CommitMode.LAZY))
        self.isolation_level: IsolationLevel = IsolationLevel(
            isolation_level or (outer.isolation_level if outer else IsolationLevel.READ_COMMITTED)
        )
        self.overwrite = overwrite
        self.write_on_commit = write_on_commit
        self.children: list[BaseTransaction] = []
        self.on_commit_hooks: list[Hook] = []
        self.on_rollback_hooks: list[Hook] = []
        self.state = TransactionState.PENDING
        self.trouble: Exception | None = None
        """Why the result could not be kept, if that was so."""
        self._expiration = expiration
        self._source = source
        self._is_block = is_block  # of a `with` statement: what fails in it fails it, and its record has to be written
        self._logger = logger
        self._values: dict[str, Any] = {}
        self._staged: Any = None
        self._packed: Packed | None = None
        self._root: BaseTransaction = self if outer is None else outer._root
        self._beside: dict[str, BaseTransaction] = {}  # of a root: by key, what waits to be committed with it
        self.is_borrowed = False
        """Whether its result is that of another, which is yet to be committed with it."""
        self._holder = ""
        self._found: ResultRecord[Any] | None = None
        self._guard = threading.Lock()
        self._is_closed = False  # whether nothing further may become part of it
        self._token: Token[BaseTransaction | None] | None = None

    def set(self, name: str, value: Any) -> None:
        """Note a value for later, such as for a hook."""
        self._values[name] = value

    def get(self, name: str, default: Any = _MISSING) -> Any:
        """Give a copy of a value that was set here, or in a transaction round this one.

        Raises:
            ValueError: there is none, and no default.
        """
        at: BaseTransaction | None = self
        while at is not None:
            if name in at._values:
                return copy.deepcopy(at._values[name])
            at = at.parent
        if default is _MISSING:
            raise ValueError(f"Nothing was set under {name!r} in this transaction, or round it.")
        return default

    def is_committed(self) -> bool:
        """Whether it counts: now, or because a transaction of the same key was committed before."""
        return self.state is TransactionState.COMMITTED

    def is_rolled_back(self) -> bool:
        """Whether it was undone."""
        return self.state is TransactionState.ROLLED_BACK

    def is_staged(self) -> bool:
        """Whether its work is done, and waits to be committed."""
        return self.state is TransactionState.STAGED

    def is_pending(self) -> bool:
        """Whether it has not begun."""
        return self.state is TransactionState.PENDING

    def is_active(self) -> bool:
        """Whether its work goes on."""
        return self.state is TransactionState.ACTIVE

    def stage(
        self, value: Any, on_rollback_hooks: Sequence[Hook] | None = None, on_commit_hooks: Sequence[Hook] | None = None
    ) -> None:
        """Say what is to be kept when it is committed, and what is to be called then, or when it is rolled back."""
        if self.state not in _ENDED:
            self._staged = value
            self.on_rollback_hooks += on_rollback_hooks or ()
            self.on_commit_hooks += on_commit_hooks or ()
            self.state = TransactionState.STAGED

    def begin_steps(self) -> Steps[None]:
        """Begin: take the lock if it is asked for, and look whether it was committed before."""
        self.state = TransactionState.ACTIVE
        if self.key is None or self.store is None or self._finds_beside():
            return
        if self.isolation_level is IsolationLevel.SERIALIZABLE:
            try:
                yield from self._do(self._lock, waits=True)
            except BaseException:
                self._close()  # a thread that still waits for the lock has to give it back
                raise
            if self.is_committed():
                return
        try:
            if not self.overwrite:
                self._found = yield from self._do(self._look)
        except BaseException:
            self.unlock()
            raise
        if self._found is not None:
            self.state = TransactionState.COMMITTED
            self.unlock()

    def read_steps(self) -> Steps[ResultRecord[Any] | None]:
        """Read the record of the key; None if there is none, or no key."""
        if self._found is None and self.key is not None and self.store is not None:
            return (yield from self._do(self._look))
        return self._found

    def end_steps(self) -> Steps[None]:
        """End its work well: commit, or leave that to the transaction round it."""
        if self.state in _ENDED:
            return
        if self.commit_mode is CommitMode.EAGER:
            yield from self.commit_steps()
        elif self.parent is not None:
            yield from self._join(self.parent)
        elif self.commit_mode is CommitMode.LAZY:
            yield from self.commit_steps()
        else:
            yield from self.rollback_steps()

    def fail_steps(self) -> Steps[None]:
        """End its work badly: roll back, and tell what it is a part of."""
        yield from self.rollback_steps()
        if self.parent is not None:
            yield from self.parent.part_failed_steps()

    def part_failed_steps(self) -> Steps[None]:
        """Take up that a part has failed: a block fails with it, a task decides for itself."""
        if self._is_block:
            yield from self.fail_steps()

    def commit_steps(self) -> Steps[bool]:
        """Commit, with all that is part of it; tell whether there was anything to commit."""
        if not self._close():
            return False
        written: list[BaseTransaction] = []
        try:
            yield from self._write_steps(written)
        except BaseException:
            for each in reversed(written):
                yield from each._remove_steps()
            yield from self._undo_steps()
            raise
        yield from self._count_steps()
        return True

    def rollback_steps(self) -> Steps[bool]:
        """Roll back, with all that is part of it; tell whether there was anything to roll back."""
        if not self._close():
            return False
        yield from self._undo_steps()
        return True

    def unlock(self) -> None:
        """Give the lock back, if there is one."""
        holder, self._holder = self._holder, ""
        if holder and self.store is not None and self.key is not None:
            try:
                self.store.release_lock(self.key, holder)
            except Exception as error:
                self._log(f"The lock of the transaction {self.key!r} could not be given back.", error)

    def _finds_beside(self) -> bool:
        """Take the result that waits to be committed with this one, if there is one under the same key.

        Nobody else would see it yet; but those who share its end may, and must not wait for its lock.
        """
        beside = None if self.overwrite or self.key is None else self._root._beside.get(self.key)
        if beside is None or not beside.is_staged() or beside._packed is None or self.store is None:
            return False
        if beside.store is None or beside.store.place != self.store.place:
            return False
        self._found = self.store.unpacked(beside._packed)
        self.is_borrowed = True
        self.state = TransactionState.COMMITTED
        return True

    def _lock(self) -> None:
        assert self.store is not None
        assert self.key is not None
        holder = new_id()
        is_alone = self.parent is None and not self._in_loop
        while not self.store.acquire_lock(self.key, holder, None if is_alone else _LOOK_UP_SECONDS):
            if self._is_closed or self._finds_beside():
                return
        with self._guard:
            self._holder = holder
            is_ours = not self._is_closed
        if not is_ours:
            self.unlock()

    def _look(self) -> ResultRecord[Any] | None:
        assert self.store is not None
        assert self.key is not None
        try:
            found = self.store.find(self.key)
            if found is not None and not self._is_block:
                found.read()
        except (StorageError, UnreadableRecord) as error:
            if self._is_block:
                raise
            self.write_on_commit = self.write_on_commit and not getattr(error, "newer", False)
            self._warn(f"The result kept under {self.key!r} cannot be used, so the task runs: {error}")
            return None
        return found

    def _close(self) -> bool:
        """See to it that nothing further becomes part of it; tell whether it is ours to end."""
        with self._guard:
            closed, self._is_closed = self._is_closed, True
        return not closed and self.state not in _ENDED

    def _join(self, parent: BaseTransaction) -> Steps[None]:
        """Become part of a transaction; one that has ended already shares its end."""
        self._pack()
        with parent._guard:
            if not parent._is_closed:
                parent.children.append(self)
                if self.key is not None:
                    self._root._beside[self.key] = self
                return
        if parent.is_rolled_back():
            yield from self.rollback_steps()
        else:
            yield from self.commit_steps()

    def _write_steps(self, written: list[BaseTransaction]) -> Steps[None]:
        """Write the records, those of its parts first."""
        for child in self.children:
            if child._close():
                yield from child._write_steps(written)
        self._pack()
        store, packed = self.store, self._packed
        if packed is None or store is None:
            return
        try:
            yield from self._do(lambda: store.put(packed))
            written.append(self)
        except Exception as error:
            self._note_trouble(error)

    def _pack(self) -> None:
        """Write the value down, in memory: what its owner does to it until it is committed, is not kept."""
        if (
            self._packed is None
            and self.trouble is None
            and self.store
            and self.key is not None
            and self.write_on_commit
        ):
            try:
                self._packed = self.store.pack(self._staged, self.key, self._expiration, source=self._source)
            except Exception as error:
                self._note_trouble(error)

    def _note_trouble(self, error: Exception) -> None:
        if self._is_block:
            raise error
        self.trouble = error
        self._log(f"The result could not be kept, so it cannot be used again. {error}")

    def _remove_steps(self) -> Steps[None]:
        store, key = self.store, self.key
        assert store is not None
        assert key is not None
        try:
            yield from self._do(lambda: store.delete(key))
        except Exception as error:
            self._log(f"The record of the transaction {key!r}, which was rolled back, could not be removed.", error)

    def _count_steps(self) -> Steps[None]:
        """Let it count, its parts first."""
        for child in self.children:
            if child.state not in _ENDED:
                yield from child._count_steps()
        self.state = TransactionState.COMMITTED
        self._staged = self._packed = None
        self.unlock()
        for hook in self.on_commit_hooks:
            yield from self._hook_steps(hook, "on_commit")

    def _undo_steps(self) -> Steps[None]:
        """Undo it: its own hooks, the latest first, then its parts, the latest first."""
        self.state = TransactionState.ROLLED_BACK
        self._staged = self._packed = None
        try:
            for hook in reversed(self.on_rollback_hooks):
                yield from self._hook_steps(hook, "on_rollback")
            for child in reversed(self.children):
                child._close()
                if child.state not in _ENDED:
                    yield from child._undo_steps()
        finally:
            self.unlock()

    def _hook_steps(self, hook: Hook, kind: str) -> Steps[None]:
        try:
            answer = hook(self)
            if isinstance(answer, Awaitable):
                yield answer
        except Exception as error:
            self._log(
                f"The {kind} hook {getattr(hook, '__name__', None) or repr(hook)!r} failed; the rest goes on.", error
            )

    def _do(self, work: Callable[[], T], *, waits: bool = False) -> Steps[T]:
        """Do what takes time: here, or in a thread where that would hold up an event loop."""
        if self._in_loop and (waits or not (self.store and self.store.is_near)):
            import asyncio

            done: T = yield asyncio.to_thread(work)
            return done
        return work()

    def _log(self, message: str, error: Exception | None = None) -> None:
        self._logger_of_run().error("%s", message, exc_info=error)

    def _warn(self, message: str) -> None:
        self._logger_of_run().warning("%s", message)

    def _logger_of_run(self) -> logging.Logger | logging.LoggerAdapter[Any]:
        if self._logger is None:
            from towpath.loggers import configure, get_logger, run_logger

            configure()
            context = current()
            self._logger = get_logger("towpath.transactions") if context is None else run_logger(context)
        return self._logger
