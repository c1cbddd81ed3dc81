"""`towpath limits …` and `towpath queues …` of a cluster: from the line that is typed, over HTTP, to the exit code."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.contract.fake_api import FakeApi

from towpath.cli.__main__ import main
from towpath.cli.exits import Exit

Towpath = Callable[[str], tuple[int, str, str]]


@pytest.fixture
def api() -> Iterator[FakeApi]:
    """Give a fake API."""
    with FakeApi() as api:
        yield api


@pytest.fixture
def towpath(
    api: FakeApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Towpath:
    """Give what types a command; gives its exit code, standard output and standard error."""
    config = {
        "current-context": "fake",
        "contexts": [{"name": "fake", "context": {"cluster": "fake", "user": "me", "namespace": "default"}}],
        "clusters": [{"name": "fake", "cluster": {"server": api.url}}],
        "users": [{"name": "me", "user": {"token": "a-secret-token"}}],
    }
    (tmp_path / "kubeconfig").write_text(json.dumps(config))
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "kubeconfig"))
    monkeypatch.setenv("TOWPATH_HISTORY", str(tmp_path / "history.db"))

    def typed(line: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main(line.split())
        return int(code), *capsys.readouterr()

    return typed


def spec(api: FakeApi, plural: str, name: str) -> object:
    """Read what was set."""
    return api.read(plural, name)["spec"]


@pytest.mark.parametrize(
    ("typed", "says", "name", "written"),
    [
        ("db 5", "db has 5 slots.", "db", {"limit": 5}),
        ("My_API 1", "my-api has 1 slot.", "my-api", {"limit": 1}),
        (
            "api 10 --slot-decay-per-second 0.5",
            "api has 10 slots, of which 0.5 a second come free by themselves.",
            "api",
            {"limit": 10, "slotDecayPerSecond": "0.5"},
        ),
        (
            "tag:heavy 2",
            "tag-heavy has 2 slots for tasks tagged heavy.",
            "tag-heavy",
            {"limit": 2, "tag": "heavy"},
        ),
        (
            "tag:gpu 2 --runs",
            "tag-gpu-runs has 2 slots for runs tagged gpu.",
            "tag-gpu-runs",
            {"limit": 2, "tag": "gpu", "appliesTo": "Runs"},
        ),
        ("shut 0", "shut has 0 slots: nobody gets in.", "shut", {"limit": 0}),
    ],
    ids=["slots", "a name that no resource has", "a rate", "a tag of tasks", "a tag of runs", "none"],
)
def test_a_limit_is_made(towpath: Towpath, api: FakeApi, typed: str, says: str, name: str, written: object) -> None:
    """What was understood is said, and is what stands in the resource."""
    assert towpath(f"limits set {typed} -n default") == (Exit.OK, f"{says}\n", "")
    assert spec(api, "concurrencylimits", name) == written


def test_a_limit_is_changed_in_what_is_said(towpath: Towpath, api: FakeApi) -> None:
    """The rest stays; a tag finds its limit under whatever name."""
    api.create(
        "concurrencylimits",
        {"metadata": {"name": "big"}, "spec": {"limit": 1, "tag": "heavy", "slotDecayPerSecond": "2"}},
    )
    towpath("limits set tag:heavy 3 -n default")
    towpath("limits set big --inactive --cluster")
    assert spec(api, "concurrencylimits", "big") == {
        "limit": 3,
        "tag": "heavy",
        "slotDecayPerSecond": "2",
        "suspend": True,
    }
    towpath("limits set big --active --slot-decay-per-second 0 -n default")
    assert spec(api, "concurrencylimits", "big") == {"limit": 3, "tag": "heavy"}


def test_limits_are_listed_with_who_has_their_slots(towpath: Towpath, api: FakeApi) -> None:
    """As a table and as JSON; what nobody has counted yet is left out."""
    assert towpath("limits ls -n default")[2].startswith("There are no limits in namespace 'default'.")
    towpath("limits set db 5 -n default")
    towpath("limits set tag:heavy 1 -n default")
    status = {"active": 3, "waiting": 2, "holders": [{"run": "a-1", "slots": 2}, {"run": "b-1", "slots": 1}]}
    api.objects["concurrencylimits", "default", "db"]["status"] = status
    assert towpath("limits ls -n default")[1] == (
        "LIMIT      FOR                 SLOTS  TAKEN  WAITING\n"
        "db                             5      3      2\n"
        "  held by flow run 'a-1', 2 slots\n"
        "  held by flow run 'b-1'\n"
        "tag-heavy  tasks tagged heavy  1\n"
    )
    one = json.loads(towpath("limits inspect db -n default --json")[1])
    assert (one["taken"], one["waiting"], one["holders"][0]) == (3, 2, {"run": "a-1", "slots": 2})
    page = towpath("limits inspect tag:heavy -n default")[1]
    assert page.startswith("tag-heavy\n\nSlots  1\nFor    tasks tagged heavy\n")


def test_limits_are_deleted_all_or_none(towpath: Towpath, api: FakeApi) -> None:
    """One that does not exist keeps the others."""
    towpath("limits set db 5 -n default")
    code, out, err = towpath("limits delete db nothing -n default")
    assert (code, out) == (Exit.NOT_FOUND, "")
    assert "There is no limit 'nothing' in namespace 'default'." in err
    assert towpath("limits delete db -n default")[:2] == (Exit.OK, "db is deleted.\n")
    assert not api.objects


@pytest.mark.parametrize(
    ("typed", "code", "says"),
    [
        ("limits set db -n default", Exit.USAGE, "There is no limit 'db' in namespace 'default' yet: say how many"),
        ("limits set db -1 -n default", Exit.USAGE, "got -1"),
        ("limits set db 1 --runs -n default", Exit.USAGE, "--runs goes with tag:NAME; got 'db'"),
        ("limits set tag:x 1 --runs --local", Exit.USAGE, "--runs is for a cluster"),
        ("limits set db 1 --slot-decay-per-second 1e9 -n default", Exit.USAGE, "0.000001 to 999999"),
        ("limits inspect db -n default", Exit.NOT_FOUND, "There is no limit 'db'"),
        ("limits inspect db", Exit.NOT_FOUND, "There is no limit 'db' on this machine"),
        ("queues ls", Exit.USAGE, "There are no queues on this machine: a served deployment has a limit of its own"),
        ("queues set nightly many -n default", Exit.USAGE, "got 'many'"),
        ("queues set nightly 1 --unlimited -n default", Exit.USAGE, "not both"),
        ("queues set Night_Shift 1 -n default", Exit.USAGE, "Take 'night-shift'"),
        ("queues pause nightly -n default", Exit.NOT_FOUND, "There is no queue 'nightly' in namespace 'default'."),
        ("queues delete nightly -n default", Exit.NOT_FOUND, "There are none: `towpath queues set` makes one."),
    ],
)
def test_what_makes_no_sense_is_refused(towpath: Towpath, api: FakeApi, typed: str, code: Exit, says: str) -> None:
    """The exit code and a sentence tell what is wrong; nothing has been done."""
    ended, out, err = towpath(typed)
    assert (ended, out) == (code, "")
    assert says in err
    assert not api.objects


def test_a_queue_is_made_changed_steered_and_deleted(towpath: Towpath, api: FakeApi) -> None:
    """What is not said stays as it is."""
    steps = [
        ("set nightly 5", "nightly lets 5 runs work at once.", {"limit": 5}),
        ("set nightly --priority 9", "nightly lets 5 runs work at once, at priority 9.", {"limit": 5, "priority": 9}),
        (
            "pause nightly",
            "nightly lets 5 runs work at once, at priority 9, but is suspended: no more begin.",
            {"limit": 5, "priority": 9, "suspend": True},
        ),
        ("resume nightly", "nightly lets 5 runs work at once, at priority 9.", {"limit": 5, "priority": 9}),
        ("set nightly --unlimited --priority 0", "nightly lets any number of runs work at once.", {}),
    ]
    for typed, says, written in steps:
        assert towpath(f"queues {typed} -n default") == (Exit.OK, f"{says}\n", "")
        assert spec(api, "queues", "nightly") == written
    assert towpath("queues delete nightly -n default")[:2] == (Exit.OK, "nightly is deleted.\n")
    assert not api.objects


def test_a_queue_shows_who_waits_in_it(towpath: Towpath, api: FakeApi) -> None:
    """Runs that name it, and those of deployments that do; not those that have begun, or have ended."""
    towpath("queues set nightly 1 -n default")
    api.create("deployments", {"metadata": {"name": "etl"}, "spec": {"flowRef": "etl", "queue": "nightly"}})
    flow = {"flow": {"image": "shop:1", "entrypoint": "a:b"}}
    runs = {
        "deployed": {"deploymentRef": "etl"},
        "named": flow | {"queue": "nightly"},
        "begun": {"deploymentRef": "etl"},
        "other": flow,
    }
    for second, (name, wanted) in enumerate(runs.items()):
        metadata = {"name": name, "creationTimestamp": f"2026-01-01T00:00:0{second}Z"}
        api.create("flowruns", {"metadata": metadata, "spec": wanted})
    api.set_status("begun", attempt=1, job="begun-1")
    api.set_status("deployed", waitingFor="Queue nightly (1 ahead)")
    page = towpath("queues inspect nightly -n default")[1]
    assert "Waiting runs\n  deployed  Queue nightly (1 ahead)\n  named\n" in page
    told = json.loads(towpath("queues inspect nightly -n default --json")[1])
    assert [each["run"] for each in told["line"]] == ["deployed", "named"]
    listed = json.loads(towpath("queues ls -n default --json")[1])
    assert [(queue["name"], queue["limit"], queue["suspended"]) for queue in listed] == [("nightly", 1, False)]


def test_runs_say_what_they_wait_for_and_what_they_hold(towpath: Towpath, api: FakeApi) -> None:
    """In the list those that wait say for what; on a run's page slots of its code are told as well."""
    flow = {"flow": {"image": "shop:1", "entrypoint": "a:b"}}
    for name in ("queued", "inside"):
        api.create("flowruns", {"metadata": {"name": name}, "spec": flow})
    api.set_status("queued", waitingFor="Queue nightly (1 ahead)")
    running = {"type": "RUNNING", "name": "Running", "since": "2026-01-01T00:00:00.000000Z"}
    wanted = [{"limit": "db", "slots": 3, "number": 2}, {"limit": "api", "slots": 1, "number": 1}]
    api.set_status("inside", state=running, slotsWanted=wanted, slotsGranted=[wanted[0] | {"slots": 2}])
    listed = towpath("runs ls -n default")[1]
    assert "Queue nightly (1 ahead)" in listed
    assert "1 slot of db, 1 slot of api" in listed
    page = towpath("runs inspect inside -n default")[1]
    assert "Waits for  1 slot of db\n           1 slot of api\n" in page
    assert "Holds      2 slots of db\n" in page
