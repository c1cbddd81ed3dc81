"""Where the history is kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from towpath.history.place import history_file


@pytest.mark.parametrize(
    ("environment", "place"),
    [
        pytest.param({"TOWPATH_HISTORY": "/a/runs.db", "TOWPATH_HOME": "/b"}, "/a/runs.db", id="the file itself"),
        pytest.param({"TOWPATH_HOME": "/b", "XDG_STATE_HOME": "/c"}, "/b/history.db", id="Towpath's folder"),
        pytest.param({"XDG_STATE_HOME": "/c"}, "/c/towpath/history.db", id="the user's folder for state"),
        pytest.param({"XDG_STATE_HOME": "c"}, "~/.local/state/towpath/history.db", id="a relative one does not count"),
        pytest.param({"TOWPATH_HISTORY": " "}, "~/.local/state/towpath/history.db", id="nothing said"),
        pytest.param({"TOWPATH_HISTORY": "~/runs.db"}, "~/runs.db", id="in the user's home"),
        pytest.param({"TOWPATH_HISTORY": "OFF"}, None, id="off"),
    ],
)
def test_the_environment_says_where(environment: dict[str, str], place: str | None) -> None:
    """The most particular setting wins; without any the user's folder for state is used."""
    assert history_file(environment) == (None if place is None else Path(place).expanduser())
