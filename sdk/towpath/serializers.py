"""How a kept result is written down: `result_serializer="json"`, or an object of one of these classes.

`pickle`              anything that cloudpickle takes
`json`                plain data, dates, models and dataclasses (`towpath.json_values`); people can read it
`compressed/pickle`   the same, compressed
`compressed/json`

A serializer of your own is any object with `dumps(value) -> bytes` and `loads(data) -> value`.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Any, Final, Literal, Protocol, TypeAlias, cast

from towpath.errors import ConfigurationError, SerializationError


class Serializer(Protocol):
    """What turns a value into bytes and back."""

    def dumps(self, value: Any, /) -> bytes:
        """Write a value down."""

    def loads(self, data: bytes, /) -> Any:
        """Read it back."""


SerializerLike: TypeAlias = str | Serializer
"""`pickle`, `json`, `compressed/pickle`, `compressed/json`, or an object with `dumps` and `loads`."""
_Library: TypeAlias = Literal["zlib", "gzip", "bz2", "lzma"]
_LIBRARIES: Final = ("zlib", "gzip", "bz2", "lzma")
#: Types that the standard pickle writes as cloudpickle does, in a tenth of the time.
_PLAIN: Final = frozenset({type(None), bool, int, float, complex, str, bytes, bytearray})


class PickleSerializer:
    """Writes by cloudpickle, which takes functions and classes of a script too; reads by pickle."""

    type = "pickle"

    def dumps(self, value: Any) -> bytes:
        """Write a value down."""
        import pickle

        if type(value) in _PLAIN:
            return pickle.dumps(value, protocol=5)
        import cloudpickle  # type: ignore[import-untyped]

        return cast("bytes", cloudpickle.dumps(value, protocol=5))

    def loads(self, data: bytes) -> Any:
        """Read it back; this runs whatever code its writer wants, so read only storages that you trust."""
        import pickle

        return pickle.loads(data)  # noqa: S301 see above


class JSONSerializer:
    """Writes JSON that gives the same value back, and refuses what it cannot give back."""

    type = "json"

    def dumps(self, value: Any) -> bytes:
        """Write a value down."""
        import json

        from towpath.json_values import to_json

        text = json.dumps(to_json(value), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        return text.encode(errors="surrogatepass")

    def loads(self, data: bytes) -> Any:
        """Read it back."""
        import json

        from towpath.json_values import from_json

        return from_json(json.loads(str(data, "utf-8", "surrogatepass")))


class CompressedSerializer:
    """Compresses what another serializer writes.

    Args:
        serializer: the other.
        compressionlib: module of the standard library that compresses: zlib, gzip, bz2 or lzma.
    """

    def __init__(self, serializer: SerializerLike = "pickle", compressionlib: _Library = "zlib") -> None:
        if compressionlib not in _LIBRARIES:
            raise ConfigurationError(f"compressionlib is one of {', '.join(_LIBRARIES)}; got {compressionlib!r}.")
        self.serializer = serializer_of(serializer)
        self.compressionlib = compressionlib
        with_library = "compressed" if compressionlib == "zlib" else f"compressed:{compressionlib}"
        self.type = f"{with_library}/{name_of(self.serializer)}"

    def dumps(self, value: Any) -> bytes:
        """Write a value down."""
        library = importlib.import_module(self.compressionlib)
        return cast("bytes", library.compress(self.serializer.dumps(value)))

    def loads(self, data: bytes) -> Any:
        """Read it back."""
        return self.serializer.loads(importlib.import_module(self.compressionlib).decompress(data))


class CompressedPickleSerializer(CompressedSerializer):
    """Compresses a pickle."""

    def __init__(self, compressionlib: _Library = "zlib") -> None:
        super().__init__("pickle", compressionlib)


class CompressedJSONSerializer(CompressedSerializer):
    """Compresses JSON."""

    def __init__(self, compressionlib: _Library = "zlib") -> None:
        super().__init__("json", compressionlib)


_MAKERS: Final[Mapping[str, Callable[[], Serializer]]] = {
    "pickle": PickleSerializer,
    "json": JSONSerializer,
}
_TAKE_BUFFERS: Final = frozenset({PickleSerializer, JSONSerializer, CompressedSerializer})
_made: Final[dict[str, Serializer]] = {}


def serializer_of(like: SerializerLike) -> Serializer:
    """Give the serializer that is meant.

    Raises:
        ConfigurationError: there is none of this name, or the object is none.
    """
    if not isinstance(like, str):
        if callable(getattr(like, "dumps", None)) and callable(getattr(like, "loads", None)):
            return like() if isinstance(like, type) else like
        raise ConfigurationError(f"A serializer has the methods dumps and loads; {like!r} does not.")
    known = _made.get(like)
    if known is None:
        known = _made[like] = _by_name(like)
    return known


def name_of(serializer: Serializer) -> str:
    """Give the name that a record says a serializer by."""
    name = getattr(serializer, "type", None)
    return name if isinstance(name, str) else f"{type(serializer).__module__}:{type(serializer).__qualname__}"


def is_own(name: str) -> bool:
    """Tell whether a name is that of a serializer of this module."""
    try:
        serializer_of(name)
    except ConfigurationError:
        return False
    return True


def loaded(serializer: Serializer, data: memoryview) -> Any:
    """Read a value back; raises whatever its own code, or the serializer, raises."""
    return serializer.loads(data if type(serializer) in _TAKE_BUFFERS else bytes(data))  # type: ignore[arg-type]


def dumped(serializer: Serializer, value: Any) -> bytes:
    """Write a value down.

    Raises:
        SerializationError: it cannot be.
    """
    try:
        return serializer.dumps(value)
    except Exception as error:  # whatever the value's own code, or the author's serializer, raises
        kind = type(value)
        what = "nested too deeply" if isinstance(error, RecursionError) else str(error) or repr(error)
        raise SerializationError(
            f"A {kind.__module__}.{kind.__qualname__} cannot be written by the serializer {name_of(serializer)!r}:"
            f" {what.rstrip('.')}."
        ) from error


def _by_name(name: str) -> Serializer:
    if name in _MAKERS:
        return _MAKERS[name]()
    kind, _, inner = name.partition("/")
    kind, _, library = kind.partition(":")
    if kind == "compressed" and inner in _MAKERS and (library or "zlib") in _LIBRARIES:
        return CompressedSerializer(inner, cast("_Library", library or "zlib"))
    raise ConfigurationError(
        f"There is no serializer {name!r}. There are pickle, json, compressed/pickle, compressed/json, and objects with"
        " the methods dumps and loads."
    )
