"""The parts of the cluster's benchmark that need no cluster: figures that are wrong would be believed."""

from __future__ import annotations

import json
import math
from collections import Counter
from pathlib import Path

import pytest
from tests.bench.cluster import page
from tests.bench.cluster.audit import Audit, Writes
from tests.bench.cluster.findings import Finding, at_least, at_most, share, spread
from tests.bench.cluster.samples import Samples
from tests.cluster.settings import REPOSITORY

USER = "system:serviceaccount:bench-system:towpath-operator"


def scrape(*counts: float) -> Samples:
    lines = ["# TYPE took histogram"]
    bounds = ("0.01", "0.05", "+Inf")
    for kind, factor in (("Run", 1), ("Other", 100)):
        lines += [f'took_bucket{{kind="{kind}",le="{le}"}} {n * factor}' for le, n in zip(bounds, counts, strict=True)]
        lines.append(f'took_count{{kind="{kind}"}} {counts[-1] * factor}')
    return Samples("\n".join([*lines, ""]))


def test_a_quantile_is_of_what_was_observed_in_between() -> None:
    """What came before the earlier scrape, and what other series say, does not count."""
    before, after = scrape(0, 100, 100), scrape(98, 199, 200)
    assert after.quantile("took", 0.98, before, kind="Run") == 0.01
    assert after.quantile("took", 0.99, before, kind="Run") == 0.05
    assert after.quantile("took", 1.0, before, kind="Run") == math.inf
    assert math.isnan(after.quantile("took", 0.5, after, kind="Run"))
    assert after.sum("took_count", kind="Run") == 200
    assert after.sum("took_count") == 200 + 20_000


def entry(verb: str, resource: str, user: str = USER, subresource: str | None = None) -> str:
    target = {"resource": resource} | ({"subresource": subresource} if subresource else {})
    return json.dumps({"verb": verb, "user": {"username": user}, "objectRef": target}) + "\n"


def test_writes_are_counted_from_now_on_and_through_a_rotation(tmp_path: Path) -> None:
    """Only writes, the user's apart, no Lease, only once each, and none is lost when the log is put aside or a line is half there."""
    log = tmp_path / "audit.log"
    log.write_text(entry("create", "jobs"))
    audit = Audit(log, USER)
    half = entry("create", "jobs")
    with log.open("a") as file:
        file.write(
            entry("patch", "flowruns", subresource="status")
            + entry("get", "jobs")
            + entry("create", "jobs", "me")
            + entry("update", "leases")
        )
        file.write(half[:20])
    assert audit.writes() == Writes(Counter({"patch flowruns/status": 1}), 2)
    with log.open("a") as file:
        file.write(half[20:] + entry("delete", "jobs"))
    log.rename(tmp_path / "audit-1.log")
    log.write_text(entry("create", "jobs"))
    assert audit.writes() == Writes(Counter({"create jobs": 2, "delete jobs": 1}), 3)
    assert audit.writes() == Writes()
    audit.close()


@pytest.mark.parametrize(
    ("finding", "verdict"),
    [
        pytest.param(at_most("x", 5.0, 5.0, "{:.1f}"), "kept", id="at most"),
        pytest.param(at_most("x", 5.1, 5.0, "{:.1f}"), "**missed**", id="more"),
        pytest.param(at_most("x", math.nan, 5.0, "{:.1f}"), "**missed**", id="nothing was measured"),
        pytest.param(at_least("x", 0.9, 0.9, "{:.1f}"), "kept", id="at least"),
        pytest.param(at_least("x", 0.8, 0.9, "{:.1f}"), "**missed**", id="less"),
        pytest.param(Finding("x", "1"), "—", id="no budget"),
    ],
)
def test_a_figure_is_held_to_its_budget(finding: Finding, verdict: str) -> None:
    """Kept, missed, or held to nothing; what could not be measured is not kept."""
    assert finding.verdict == verdict


def test_shares() -> None:
    """Percentiles are those of the values, also of a single one."""
    values = [float(n) for n in range(1, 101)]
    assert share(values, 50) == 50.5
    assert share([3.0], 99) == 3.0
    assert spread([1.0, 1.0]) == "1.00 / 1.00 / 1.00 s"


def test_figures_take_the_place_of_earlier_ones(tmp_path: Path) -> None:
    """The page that is written by hand stays as it is around them, however often they are measured."""
    by_hand = (REPOSITORY / "docs" / "scale.md").read_text()
    copy = tmp_path / "scale.md"
    copy.write_text(by_hand)
    page.write(copy, [Finding("first", "1")], 60.0, 0.5)
    page.write(copy, [Finding("second", "2")], 60.0, 0.5)
    written = copy.read_text()
    assert "| second | 2 |" in written
    assert "| first |" not in written
    assert written.split("<!-- figures")[0] == by_hand.split("<!-- figures")[0]
    assert written.split("end of figures -->")[1] == by_hand.split("end of figures -->")[1]
