"""Where another process finds a flow: its entrypoint, and what Python's path has to have for it."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from towpath.entrypoints import entrypoint_of
from towpath.errors import EntrypointError

if TYPE_CHECKING:
    from types import ModuleType

    from towpath.flows import Flow

_CURE: Final = "Give it a name at the top level of a file, and serve that: `nightly = etl.with_options(...)`."


@dataclass(frozen=True, slots=True)
class Place:
    """How another Python on this machine, with the same packages, loads a flow."""

    entrypoint: str
    path: tuple[str, ...]
    """Python's path here, with whole paths."""


def place_of(flow: Flow[Any, Any]) -> Place:
    """Tell where another process finds a flow.

    A flow in the script that is being run is found in its file.

    Raises:
        EntrypointError: no other process could load it.
    """
    here = str(Path.cwd())
    path = tuple(dict.fromkeys(entry or here for entry in sys.path))
    function = flow.fn
    if "<locals>" in function.__qualname__ or "<lambda>" in function.__qualname__:
        raise EntrypointError(
            f"Flow {flow.name!r} cannot be served: it is local, {function.__qualname__!r}, so no other process could"
            " load it. Move it to the top level of a file."
        )
    module = sys.modules.get(function.__module__)
    if module is None:
        raise EntrypointError(
            f"Flow {flow.name!r} cannot be served: its module {function.__module__!r} is not one that another process"
            " could import."
        )
    name = _name_in(module, flow)
    if module.__name__ == "__main__":
        return Place(f"{_place_of_main(flow, module)}:{name}", path)
    where, _, _ = entrypoint_of(flow).rpartition(":")
    return Place(f"{where}:{name}", path)


def _name_in(module: ModuleType, flow: Flow[Any, Any]) -> str:
    """Give the name under which the module has the flow, as it is, with all its options."""
    found: Any = module
    for part in flow.fn.__qualname__.split("."):
        found = getattr(found, part, None)
    if found is flow:
        return str(flow.fn.__qualname__)
    for name, value in vars(module).items():
        if value is flow:
            return str(name)
    raise EntrypointError(
        f"Flow {flow.name!r} cannot be served: its module {module.__name__!r} has no name for it as it is, with its"
        f" options, so no other process could load it. {_CURE}"
    )


def _place_of_main(flow: Flow[Any, Any], module: ModuleType) -> str:
    if module.__spec__ is not None:  # python -m
        return module.__spec__.name
    file = getattr(module, "__file__", None)
    if file is None or not Path(file).is_file():
        raise EntrypointError(
            f"Flow {flow.name!r} cannot be served: it was typed into an interactive session, so no other process could"
            " load it. Write it into a file."
        )
    return str(Path(file).resolve())
