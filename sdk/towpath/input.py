"""Input to runs while they run: typed, with a form that whoever resumes a run can see, and sent from run to run.

    class Approval(RunInput):
        granted: bool
        by: str = "nobody"

    approval = pause_flow_run(wait_for_input=Approval.with_initial_data(description="Publish?", by="the editors"))

    send_input(5, flow_run_id)                      # from another run, or from anywhere on this machine
    for number in receive_input(int, timeout=60):   # in the run that gets it
        ...

    async for question in Question.receive():
        await question.respond(Answer(text="42"))   # to the run that sent it

In code that runs in an event loop `send_input`, `.send_to`, `.respond` and `.next` give a coroutine. What was sent
stays with the run that got it: a new `receive` begins with the first, unless it is told which to leave out.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Iterator
from typing import Annotated, Any, ClassVar, Final, Generic, Self, TypeVar
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, create_model
from pydantic.fields import FieldInfo

from towpath.context import current
from towpath.errors import MissingContext, PauseError
from towpath.flow_runs import in_place
from towpath.pausing.here import messages
from towpath.pausing.port import Message
from towpath.pausing.waiting import Wait, Waits, deadline
from towpath.pausing.wanted import VALUE, Wanted, as_object

T = TypeVar("T")

_SENDER: Final = "towpath.flow-run."


class RunInputMetadata(BaseModel):
    """Where an input came from."""

    key: str
    sender: str | None = None
    """`towpath.flow-run.` and the id of the run that sent it; None if nobody says."""
    receiver: str


class RunInput(BaseModel):
    """Base of models that are input to a run; a field that it does not have is refused."""

    model_config = ConfigDict(extra="forbid")

    run_input_description: ClassVar[str | None] = None
    _metadata: RunInputMetadata | None = PrivateAttr(default=None)

    @property
    def metadata(self) -> RunInputMetadata:
        """Where it came from.

        Raises:
            AttributeError: it was not received, but made here.
        """
        if self._metadata is None:
            raise AttributeError("This input was not received from anywhere, so it has no metadata.")
        return self._metadata

    @classmethod
    def with_initial_data(cls, description: str | None = None, **initial: Any) -> type[Self]:
        """Give the same model with values that its fields have unless somebody changes them.

        Args:
            description: for whoever gives the input.
            **initial: values by the names of fields; a name that is no field yet becomes one, of its value's type.
        """
        fields: dict[str, Any] = {}
        for name, value in initial.items():
            known = cls.model_fields.get(name)
            fields[name] = (type(value) if known is None else _as_known(known), value)
        made = create_model(cls.__name__, __base__=cls, **fields)
        if description is not None:
            made.run_input_description = description
        return made

    def send_to(self, flow_run_id: UUID | str, sender: str | None = None, key_prefix: str | None = None) -> None:
        """Send it to a run; in an event loop this gives a coroutine.

        Args:
            flow_run_id: of the run that gets it.
            sender: who sends it; the current flow run by default.
            key_prefix: what it is received by; the model's name by default.

        Raises:
            NoSuchRun: there is none.
        """
        return in_place(_send(self, str(flow_run_id), sender, key_prefix))

    def respond(self, run_input: Any, sender: str | None = None, key_prefix: str | None = None) -> None:
        """Send something to the run that sent this; in an event loop this gives a coroutine.

        Raises:
            PauseError: this was not sent by a run.
        """
        came_from = self.metadata.sender or ""
        if not came_from.startswith(_SENDER):
            raise PauseError(
                f"There is nobody to respond to: this input was sent by {came_from or 'nobody who says so'!r}, not by a"
                " flow run."
            )
        return in_place(_send(run_input, came_from.removeprefix(_SENDER), sender, key_prefix))

    @classmethod
    def receive(  # noqa: PLR0917 as `receive_input`
        cls,
        timeout: float | None = 3600,
        poll_interval: float | None = None,
        raise_timeout_error: bool = False,
        exclude_keys: Collection[str] | None = None,
        key_prefix: str | None = None,
        flow_run_id: UUID | str | None = None,
    ) -> Received[Self]:
        """Give what is sent to a run of this model, one after the other; see `receive_input`."""
        return receive_input(cls, timeout, poll_interval, raise_timeout_error, exclude_keys, key_prefix, flow_run_id)


class Received(Generic[T]):
    """What is sent to a run, one after the other: for `for`, `async for`, and `.next()`.

    Args:
        kind: of what type.
        run_id: the run's id.
        prefix: what it was sent by.
        seconds: how long to wait for the next; None: as long as it takes.
        raises: whether it is an error if none comes in time; else there are no more.
        besides: keys to leave out.
        with_metadata: whether to give inputs of a plain type with where they came from.
    """

    def __init__(
        self,
        kind: type[T],
        run_id: str,
        prefix: str,
        *,
        seconds: float | None,
        raises: bool,
        besides: Collection[str],
        with_metadata: bool,
    ) -> None:
        self._wanted = Wanted(kind)
        self._run_id, self._prefix, self._seconds, self._raises = run_id, prefix, seconds, raises
        self._besides, self._with_metadata = frozenset(besides), with_metadata
        self._last = 0

    def next(self) -> T:
        """Wait for the next and give it; in an event loop this gives a coroutine.

        Raises:
            TimeoutError: none has come in time.
            ParameterError: what has come is of another form; the next call looks further.
        """
        return in_place(self._next())

    def __iter__(self) -> Iterator[T]:
        from towpath.pausing.waiting import waited

        try:
            while True:
                yield waited(self._next())
        except TimeoutError:
            if self._raises:
                raise

    async def __aiter__(self) -> AsyncIterator[T]:
        from towpath.pausing.waiting import waited_async

        try:
            while True:
                yield await waited_async(self._next())
        except TimeoutError:
            if self._raises:
                raise

    def _next(self) -> Waits[T]:
        book = messages()

        def look() -> Message | None:
            return book.received(self._run_id, self._prefix, after=self._last, besides=self._besides)

        message = look()
        if message is None:
            come = book.expect(look)
            yield Wait(come, deadline(self._seconds))
            message = come.result() if come.done() else look()
        if message is None:
            raise TimeoutError(f"No {self._prefix} input has come within {self._seconds:g} s.")
        self._last = message.number
        marked: T = self._marked(self._wanted.read(message.value, f"run {self._run_id!r}"), message)
        return marked

    def _marked(self, value: Any, message: Message) -> Any:
        """Note on a model where it came from."""
        metadata = RunInputMetadata(key=message.key, sender=message.sender, receiver=self._run_id)
        if self._with_metadata and not isinstance(value, RunInput):
            value = AutomaticRunInput(value=value)
        if isinstance(value, RunInput):
            value._metadata = metadata  # noqa: SLF001 its module's own
        return value


class AutomaticRunInput(RunInput):
    """A received value of a plain type, with where it came from."""

    value: Any


def send_input(
    run_input: Any, flow_run_id: UUID | str, sender: str | None = None, key_prefix: str | None = None
) -> None:
    """Send something to a run of this machine, by its id; in an event loop this gives a coroutine.

    Args:
        run_input: a model, or any value that has a form in JSON.
        flow_run_id: of the run that gets it.
        sender: who sends it; the current flow run by default.
        key_prefix: what it is received by; its type's name by default.

    Raises:
        NoSuchRun: there is none.
        ParameterError: it has no form in JSON.
    """
    return in_place(_send(run_input, str(flow_run_id), sender, key_prefix))


def receive_input(  # noqa: PLR0917 the order of Prefect's, for scripts that rely on it
    input_type: type[T],
    timeout: float | None = 3600,
    poll_interval: float | None = None,
    raise_timeout_error: bool = False,
    exclude_keys: Collection[str] | None = None,
    key_prefix: str | None = None,
    flow_run_id: UUID | str | None = None,
    with_metadata: bool = False,
) -> Received[T]:
    """Give what is sent to a run, one after the other: iterate over it, or call `.next()`.

    Args:
        input_type: a `RunInput`, a pydantic model, or a type such as int or list[str].
        timeout: seconds to wait for the next; None: as long as it takes. Then there are no more.
        poll_interval: taken for compatibility; what is sent is there within a moment.
        raise_timeout_error: raise TimeoutError when none has come in time.
        exclude_keys: leave these out.
        key_prefix: what it was sent by; the type's name by default.
        flow_run_id: of the run that gets it; the current one by default.
        with_metadata: give values of a plain type as a RunInput, with `.value` and `.metadata`.

    Raises:
        MissingContext: there is no current run, and none is named.
    """
    del poll_interval
    return Received(
        input_type,
        str(flow_run_id) if flow_run_id is not None else _current_run("received by"),
        key_prefix or _prefix(input_type),
        seconds=timeout,
        raises=raise_timeout_error,
        besides=exclude_keys or (),
        with_metadata=with_metadata,
    )


def _send(run_input: Any, run_id: str, sender: str | None, key_prefix: str | None) -> Waits[None]:
    kind = type(run_input)
    wanted: Wanted[Any] = Wanted(kind)
    context = current()
    if sender is None and context is not None and context.flow_run is not None:
        sender = f"{_SENDER}{context.flow_run.id}"
    given = run_input if wanted.is_model else {VALUE: run_input}
    told = as_object(wanted.schema, given, f"run {run_id!r}")
    messages().send(run_id, key_prefix or _prefix(kind), told, sender)
    yield from ()


def _as_known(field: FieldInfo) -> Any:
    """Give the type of a field with all that is asked of its values, and none of its defaults."""
    told = Field(title=field.title, description=field.description)
    return Annotated[field.annotation, *field.metadata, told]


def _prefix(kind: Any) -> str:
    """Name a type such that `list` and `list[int]` are the same: what was sent says no more than the first."""
    origin = getattr(kind, "__origin__", kind)
    return f"{getattr(origin, '__name__', 'value').lower()}-auto"


def _current_run(what: str) -> str:
    context = current()
    if context is None or context.flow_run is None:
        raise MissingContext(f"There is no flow run here that input could be {what}. Name one: flow_run_id=…")
    return context.flow_run.id
