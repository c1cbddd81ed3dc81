"""Where results go that are too large for a status."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from towpath import stores
from towpath.errors import ConfigurationError, MissingResult


@pytest.mark.parametrize("form", ["path", "url", "with a space"])
def test_what_is_written_is_read_by_its_reference(tmp_path: Path, form: str) -> None:
    """A path and a file URL are the same place, and the reference is good in any working directory."""
    folder = tmp_path / ("a b" if form == "with a space" else "results")
    storage = folder.as_uri() if form != "path" else str(folder)
    ref = stores.write(storage, "ns/run-1.json", b"[1]")
    assert ref == str(folder / "ns" / "run-1.json")
    assert stores.read(ref) == b"[1]"


def test_writing_leaves_no_half_file(tmp_path: Path) -> None:
    """A value replaces an older one whole, and nothing else is left in the folder."""
    stores.write(str(tmp_path), "a.json", b"old")
    stores.write(str(tmp_path), "a.json", b"new")
    assert [(file.name, file.read_bytes()) for file in tmp_path.iterdir()] == [("a.json", b"new")]


def test_a_relative_storage_gives_an_absolute_reference(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reader may stand elsewhere."""
    monkeypatch.chdir(tmp_path)
    assert stores.write("kept", "a.json", b"1") == str(tmp_path / "kept" / "a.json")


def test_a_missing_value_says_where_it_was_looked_for() -> None:
    """The usual cause is a folder that only the writer has."""
    with pytest.raises(
        MissingResult, match=r"'/no/such/file' cannot be read here: No such file .* both the run and its reader"
    ):
        stores.read("/no/such/file")


def test_a_url_without_fsspec_names_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """Object storage needs packages that Towpath does not bring."""
    monkeypatch.setitem(sys.modules, "fsspec", None)
    monkeypatch.setitem(sys.modules, "fsspec.core", None)
    with pytest.raises(ConfigurationError, match=r"'s3://bucket' needs fsspec .* pip install fsspec"):
        stores.write("s3://bucket", "a.json", b"")
