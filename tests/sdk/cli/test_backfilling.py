"""`towpath deployments backfill`: the runs of a past stretch of time, each once, and no more than was allowed."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from towpath import names
from towpath.cli import backfilling
from towpath.cli.__main__ import main
from towpath.cli.exits import Exit
from towpath.errors import Conflict, NotFound

HOURLY = {"name": "hourly", "cron": "0 * * * *"}
DAILY = {"name": "daily", "cron": "30 6 * * *", "timezone": "Asia/Tokyo", "parameters": {"full": True}}
DAY = ["--from", "2026-03-01T00:00+00:00", "--to", "2026-03-01T03:00+00:00"]


class Cluster:
    """A namespace with one Deployment, which refuses a second run of a name."""

    namespace = "data"

    def __init__(self, *schedules: dict[str, Any], **spec: Any) -> None:
        self.spec = {"flowRef": "f", "schedules": list(schedules), **spec}
        self.runs: dict[str, Mapping[str, Any]] = {}

    def get_deployment(self, name: str) -> dict[str, Any]:
        if name != "nightly":
            raise NotFound(f"There is no {name}.")
        return {"metadata": {"name": name, "namespace": "data"}, "spec": self.spec}

    def list_deployments(self) -> Any:
        raise NotFound("Nobody may list.")

    def create_run(self, manifest: Mapping[str, Any]) -> Mapping[str, Any]:
        name = manifest["metadata"]["name"]
        if name in self.runs:
            raise Conflict(f"{name} exists.")
        self.runs[name] = manifest
        return manifest


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Cluster:
    """Let the command meet a cluster of the test's own."""
    made = Cluster(HOURLY, DAILY, parameters={"full": False, "city": "Oslo"})

    @contextmanager
    def meant(_: object) -> Iterator[tuple[Cluster, None]]:
        yield made, None

    monkeypatch.setattr(backfilling, "cluster_meant", meant)
    return made


def backfill(*arguments: str, deployment: str = "nightly") -> int:
    """Type the command."""
    return main(["deployments", "backfill", deployment, "-n", "data", *arguments])


def test_every_time_of_the_stretch_gets_its_run(cluster: Cluster, capsys: pytest.CaptureFixture[str]) -> None:
    """Both ends count, all schedules together, in order; each run is the one that the operator would have made."""
    assert backfill("--from", "2026-03-01T20:00+00:00", "--to", "2026-03-01T22:00+00:00") == Exit.OK

    out, err = capsys.readouterr()
    assert out.splitlines() == list(cluster.runs)
    assert err == "4 runs made.\n"
    made = [(run["metadata"]["labels"][names.LABEL_SCHEDULE], run["spec"]) for run in cluster.runs.values()]
    assert [(name, spec["scheduledTime"][11:16]) for name, spec in made] == [
        ("hourly", "20:00"),
        ("hourly", "21:00"),
        ("daily", "21:30"),
        ("hourly", "22:00"),
    ]
    assert made[2][1]["parameters"] == {"full": True, "city": "Oslo"}
    due = datetime(2026, 3, 1, 20, tzinfo=UTC)
    assert next(iter(cluster.runs)) == names.scheduled_run_name("nightly", "hourly", due)


def test_a_time_that_has_its_run_gets_no_other(cluster: Cluster, capsys: pytest.CaptureFixture[str]) -> None:
    """The command may be repeated, and stretches may overlap."""
    assert backfill("--from", "2026-03-01T00:00+00:00", "--to", "2026-03-01T01:00+00:00") == Exit.OK
    capsys.readouterr()
    assert backfill(*DAY) == Exit.OK
    out, err = capsys.readouterr()
    assert len(out.splitlines()) == 2
    assert err == "2 runs made. 2 runs were there already.\n"
    assert len(cluster.runs) == 4


def test_one_schedule_can_be_chosen_and_nothing_done(cluster: Cluster, capsys: pytest.CaptureFixture[str]) -> None:
    """--dry-run says what would be done; --json says it to programs."""
    stretch = ["--from", "2026-03-01", "--to", "2026-03-05", "--schedule", "daily"]
    assert backfill(*stretch, "--dry-run", "--json") == Exit.OK
    told = json.loads(capsys.readouterr().out)
    assert {(one["schedule"], one["made"]) for one in told} == {("daily", False)}
    assert len(told) == 4
    assert backfill(*stretch, "--dry-run") == Exit.OK
    assert "4 runs would be made" in capsys.readouterr().err
    assert cluster.runs == {}


def test_a_stretch_without_times_is_no_error(cluster: Cluster, capsys: pytest.CaptureFixture[str]) -> None:
    """It says so."""
    assert backfill("--from", "2026-03-01T00:10+00:00", "--to", "2026-03-01T00:20+00:00") == Exit.OK
    assert capsys.readouterr().err == "No run was due in that time.\n"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--from", "2025-03-01"], "There are more than 100 times from 2025-0"),
        ([*DAY, "--max", "3"], "Shorten the stretch, choose one schedule with --schedule, or allow more with --max"),
        ([*DAY, "--max", "0"], "--max takes a whole number above 0; got 0"),
        ([*DAY, "--schedule", "dayly"], "no schedule 'dayly'. It has 'hourly', 'daily'."),
        (["--from", "soon"], "--from takes 30m, 2h, 7d, or a date or time such as 2026-01-31; got 'soon'"),
        (["--from", "2026-03-02", "--to", "2026-03-01"], "which is later than --to"),
        (["--from", "1h", "--to", "2999-01-01"], "still to come: the schedules see to that themselves"),
        ([*DAY, "--local"], "--local means this machine"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_be_is_refused_before_anything_is_made(
    cluster: Cluster, arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """In a sentence that says what to do, with nothing on standard output."""
    assert backfill(*arguments) == Exit.USAGE
    out, err = capsys.readouterr()
    assert out == ""
    assert sentence in err
    assert cluster.runs == {}


@pytest.mark.parametrize(
    ("schedules", "sentence"),
    [
        ([], "Deployment 'nightly' has no schedules. Set spec.schedules."),
        ([HOURLY, {"name": "b", "cron": "0 25 * * *"}], "Schedule 'b' cannot be used: The schedule cron='0 25 * * *'"),
    ],
    ids=["none", "wrong"],
)
def test_a_deployment_without_good_schedules_says_so(
    cluster: Cluster, schedules: list[dict[str, Any]], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """None, or one that cannot be understood."""
    cluster.spec["schedules"] = schedules
    assert backfill(*DAY) == Exit.USAGE
    assert sentence in capsys.readouterr().err


@pytest.mark.parametrize("on_conflict", ["CancelNew", "CancelRunning"])
def test_runs_that_would_be_cancelled_at_once_are_not_made(
    cluster: Cluster, on_conflict: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Their times would have had their runs, for nothing; as many as may be at work at once are."""
    cluster.spec["concurrency"] = {"limit": 3, "onConflict": on_conflict}
    assert backfill(*DAY, "--schedule", "hourly") == Exit.USAGE
    assert f"onConflict is {on_conflict}, and of these 4 runs 1 would be cancelled" in capsys.readouterr().err
    assert cluster.runs == {}

    cluster.spec["concurrency"] = {"limit": 3}
    assert backfill(*DAY, "--schedule", "hourly") == Exit.OK
    cluster.spec["concurrency"] = {"limit": 1, "onConflict": on_conflict}
    assert backfill("--from", DAY[1], "--to", DAY[1], "--schedule", "hourly") == Exit.OK


def test_this_machine_has_no_backfill(capsys: pytest.CaptureFixture[str]) -> None:
    """What makes up for missed runs there is said instead."""
    assert main(["deployments", "backfill", "nightly", *DAY]) == Exit.USAGE
    assert "missed_runs='all'" in capsys.readouterr().err


def test_an_unknown_deployment_is_not_found(cluster: Cluster, capsys: pytest.CaptureFixture[str]) -> None:
    """As with any other verb."""
    assert backfill(*DAY, deployment="other") == Exit.NOT_FOUND
    assert "other" in capsys.readouterr().err


def test_a_fast_schedule_is_not_walked_through_to_its_end(cluster: Cluster) -> None:
    """A year of a schedule that is due every second is refused as quickly as a day of it."""
    cluster.spec["schedules"] = [{"name": "fast", "intervalSeconds": 1}]
    begin, end = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=36_500)
    taken = backfilling._times({"name": "fast", "intervalSeconds": 1}, begin, end, 5)
    assert len(taken) == 6
