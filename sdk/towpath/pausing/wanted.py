"""What input a run wants: the author's type, its JSON Schema, and what is wrong with what was given.

    wanted = Wanted.of(Approval)       # a model; or RunInput, int, list[str], a dataclass …
    wanted.schema                      # travels to whoever gives the input
    wanted.read({"granted": True})     # Approval(granted=True), or a ParameterError that names each wrong field

Input is always a JSON object. For a type that is no model it has one field, `value`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from towpath.errors import ParameterError
from towpath.parameter_words import from_pydantic, input_sentence, shortened, unwanted_input
from towpath.parameters import is_json, jsonable

if TYPE_CHECKING:
    from pydantic import TypeAdapter

T = TypeVar("T")

VALUE: Final = "value"


class Wanted(Generic[T]):
    """Input of a type.

    Args:
        kind: the type.
    """

    def __init__(self, kind: type[T]) -> None:
        from pydantic import BaseModel, ConfigDict, PydanticUserError, TypeAdapter, create_model

        self.is_model = isinstance(kind, type) and issubclass(kind, BaseModel)
        whole: Any = kind
        try:
            if not self.is_model:
                config = ConfigDict(extra="forbid", arbitrary_types_allowed=False)
                whole = create_model("Input", __config__=config, **{VALUE: (kind, ...)})  # type: ignore[call-overload]
            self._adapter: TypeAdapter[Any] = TypeAdapter(whole)
            self.schema: dict[str, Any] = self._adapter.json_schema()
        except PydanticUserError as error:
            raise TypeError(
                f"Input cannot be of the type {kind!r}, which has no form in JSON. Use a RunInput, a pydantic model, or"
                " a type such as int or list[str]."
            ) from error
        self.description: str | None = getattr(kind, "run_input_description", None)

    def read(self, given: Mapping[str, Any] | None, whose: str) -> T:
        """Give the value.

        Args:
            given: the input as it travelled.
            whose: who wants it, for messages: `run 'witty-otter'`.

        Raises:
            ParameterError: each wrong field, its value and why.
        """
        value = check(self._adapter, given or {}, whose)
        return value if self.is_model else getattr(value, VALUE)  # type: ignore[no-any-return]


def check_schema(schema: Mapping[str, Any] | None, given: Any, whose: str) -> dict[str, Any] | None:
    """See that input fits what is wanted, as far as JSON Schema can tell; give it as it is to travel.

    Args:
        schema: of what is wanted; None if nothing is.
        given: a mapping, a model, or the plain value where the one field is `value`; None for nothing.
        whose: who wants it, for messages: `run 'witty-otter'`.

    Raises:
        ParameterError: each wrong field, its value and why.
    """
    if schema is None:
        if given is None or given == {}:
            return None
        raise ParameterError(unwanted_input(whose, given))
    from pydantic import TypeAdapter

    from towpath.pausing.schemas import type_of

    told = as_object(schema, given, whose)
    check(TypeAdapter(type_of(schema)), told, whose)
    return told


def as_object(schema: Mapping[str, Any], given: Any, whose: str) -> dict[str, Any]:
    """Give input as the JSON object that travels.

    Raises:
        ParameterError: it has no form in JSON.
    """
    try:
        told = given if is_json(given) else jsonable(given)
    except (ValueError, TypeError) as error:
        raise ParameterError(
            f"The input of {whose} cannot go there: {shortened(given)} has no form in JSON: {error}."
        ) from error
    if told is None:
        return {}
    is_plain = list(schema.get("properties") or ()) == [VALUE]
    if is_plain and not (isinstance(told, dict) and VALUE in told):
        return {VALUE: told}
    if not isinstance(told, dict):
        raise ParameterError(f"The input of {whose} must be an object with its fields; got {shortened(told)}.")
    return told


def check(adapter: TypeAdapter[Any], given: Mapping[str, Any], whose: str) -> Any:
    """Validate input; raises ParameterError with each wrong field, its value and why."""
    from pydantic import ValidationError

    try:
        return adapter.validate_python(given)
    except ValidationError as error:
        fields = list((adapter.json_schema().get("properties") or {}).keys())
        raise ParameterError(input_sentence(whose, from_pydantic(error.errors(include_url=False)), fields)) from error
