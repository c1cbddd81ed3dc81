"""What a flow takes: bound as Python does, validated and coerced by pydantic, described as JSON Schema.

pydantic is loaded when a value needs it: a whole number for an `int`, or a text for a `str`, is let through without.
"""

from __future__ import annotations

import inspect
import sys
import types
import typing
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Annotated, Any, Final

from towpath.errors import ParameterError
from towpath.parameter_words import Wrong, from_pydantic, missing, sentence, unknown

if TYPE_CHECKING:
    from pydantic import TypeAdapter

_EMPTY: Final = inspect.Parameter.empty
_VAR_POSITIONAL: Final = inspect.Parameter.VAR_POSITIONAL
_VAR_KEYWORD: Final = inspect.Parameter.VAR_KEYWORD
_PLAIN: Final = frozenset({str, int, float, bool, bytes, type(None)})


class FlowSignature:
    """What a flow's function takes.

    Args:
        fn: the function, bound if it is a method.
        flow_name: for messages.
        names: what the function's annotations may refer to beside its module: names local to where it was defined.
        is_checked: whether what is given has to fit the annotations, so that whoever leaves one parameter out is told
            at once what is wrong with the others.
    """

    def __init__(
        self,
        fn: Callable[..., Any],
        flow_name: str,
        names: Mapping[str, Any] | None = None,
        *,
        is_checked: bool = True,
    ) -> None:
        self.flow_name = flow_name
        self._is_checked = is_checked
        self._parameters = dict(inspect.signature(fn).parameters)
        self._hints: dict[str, Any] = {}
        self._adapters: dict[str, TypeAdapter[Any]] = {}
        self._namespace = _namespace(fn, names or {})

    def bind(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """Give each parameter its value, defaults included; `*args` and `**kwargs` under their own names.

        Raises:
            ParameterError: something is missing or too much; all that is wrong is said at once.
        """
        values: dict[str, Any] = {}
        wrongs: list[Wrong] = []
        left, named = list(args), dict(kwargs)
        for name, parameter in self._parameters.items():
            if parameter.kind is _VAR_POSITIONAL:
                values[name], left = tuple(left), []
            elif parameter.kind is _VAR_KEYWORD:
                values[name], named = named, {}
            elif parameter.kind is not parameter.KEYWORD_ONLY and left:
                values[name] = left.pop(0)
                if parameter.kind is not parameter.POSITIONAL_ONLY and name in named:
                    wrongs.append(Wrong((name,), "is given twice", named.pop(name)))
            elif parameter.kind is not parameter.POSITIONAL_ONLY and name in named:
                values[name] = named.pop(name)
            elif (default := _default(parameter)) is not _EMPTY:
                values[name] = default
            else:
                wrongs.append(missing((name,)))
        wrongs += [unknown((f"argument {len(args) - len(left) + i + 1}",), value) for i, value in enumerate(left)]
        wrongs += [unknown((name,), value) for name, value in named.items()]
        if wrongs and self._is_checked:
            self._checked(values, wrongs)
        self._refuse(wrongs)
        return values

    def bind_names(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Give each parameter its value from values by name, as they travel: those of `*args` as a list under its name.

        Raises:
            ParameterError: as `bind`.
        """
        values: dict[str, Any] = {}
        wrongs: list[Wrong] = []
        named = dict(parameters)
        for name, parameter in self._parameters.items():
            if parameter.kind is _VAR_POSITIONAL:
                given = named.pop(name, ())
                if isinstance(given, (list, tuple)):
                    values[name] = tuple(given)
                else:
                    wrongs.append(Wrong((name,), "must be a list", given))
            elif parameter.kind is _VAR_KEYWORD:
                spread = named.pop(name) if isinstance(named.get(name), Mapping) else {}
                values[name], named = {**named, **spread}, {}
            elif name in named:
                values[name] = named.pop(name)
            elif (default := _default(parameter)) is not _EMPTY:
                values[name] = default
            else:
                wrongs.append(missing((name,)))
        wrongs += [unknown((name,), value) for name, value in named.items()]
        if wrongs and self._is_checked:
            self._checked(values, wrongs)
        self._refuse(wrongs)
        return values

    def validate(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Check bound values against the annotations, and coerce them: `"5"` for an `int` becomes 5.

        Raises:
            ParameterError: each wrong field, its value and why.
        """
        wrongs: list[Wrong] = []
        fitting = self._checked(values, wrongs)
        self._refuse(wrongs)
        return fitting

    def _checked(self, values: Mapping[str, Any], wrongs: list[Wrong]) -> dict[str, Any]:
        """Give values that were bound as the function takes them; what does not fit joins the wrongs."""
        fitting: dict[str, Any] = {}
        for name, value in values.items():
            parameter = self._parameters[name]
            if parameter.kind is _VAR_POSITIONAL:
                fitting[name] = tuple(self._fit(name, v, (name, i), wrongs) for i, v in enumerate(value))
            elif parameter.kind is _VAR_KEYWORD:
                fitting[name] = {key: self._fit(name, v, (key,), wrongs) for key, v in value.items()}
            elif value is parameter.default:
                misfits: list[Wrong] = []
                fitted = self._fit(name, value, (name,), misfits)
                fitting[name] = value if misfits else fitted  # the author's own, even where the annotation forbids it
            else:
                fitting[name] = self._fit(name, value, (name,), wrongs)
        return fitting

    def call(self, values: Mapping[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Spread bound values into the arguments of a call."""
        args: list[Any] = []
        kwargs: dict[str, Any] = {}
        for name, parameter in self._parameters.items():
            if parameter.kind is _VAR_POSITIONAL:
                args.extend(values[name])
            elif parameter.kind is _VAR_KEYWORD:
                kwargs.update(values[name])
            elif parameter.kind is parameter.KEYWORD_ONLY:
                kwargs[name] = values[name]
            else:
                args.append(values[name])
        return tuple(args), kwargs

    def schema(self) -> dict[str, Any]:
        """Describe the parameters as JSON Schema (2020-12), as the Flow resource carries it."""
        from pydantic import TypeAdapter

        adapters: list[tuple[str, typing.Literal["validation"], TypeAdapter[Any]]] = [
            (name, "validation", self._describable(name) or TypeAdapter(Any)) for name in self._parameters
        ]
        described, shared = TypeAdapter.json_schemas(adapters, ref_template="#/$defs/{model}")
        properties: dict[str, Any] = {}
        required: list[str] = []
        open_ended: Any = False
        for name, parameter in self._parameters.items():
            schema = dict(described[name, "validation"])
            if parameter.kind is _VAR_KEYWORD:
                open_ended = schema or True
                continue
            if parameter.kind is _VAR_POSITIONAL:
                schema = {"type": "array", "items": schema, "default": []}
            elif (default := _default(parameter)) is _EMPTY:
                required.append(name)
            else:
                _note_default(schema, default)
            properties[name] = schema
        whole: dict[str, Any] = {"type": "object", "properties": properties, "additionalProperties": open_ended}
        if required:
            whole["required"] = required
        if definitions := shared.get("$defs"):
            whole["$defs"] = definitions
        return whole

    def _refuse(self, wrongs: list[Wrong]) -> None:
        if wrongs:
            raise ParameterError(sentence(self.flow_name, wrongs, tuple(self._parameters)))

    def _fit(self, name: str, value: Any, path: tuple[str | int, ...], wrongs: list[Wrong]) -> Any:
        hint = self._hint(name)
        if _lets_through(hint, value):
            return value
        if hint is float and type(value) is int:
            return float(value)
        from pydantic import ValidationError

        try:
            return self._adapter(name).validate_python(value)
        except ValidationError as error:
            found = [{**one, "loc": (*path, *one["loc"])} for one in error.errors(include_url=False)]
            wrongs.extend(from_pydantic(found))
        except Exception as error:
            why = str(error).partition("\n")[0].rstrip(".")
            wrongs.append(Wrong(path, f"cannot be checked: {type(error).__name__}: {why}", value))
        return value

    def _hint(self, name: str) -> Any:
        if name not in self._hints:
            parameter = self._parameters[name]
            hint = _evaluated(name, parameter.annotation, self._namespace, self.flow_name)
            if _is_field(parameter.default):
                hint = Annotated[Any if hint is _EMPTY else hint, parameter.default]
            self._hints[name] = hint
        return self._hints[name]

    def _describable(self, name: str) -> TypeAdapter[Any] | None:
        """Give the adapter of a parameter that JSON Schema can describe; any other lets all JSON through at first."""
        from pydantic.errors import PydanticUserError

        try:
            adapter = self._adapter(name)
            adapter.json_schema()
        except PydanticUserError:
            return None
        return adapter

    def _adapter(self, name: str) -> TypeAdapter[Any]:
        if name not in self._adapters:
            from pydantic import ConfigDict, PydanticUserError, TypeAdapter

            hint = Any if self._hint(name) is _EMPTY else self._hint(name)
            try:
                self._adapters[name] = TypeAdapter(hint, config=ConfigDict(arbitrary_types_allowed=True))
            except PydanticUserError as error:
                if error.code != "type-adapter-config-unused":
                    raise
                self._adapters[name] = TypeAdapter(hint)  # a model brings its own configuration
        return self._adapters[name]


def _lets_through(hint: Any, value: Any) -> bool:
    """Tell without pydantic that a value fits, for the commonest annotations."""
    if hint is _EMPTY or hint is Any or hint is object:
        return True
    if hint in _PLAIN if isinstance(hint, type) else hint is None:
        return type(value) is (type(None) if hint is None else hint)
    if isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union:
        return any(_lets_through(member, value) for member in typing.get_args(hint))
    return False


def _is_field(default: Any) -> bool:
    return type(default).__name__ == "FieldInfo" and "pydantic" in sys.modules


def _default(parameter: inspect.Parameter) -> Any:
    if not _is_field(parameter.default):
        return parameter.default
    from pydantic_core import PydanticUndefined

    default = parameter.default.get_default(call_default_factory=True)
    return _EMPTY if default is PydanticUndefined else default


def _note_default(schema: dict[str, Any], default: Any) -> None:
    from towpath.parameters import is_json, jsonable

    try:
        schema["default"] = default if is_json(default) else jsonable(default)
    except (ValueError, TypeError):
        return  # optional, but its default cannot be told in JSON


def _namespace(fn: Callable[..., Any], names: Mapping[str, Any]) -> dict[str, Any]:
    function = inspect.unwrap(fn)
    while hasattr(function, "func"):  # a partial
        function = function.func
    if not hasattr(function, "__globals__"):
        function = getattr(function, "__func__", None) or getattr(type(function), "__call__", function)  # noqa: B004
    space = dict(getattr(function, "__globals__", {}))
    code, cells = getattr(function, "__code__", None), getattr(function, "__closure__", None) or ()
    for name, cell in zip(code.co_freevars if code else (), cells, strict=False):
        try:
            space[name] = cell.cell_contents
        except ValueError:  # not filled yet
            continue
    return {**names, **space}


def _evaluated(name: str, annotation: Any, namespace: dict[str, Any], flow_name: str) -> Any:
    """Give what an annotation means; one whose names cannot be had at run time means anything."""
    if annotation is _EMPTY or annotation in _PLAIN if isinstance(annotation, type) else annotation is None:
        return annotation

    def holder() -> None:
        """Carry the annotation into typing."""

    holder.__annotations__ = {name: annotation}
    try:
        return typing.get_type_hints(holder, globalns=namespace, include_extras=True)[name]
    except Exception as error:
        from towpath.loggers import get_logger

        get_logger("towpath.parameters").warning(
            "Parameter %r of flow %r is not validated: its annotation %r cannot be evaluated (%s). "
            "Import what it names at run time too, not only for type checkers.",
            name,
            flow_name,
            annotation,
            error,
        )
        return Any
