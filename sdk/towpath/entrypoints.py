"""Entrypoints: how a flow is named so that another process can load it, `pkg.mod:fn` or `path/file.py:fn`.

A file is loaded once, under a module name that any process gives it, so that what is pickled in one can be unpickled in
another: the name it has as part of its package, or its own, as if Python had been started in its folder.
"""

from __future__ import annotations

import importlib
import sys
from importlib.machinery import ModuleSpec
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

from towpath.errors import EntrypointError
from towpath.names import digest

if TYPE_CHECKING:
    from towpath.flows import Flow

_CURE: Final = (
    "Move it to the top level of a module, or run it in the parent's process: @flow(inline=True) or"
    " .with_options(inline=True)."
)
#: Modules that were loaded from a file, by the path as it was given: children are named by the same path.
_files: Final[dict[str, str]] = {}


def load_flow(entrypoint: str) -> Flow[Any, Any]:
    """Load a flow from its entrypoint.

    Args:
        entrypoint: `pkg.mod:fn` or `path/file.py:fn`; what follows the colon may have dots, as in `pkg.mod:Etl.run`.

    Raises:
        EntrypointError: there is no such module, file or flow, or importing it failed.
    """
    from towpath.flows import Flow

    place, separator, qualname = entrypoint.partition(":")
    if not separator or not place or not qualname:
        raise EntrypointError(f"{entrypoint!r} is no entrypoint: write 'pkg.mod:fn' or 'path/file.py:fn'.")
    module = _load_file(entrypoint, place) if place.endswith(".py") else _load_module(entrypoint, place)
    found: Any = module
    for part in qualname.split("."):
        found = getattr(found, part, None)
    if not isinstance(found, Flow):
        what = f"{qualname!r} is {_kind(found)}, not a flow" if found is not None else f"there is no {qualname!r}"
        have = ", ".join(repr(name) for name, value in vars(module).items() if isinstance(value, Flow))
        have = f"It has the flows {have}." if have else "It has no flows: decorate a function with @flow."
        raise EntrypointError(f"The entrypoint {entrypoint!r} cannot be loaded: in {place!r} {what}. {have}")
    return found


def entrypoint_of(flow: Flow[Any, Any]) -> str:
    """Name a flow so that another process with the same code can load it.

    Raises:
        EntrypointError: no other process could, because the flow is local to a function or to a program.
    """
    function = flow.fn
    module_name, qualname = function.__module__, function.__qualname__
    if "<locals>" in qualname or "<lambda>" in qualname:
        raise EntrypointError(f"Flow {flow.name!r} cannot run in a pod of its own: it is local, {qualname!r}. {_CURE}")
    module = sys.modules.get(module_name)
    if module is None or module_name == "__main__":
        raise EntrypointError(f"Flow {flow.name!r} cannot run in a pod of its own: it is in {module_name!r}. {_CURE}")
    found: Any = module
    for part in qualname.split("."):
        found = getattr(found, part, None)
    if getattr(found, "fn", None) is not function:
        raise EntrypointError(
            f"Flow {flow.name!r} cannot run in a pod of its own: {module_name}:{qualname} is another object, so no"
            f" other process could find it. {_CURE}"
        )
    return f"{_files.get(module_name, module_name)}:{qualname}"


def _load_module(entrypoint: str, name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(f"{error.name}.")):
            raise EntrypointError(
                f"The entrypoint {entrypoint!r} cannot be loaded: there is no module {error.name!r}. It"
                f" must be in the working directory ({str(Path.cwd())!r}) or installed, in a cluster in the image."
            ) from error
        raise _broken(entrypoint, error) from error
    except (Exception, SystemExit) as error:
        raise _broken(entrypoint, error) from error


def _load_file(entrypoint: str, path: str) -> ModuleType:
    file = Path(path).resolve()
    if not file.is_file():
        raise EntrypointError(
            f"The entrypoint {entrypoint!r} cannot be loaded: there is no file {path!r} in {str(Path.cwd())!r}. The"
            " path is relative to that folder; for a run in a cluster the image must have the file there."
        )
    loaded = next((m for m in list(sys.modules.values()) if _is_file(getattr(m, "__spec__", None), file)), None)
    try:
        module = loaded or _import_file(file)
    except (Exception, SystemExit) as error:
        raise _broken(entrypoint, error) from error
    _files.setdefault(module.__name__, path)
    return module


def _import_file(file: Path) -> ModuleType:
    root, name = file.parent, file.stem
    while (root / "__init__.py").is_file() and root != root.parent:
        root, name = root.parent, f"{root.name}.{name}"
    if str(root) not in sys.path:
        sys.path.insert(0, str(root))  # as Python does for a script, so that the file finds its neighbours
    importlib.invalidate_caches()
    spec = _spec(name)
    if _is_file(spec, file):
        return importlib.import_module(name)
    # Another module has the name, or no import can spell it.
    spec = spec_from_file_location(f"{file.stem.replace('.', '_')}_{digest(str(file), length=6)}", file)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[spec.name]
        raise
    return module


def _spec(name: str) -> ModuleSpec | None:
    try:
        return find_spec(name)
    except (ImportError, ValueError, AttributeError):
        return None


def _is_file(spec: ModuleSpec | None, file: Path) -> bool:
    return spec is not None and spec.has_location and spec.origin is not None and Path(spec.origin).resolve() == file


def _kind(found: Any) -> str:
    """Say what something is that is no flow."""
    from towpath.tasks import Task

    if isinstance(found, type):
        return "a class"
    if isinstance(found, Task):
        return "a task"
    if isinstance(found, ModuleType):
        return "a module"
    return "a plain function" if callable(found) else f"of type {type(found).__name__}"


def _broken(entrypoint: str, error: BaseException) -> EntrypointError:
    if isinstance(error, SystemExit):
        why = "it ended the process while it was imported; put what a script does under `if __name__ == '__main__':`"
    else:
        why = f"importing it raised {type(error).__name__}: {error}"
    return EntrypointError(f"The entrypoint {entrypoint!r} cannot be loaded: {why}.")
