"""Where a run's flow came from, so that another process can begin the run anew."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.sdk.pausing import flows

from towpath import flow
from towpath.entrypoints import load_flow
from towpath.origins import origin_of

renamed = flows.suspends.with_options(name="renamed")


class Etl:
    """Flows that are methods."""

    @staticmethod
    @flow
    def static() -> None:
        """Do nothing."""

    @flow
    def bound(self) -> None:
        """Do nothing."""


@pytest.mark.parametrize(
    ("made", "name"),
    [(flows.suspends, "suspends"), (renamed, None), (Etl.static, "Etl.static")],
    ids=["of a module", "a variant that its own module has no name for", "of a class"],
)
def test_a_flow_is_found_by_its_file_and_name(made: object, name: str | None) -> None:
    """Such that the entrypoint gives the very same flow."""
    origin = origin_of(made)  # type: ignore[arg-type]
    if name is None:
        assert origin is None
        return
    assert origin is not None
    told = json.loads(origin)
    assert told["entrypoint"].endswith(f".py:{name}")
    assert told["folder"] == str(Path.cwd())
    assert load_flow(told["entrypoint"]) is made


def test_what_no_other_process_could_load_has_no_origin(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Local flows, those of an instance, those typed in, and any where the working folder is gone."""

    @flow
    def local() -> None: ...

    assert origin_of(local) is None
    assert origin_of(Etl().bound) is None
    assert origin_of(flow(lambda: None, name="typed")) is None
    with monkeypatch.context() as patch:
        patch.setattr(local.fn, "__module__", "no_such_module")
        assert origin_of(local) is None
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert origin_of(flows.suspends) is None
