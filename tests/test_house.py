"""The house rules that a machine can hold."""

from __future__ import annotations

import ast
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import towpath
from towpath import Flow, Task, errors, options, settings

ROOT = Path(__file__).parents[1]
SOURCES = sorted((ROOT / "sdk").rglob("*.py")) + sorted((ROOT / "operator").rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("test_*.py"))


def relative(path: Path) -> str:
    """Name a file from the repository's root."""
    return str(path.relative_to(ROOT))


def cpu_seconds(code: str) -> float:
    """Measure the CPU time of an interpreter that runs a line of code."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", code], check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


@pytest.mark.parametrize("folder", ["sdk", "operator"])
def test_source_folders_are_no_packages(folder: str) -> None:
    """`operator` is a module of the standard library: an `__init__.py` beside ours would hide it."""
    assert not (ROOT / folder / "__init__.py").exists()
    packages = [path.name for path in (ROOT / folder).iterdir() if (path / "__init__.py").exists()]
    assert len(packages) == 1


def test_importing_towpath_loads_the_standard_library_only() -> None:
    """Neither `import towpath` nor its decorators load anything that has to be installed, nor asyncio and logging."""
    code = "import sys; before = set(sys.modules); from towpath import flow, task; print(*(set(sys.modules) - before))"
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    foreign = {name for name in loaded if name.partition(".")[0] not in {*sys.stdlib_module_names, "towpath"}}
    assert foreign == set()
    assert not {"asyncio", "logging", "inspect", "dataclasses", "threading"} & set(loaded)


def test_importing_towpath_costs_little() -> None:
    """`from towpath import flow, task` takes at most 40 ms over an interpreter that takes 15; taken as a ratio."""
    bare = min(cpu_seconds("pass") for _ in range(7))
    ours = min(cpu_seconds("from towpath import flow, task") for _ in range(7))
    assert ours - bare <= 40 / 15 * bare


def test_everything_public_is_listed_and_can_be_had() -> None:
    """`__all__` is sorted and complete: what a type checker sees is what there is."""
    tree = ast.parse(Path(towpath.__file__).read_text(encoding="utf-8"))
    guarded = next(node for node in tree.body if isinstance(node, ast.If))
    typed = {alias.name for node in guarded.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert set(towpath.__all__) == typed | {"__version__"}
    assert towpath.__all__ == sorted(towpath.__all__)
    for name in towpath.__all__:
        assert getattr(towpath, name) is not None
        assert name in dir(towpath)
    with pytest.raises(AttributeError, match="nothing"):
        _ = towpath.nothing  # type: ignore[attr-defined]


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_files_stay_small(path: Path) -> None:
    """At most 500 lines."""
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 500


@pytest.mark.parametrize("path", [path for path in SOURCES if path.stat().st_size], ids=relative)
def test_modules_say_what_they_are_for(path: Path) -> None:
    """Each begins with a docstring."""
    assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))


@pytest.mark.parametrize("path", TESTS, ids=relative)
def test_tests_say_what_is_promised(path: Path) -> None:
    """Every test has a docstring."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    functions = (node for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)))
    assert [node.name for node in functions if node.name.startswith("test_") and not ast.get_docstring(node)] == []


def test_every_error_is_drawn_in_the_tree() -> None:
    """The drawing in the docstring of `towpath.errors` shows each class below its base."""
    drawn: dict[str, str] = {}
    above: list[tuple[int, str]] = []
    for line in (errors.__doc__ or "").splitlines():
        name = line.lstrip(" │├└─").split(" ")[0]
        if not name or not hasattr(errors, name):
            continue
        indent = line.index(name)
        above = [(depth, base) for depth, base in above if depth < indent]
        drawn[name] = above[-1][1] if above else ""
        above.append((indent, name))
    classes = {name: cls for name, cls in vars(errors).items() if isinstance(cls, type) and issubclass(cls, Exception)}
    own = {name: cls for name, cls in classes.items() if cls.__module__ == errors.__name__}
    assert drawn == {name: "" if name == "TowpathError" else cls.__bases__[0].__name__ for name, cls in own.items()}


@pytest.mark.parametrize(
    ("definition", "listed"), [(Flow, options.FlowOptions), (Task, options.TaskOptions)], ids=["flow", "task"]
)
def test_options_are_typed_as_they_are_taken(definition: Any, listed: Any) -> None:
    """What `@flow` and `@task` take is what the list of options says, and the reverse."""
    assert set(listed.__annotations__) == set(definition._DEFAULTS)


def test_every_setting_is_explained() -> None:
    """Each environment variable that `towpath.settings` reads stands in its docstring."""
    source = Path(settings.__file__).read_text(encoding="utf-8")
    read = {
        node.value
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Constant) and str(node.value).startswith("TOWPATH_") and str(node.value).isupper()
    }
    assert read
    assert all(name in (settings.__doc__ or "") for name in read)
