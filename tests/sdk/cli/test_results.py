"""`towpath results`: what is kept, shown and removed."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from towpath.cli.__main__ import main
from towpath.cli.exits import Exit
from towpath.results import ResultStore

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ResultStore:
    """Give this user's own storage, with four results."""
    monkeypatch.setenv("TOWPATH_RESULT_STORAGE", str(tmp_path / "kept"))
    store = ResultStore(serializer="json")
    store.write({"rows": 2}, "sales/2026", timedelta(days=900), source="load-0")
    store.write("two\nlines", "a-text")
    store.write([1], "old", LONG_AGO)
    (tmp_path / "kept" / "stranger").write_bytes(b"not of ours")
    return store


def listed(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[dict[str, object]]:
    """Give what `results ls` lists."""
    assert main(["results", "ls", "--json", *arguments]) == Exit.OK
    found: list[dict[str, object]] = json.loads(capsys.readouterr().out)
    return found


def test_results_are_listed_with_all_that_is_known_without_reading_them(
    store: ResultStore, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also such as have expired, and what is no result at all."""
    found = {one["key"]: one for one in listed(capsys)}
    assert set(found) == {"sales/2026", "a-text", "old", "stranger"}
    assert (found["sales/2026"]["source"], found["sales/2026"]["bytes"]) == ("load-0", 10)
    assert (found["old"]["expired"], found["a-text"]["expired"], found["a-text"]["expires"]) == (True, False, None)
    assert "no record of a result" in str(found["stranger"]["problem"])
    assert len(listed(capsys, "--limit", "2")) == 2
    assert main(["results", "ls"]) == Exit.OK
    shown = capsys.readouterr().out.splitlines()
    assert shown[0].split() == ["KEY", "RESULT", "OF", "SERIALIZER", "SIZE", "AGE", "EXPIRES", "PROBLEM"]
    assert shown[-1].startswith("4 in ")


def test_an_empty_place_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """On standard error, as what is for people only."""
    assert main(["results", "ls", "--storage", str(tmp_path / "nothing")]) == Exit.OK
    out, err = capsys.readouterr()
    assert out == ""
    assert "There are no results in" in err


def test_a_result_is_shown_with_its_value(store: ResultStore, capsys: pytest.CaptureFixture[str]) -> None:
    """A text as it is, anything else as JSON."""
    assert main(["results", "show", "a-text"]) == Exit.OK
    assert capsys.readouterr().out.endswith("two\nlines\n")
    assert main(["results", "show", "sales/2026", "--json"]) == Exit.OK
    assert json.loads(capsys.readouterr().out)["value"] == {"rows": 2}
    ResultStore().write({1, 2}, "a-set")
    assert main(["results", "show", "a-set", "--json"]) == Exit.OK
    assert json.loads(capsys.readouterr().out)["value"] == "{1, 2}"


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["show", "sales"], Exit.NOT_FOUND, "There is no result 'sales' in .*. Is 'sales/2026' meant"),
        (["show", "nothing"], Exit.NOT_FOUND, "`towpath results ls` lists them"),
        (["show", "old"], Exit.NOT_COMPLETED, "cannot be shown: it has expired, at 2020-01-01"),
        (["show", "stranger"], Exit.NOT_COMPLETED, "cannot be shown: it is no record of a result"),
        (["delete", "a-text", "nothing"], Exit.NOT_FOUND, "There is no result 'nothing'"),
        (["prune", "--older-than", "soon"], Exit.USAGE, "--older-than takes 30m"),
        (["ls", "--limit", "-1"], Exit.USAGE, "--limit takes a whole number"),
        (["ls", "--storage", "nowhere://x"], Exit.USAGE, "cannot be opened"),
    ],
    ids=["a beginning", "nothing like it", "expired", "no result", "all or none", "no time", "no number", "no storage"],
)
def test_mistakes_are_sentences(
    arguments: list[str], code: Exit, sentence: str, store: ResultStore, capsys: pytest.CaptureFixture[str]
) -> None:
    """And nothing is done."""
    assert main(["results", *arguments]) == code
    with pytest.raises(AssertionError, match=sentence):
        raise AssertionError(capsys.readouterr().err)
    assert store.exists("a-text")


def test_results_are_deleted(store: ResultStore, capsys: pytest.CaptureFixture[str]) -> None:
    """By their whole keys."""
    assert main(["results", "delete", "a-text", "sales/2026"]) == Exit.OK
    assert capsys.readouterr().out == "a-text is deleted.\nsales/2026 is deleted.\n"
    assert {one["key"] for one in listed(capsys)} == {"old", "stranger"}


def test_expired_results_are_pruned_and_old_ones_if_wished(
    store: ResultStore, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is no result of ours stays."""
    assert main(["results", "prune"]) == Exit.OK
    assert capsys.readouterr().out.startswith("1 result is deleted from ")
    assert {one["key"] for one in listed(capsys)} == {"sales/2026", "a-text", "stranger"}
    assert main(["results", "prune", "--older-than", "0s", "--json"]) == Exit.OK
    assert {one["key"] for one in json.loads(capsys.readouterr().out)} == {"sales/2026", "a-text"}
    assert {one["key"] for one in listed(capsys)} == {"stranger"}


def test_results_elsewhere_are_meant_where_that_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever fsspec reaches."""
    place = "memory://results-of-the-command-line"
    ResultStore(place).write(5, "five")
    assert [one["key"] for one in listed(capsys, "--storage", place)] == ["five"]
    assert main(["results", "show", "five", "--storage", place]) == Exit.OK
    assert capsys.readouterr().out.endswith("\n5\n")
    assert main(["results", "delete", "five", "--storage", place]) == Exit.OK
