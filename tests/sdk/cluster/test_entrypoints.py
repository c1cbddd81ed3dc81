"""How flows are named so that another process can load them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from towpath import entrypoints, flow
from towpath.entrypoints import entrypoint_of, load_flow
from towpath.errors import EntrypointError

CODE = """
from towpath import flow

@flow
def load(day: str) -> str:
    return day

@flow
def other() -> None: ...

def plain(): ...

class Etl:
    @staticmethod
    @flow
    def static() -> None: ...

    @flow
    def method(self) -> None: ...
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Give a working directory with flows, and forget afterwards what was imported from it."""
    (tmp_path / "towing.py").write_text(CODE)
    (tmp_path / "json.py").write_text(CODE)
    (tmp_path / "my-flow.v2.py").write_text(CODE)
    (tmp_path / "pkg" / "inner").mkdir(parents=True)
    for part in ("pkg", "pkg/inner"):
        (tmp_path / part / "__init__.py").write_text("")
    (tmp_path / "pkg" / "inner" / "deep.py").write_text("from . import sibling\n" + CODE)
    (tmp_path / "pkg" / "inner" / "sibling.py").write_text("")
    (tmp_path / "broken.py").write_text("import no_such_package_of_ours\n")
    (tmp_path / "script.py").write_text("import sys\nsys.exit(3)\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(entrypoints, "_files", {})
    before, path = set(sys.modules), list(sys.path)
    yield tmp_path
    for name in set(sys.modules) - before:
        module = sys.modules[name]
        if str(getattr(module, "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[name]
    sys.path[:] = path


@pytest.mark.parametrize(
    ("entrypoint", "module"),
    [
        ("towing:load", "towing"),
        ("towing.py:load", "towing"),
        ("./towing.py:load", "towing"),
        ("pkg.inner.deep:load", "pkg.inner.deep"),
        ("pkg/inner/deep.py:load", "pkg.inner.deep"),
        ("towing:Etl.static", "towing"),
    ],
)
def test_a_flow_is_loaded_under_the_name_of_its_module(folder: Path, entrypoint: str, module: str) -> None:
    """Module or path, the module is the one that an import would give, so that pickles fit in any process."""
    loaded = load_flow(entrypoint)
    assert loaded.fn.__module__ == module
    assert sys.modules[module].__name__ == module


def test_a_file_is_loaded_once(folder: Path) -> None:
    """The same file by another path or by its module is the same flow object."""
    assert load_flow("towing.py:load") is load_flow(f"{folder}/towing.py:load") is load_flow("towing:load")


@pytest.mark.parametrize("name", ["json.py", "my-flow.v2.py"], ids=["taken by another module", "no module's name"])
def test_a_file_whose_name_cannot_be_imported_gets_one_of_its_own(folder: Path, name: str) -> None:
    """The module of that name stays what it is, and what the file defines can be found again in `sys.modules`."""
    import json

    loaded = load_flow(f"{name}:load")
    assert sys.modules["json"] is json
    assert sys.modules[loaded.fn.__module__].load is loaded


@pytest.mark.parametrize(
    "entrypoint", ["towing:load", "towing.py:load", "pkg/inner/deep.py:load", "json.py:other", "towing:Etl.static"]
)
def test_a_loaded_flow_is_named_as_it_was_loaded(folder: Path, entrypoint: str) -> None:
    """A child is named by the same path as its parent, relative to the image's working directory."""
    assert entrypoint_of(load_flow(entrypoint)) == entrypoint


def test_a_flow_with_other_options_is_still_that_flow(folder: Path) -> None:
    """`with_options` changes how it runs, not where it is."""
    assert entrypoint_of(load_flow("towing.py:load").with_options(retries=3)) == "towing.py:load"


@pytest.mark.parametrize(
    ("entrypoint", "words"),
    [
        ("towing", "'towing' is no entrypoint: write 'pkg.mod:fn' or 'path/file.py:fn'"),
        (":load", "no entrypoint"),
        ("towing:lod", r"there is no 'lod'. It has the flows 'load', 'other'"),
        ("towing:plain", r"'plain' is a plain function, not a flow. It has the flows"),
        ("towing:Etl", r"'Etl' is a class, not a flow. It has the flows"),
        ("pkg:load", "It has no flows: decorate a function with @flow"),
        ("no_such.module:load", "there is no module 'no_such'"),
        ("pkg.nothing:load", "there is no module 'pkg.nothing'"),
        ("missing.py:load", "there is no file 'missing.py' in"),
        ("broken:load", "importing it raised ModuleNotFoundError: No module named 'no_such_package_of_ours'"),
        ("broken.py:load", "importing it raised ModuleNotFoundError"),
        ("script.py:load", "it ended the process while it was imported"),
    ],
)
def test_what_cannot_be_loaded_says_why_and_what_there_is(folder: Path, entrypoint: str, words: str) -> None:
    """Missing file, module, function or dependency: each has its own words, and the flows that there are."""
    with pytest.raises(EntrypointError, match=words.replace("(", r"\(")):
        load_flow(entrypoint)


@flow
def at_top() -> None:
    """A flow that any process could load, but for tests' own way of importing."""


class Shop:
    """Something with a flow as a method."""

    @flow
    def sell(self) -> None:
        """Need a shop."""


def test_a_flow_that_no_other_process_could_load_says_what_to_do() -> None:
    """Local functions, lambdas, methods of objects and what is in `__main__` need `inline=True` or another place."""

    @flow
    def local() -> None: ...

    in_main = at_top.with_options()
    in_main.fn = lambda: None
    for unloadable in (local, flow(name="lambda")(lambda: None), Shop().sell):
        with pytest.raises(EntrypointError, match=r"cannot run in a pod of its own: .*inline=True"):
            entrypoint_of(unloadable)


def test_a_function_that_was_replaced_is_not_mistaken_for_the_flow(folder: Path) -> None:
    """A name that leads to something else must not run that in the flow's place."""
    load, other = load_flow("towing:load"), load_flow("towing:other")
    sys.modules["towing"].load = other  # type: ignore[attr-defined]
    with pytest.raises(EntrypointError, match="another object"):
        entrypoint_of(load)
