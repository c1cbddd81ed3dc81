"""What a server does, a turn at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.sdk.serving.scene import GRACE_SECONDS, START, Scene, deployment, report

from towpath.schedules import Cron, Interval
from towpath.serving.agenda import MissedRuns
from towpath.serving.deployment import ServedDeployment
from towpath.serving.register import Pause
from towpath.states import StateType

MINUTELY = Interval(60)


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Callable[..., Scene]]:
    """Give what makes scenes."""
    made: list[Scene] = []

    def make(*deployments: ServedDeployment, limit: int | None = None) -> Scene:
        made.append(Scene(tmp_path / f"history-{len(made)}.db", *deployments, limit=limit))
        return made[-1]

    yield make
    for one in made:
        one.close()


Make = Callable[..., Scene]


def test_each_time_that_is_due_gets_a_run_on_the_second(scene: Make) -> None:
    """A schedule makes one run for each of its times, no earlier and no later, with its parameters."""
    it = scene(deployment(Interval(60, parameters={"day": 2}), parameters={"day": 1}))
    it.wait(59.9)
    assert it.due() == []
    it.wait(0.1)
    assert it.due() == [60]
    it.wait(180)
    assert it.due() == [60, 120, 180, 240]
    assert {str(taken.parameters) for taken in it.processes.taken} == {"{'day': 2}"}
    assert {taken.deployment_name for taken in it.processes.taken} == {"nightly"}


def test_a_process_is_ready_before_its_run_is_due(scene: Make) -> None:
    """A few seconds before, a process is started for the next run; one for each deployment, not for each schedule."""
    it = scene(deployment(MINUTELY, Interval(60, parameters={"day": 3})))
    it.wait(54)
    assert it.processes.children == []
    it.wait(2)
    (ready,) = it.processes.children
    assert ready.begun == []
    it.wait(4)
    assert len(ready.begun) == 1
    assert it.due() == [60, 60]


def test_a_process_that_is_not_needed_any_more_is_dismissed(scene: Make) -> None:
    """Paused shortly before a run is due: the process that was ready for it ends, and has done nothing."""
    it = scene(deployment(MINUTELY))
    it.wait(58)
    it.others.pause(["etl/nightly"], Pause.YES)
    it.wait(10)
    assert [(child.dismissed, child.begun) for child in it.processes.children] == [(True, [])]


def test_a_process_that_ends_while_it_waits_is_not_started_again_and_again(scene: Make) -> None:
    """Whatever is wrong with it, the run itself will show; until then one try is enough."""
    it = scene(deployment(MINUTELY))
    it.wait(56)
    it.processes.children[0].exit(1)
    it.wait(3)
    assert len(it.processes.children) == 1
    it.wait(2)
    assert it.due() == [60]


def test_runs_are_made_by_several_schedules_of_several_deployments(scene: Make) -> None:
    """Each for itself; two schedules that are due at the same time make two runs."""
    it = scene(
        deployment(MINUTELY, Cron("*/2 * * * *"), Interval(60, active=False, slug="off")),
        deployment(Interval(90), name="other", flow=report),
    )
    it.wait(180)
    assert it.due() == [60, 90, 120, 120, 180, 180]


def test_a_server_that_is_killed_makes_up_for_what_was_due_meanwhile(scene: Make) -> None:
    """Killed and started again minutes later: nothing is lost, nothing doubled."""
    it = scene(deployment(MINUTELY))
    it.wait(70)
    it.kill()
    it.now += timedelta(minutes=5)
    it.restart()
    it.wait(60)
    assert it.due() == [60, 120, 180, 240, 300, 360, 420]


@pytest.mark.parametrize(
    ("missed", "expected"),
    [(MissedRuns.ALL, [120, 180, 240, 300]), (MissedRuns.LATEST, [300]), (MissedRuns.SKIP, [300])],
    ids=str,
)
def test_what_was_missed_is_treated_as_wished(scene: Make, missed: MissedRuns, expected: list[float]) -> None:
    """All, the last, or none; a time that is a few seconds late was not missed."""
    it = scene(deployment(MINUTELY, missed_runs=missed))
    it.wait(60)
    it.kill()
    it.now += timedelta(seconds=245)
    it.restart()
    it.turn()
    assert it.due() == [60, *expected]


def test_of_very_many_missed_times_the_latest_are_made_up_for(scene: Make, caplog: pytest.LogCaptureFixture) -> None:
    """A schedule for every second, and a year without a server: a hundred runs, and a word about the rest."""
    it = scene(deployment(Interval(1)))
    it.kill()
    it.now += timedelta(days=365)
    it.restart()
    it.turn()
    assert len(it.due()) == 100
    assert it.due()[-1] == 365 * 24 * 3600
    assert "some are left out" in caplog.text


def test_a_machine_that_slept_makes_up_for_it_too(scene: Make) -> None:
    """To the server it is as if nobody had served."""
    it = scene(deployment(MINUTELY))
    it.wait(60)
    it.jump(3600)
    assert len(it.due()) == 61


@pytest.mark.parametrize("back", [30, 90, 240], ids=str)
def test_a_clock_that_is_set_back_doubles_nothing(scene: Make, back: int) -> None:
    """What comes again is known; what comes after that runs."""
    it = scene(deployment(MINUTELY))
    it.wait(300)
    it.now -= timedelta(seconds=back)
    it.wait(back + 120)
    assert it.due() == [60, 120, 180, 240, 300, 360, 420]
    it.now -= timedelta(seconds=back)
    it.restart()
    it.wait(back + 60)
    assert it.due() == [60, 120, 180, 240, 300, 360, 420, 480]


def test_a_clock_that_is_set_back_a_long_way_goes_on_from_there(scene: Make) -> None:
    """A clock that was a day ahead and is put right: the schedule does not sleep for a day."""
    it = scene(deployment(MINUTELY))
    it.wait(120)
    it.now -= timedelta(days=1)
    it.wait(120)
    assert it.due() == [-86220, -86160, 60, 120]


def test_a_paused_deployment_makes_no_runs_and_leaves_out_what_was_due(scene: Make) -> None:
    """Paused and resumed by somebody else, while it is served."""
    it = scene(deployment(MINUTELY))
    it.wait(61)
    it.others.pause(["etl/nightly"], Pause.YES)
    it.wait(180)
    it.others.pause(["etl/nightly"], Pause.NO)
    it.wait(120)
    assert it.due() == [60, 300, 360]


@pytest.mark.parametrize(
    ("pauses", "away", "expected"),
    [(True, 30, [60, 120, 180]), (True, 300, [60, 420]), (False, 300, [60, 120, 180, 240, 300, 360, 420])],
    ids=["a restart leaves nothing out", "a stop does", "unless it is not to"],
)
def test_a_server_that_is_stopped_in_order(scene: Make, pauses: bool, away: int, expected: list[float]) -> None:
    """Its schedules pause until it serves again; one that is back within a minute was only restarted."""
    it = scene(deployment(MINUTELY))
    it.wait(100)
    it.server.sign_off(it.now, pauses=pauses)
    assert not it.book.deployments()[0].is_served
    it.kill()
    it.now += timedelta(seconds=away)
    it.restart()
    it.wait(expected[-1] - (it.now - START).total_seconds())
    assert it.due() == expected


def test_a_new_schedule_has_missed_nothing(scene: Make) -> None:
    """An edited schedule begins when it is first served; the others go on."""
    it = scene(deployment(MINUTELY, Interval(90, slug="edited")))
    it.wait(100)
    it.deployments = (deployment(MINUTELY, Interval(30, slug="edited", parameters={"day": 5})),)
    it.kill()
    it.now += timedelta(seconds=80)
    it.restart()
    it.turn()
    assert it.due() == [60, 90, 120, 120, 150, 180, 180]  # the same slug is the same schedule
    it.deployments = (deployment(MINUTELY, Interval(45)),)
    it.restart()
    it.wait(60)
    assert it.due()[7:] == [225, 240]


def test_runs_that_are_asked_for_start_at_once(scene: Make) -> None:
    """`run_deployment`: started with the next turn, in the order in which they were asked for."""
    it = scene(deployment())
    ids = [it.ask(), it.ask()]
    it.turn()
    assert [taken.run_id for taken in it.processes.taken] == ids
    it.processes.running[0].finish()
    assert it.end(ids[0]) == "COMPLETED"


def test_a_run_that_is_asked_for_later_waits_for_its_time(scene: Make) -> None:
    """A scheduled_time ahead: SCHEDULED until then, and on time."""
    it = scene(deployment())
    run_id = it.ask(due=it.now + timedelta(seconds=30.5))
    it.turn()
    assert it.state(run_id).is_scheduled()
    it.wait(30.4)
    assert it.processes.taken == []
    it.wait(0.1)
    assert len(it.processes.taken) == 1


def test_only_so_many_runs_go_on_at_once(scene: Make) -> None:
    """The others wait, and say why; whenever one ends the next one starts, in order."""
    it = scene(deployment(), limit=2)
    ids = [it.ask() for _ in range(4)]
    it.turn()
    assert [taken.run_id for taken in it.processes.taken] == ids[:2]
    assert it.state(ids[2]).name == "AwaitingConcurrencySlot"
    it.processes.running[1].finish()
    it.turn()
    assert [taken.run_id for taken in it.processes.taken] == ids[:3]
    it.processes.running[0].exit(-11)
    it.turn()
    assert [taken.run_id for taken in it.processes.taken] == ids


def test_runs_that_a_killed_server_has_left_count_too(scene: Make) -> None:
    """The limit holds over a restart: what goes on is counted, whoever has started it."""
    it = scene(deployment(), limit=1)
    ids = [it.ask() for _ in range(2)]
    it.turn()
    it.restart()
    it.wait(5)
    assert len(it.processes.running) == 1
    it.processes.running[0].finish()
    it.wait(2)
    assert [taken.run_id for taken in it.processes.taken] == ids


def test_a_deployment_may_have_a_limit_of_its_own(scene: Make) -> None:
    """Its runs wait for each other, those of others do not wait for them."""
    it = scene(deployment(concurrency_limit=1), deployment(name="other", flow=report))
    ids = [it.ask(), it.ask(), it.ask(key="report/other")]
    it.turn()
    assert [taken.run_id for taken in it.processes.taken] == [ids[0], ids[2]]


def test_a_run_that_waits_for_its_own_lends_them_its_place(scene: Make) -> None:
    """With one place only, a flow that runs a deployment gets its run, and then that one's: no deadlock."""
    it = scene(deployment(), limit=1)
    parent, stranger = it.ask(), it.ask()
    it.turn()
    child = it.ask(parent=parent)
    it.turn()
    grandchild = it.ask(parent=child)
    other_child = it.ask(parent=parent)
    it.turn()
    assert [taken.run_id for taken in it.processes.taken] == [parent, child, grandchild]
    for _ in range(2):
        it.processes.running[-1].finish()
        it.turn()
    assert [taken.run_id for taken in it.processes.taken][3:] == [other_child]
    it.processes.running[-1].finish()
    it.turn()
    assert stranger not in {taken.run_id for taken in it.processes.taken}
    it.processes.running[-1].finish()
    it.turn()
    assert stranger in {taken.run_id for taken in it.processes.taken}


def test_a_run_that_has_not_begun_is_cancelled_at_once(scene: Make) -> None:
    """It is CANCELLED, and never starts."""
    it = scene(deployment(), limit=1)
    _, waits = it.ask(), it.ask()
    it.turn()
    it.others.want_cancelled(waits, it.now)
    it.wait(1)
    assert it.end(waits) == "CANCELLED"
    assert it.state(waits).is_cancelled()
    it.processes.running[0].finish()
    it.wait(1)
    assert len(it.processes.taken) == 1


def test_a_run_is_asked_to_end_and_ended_when_its_grace_is_over(scene: Make) -> None:
    """SIGTERM once; if it is still there after the grace period, SIGKILL; either way it ends CANCELLED."""
    it = scene(deployment())
    run_id = it.ask()
    it.turn()
    it.others.want_cancelled(run_id, it.now)
    assert it.state(run_id).is_cancelling()
    it.wait(GRACE_SECONDS)
    (child,) = it.processes.children
    assert (child.stopped, child.killed) == (1, 0)
    it.wait(3)
    assert (child.stopped, child.killed) == (1, 1)
    assert it.end(run_id) == "CANCELLED"


@pytest.mark.parametrize("type_", ["FAILED", "CANCELLED", "CRASHED", "COMPLETED"])
def test_runs_end_with_the_run_that_called_them(scene: Make, type_: str) -> None:
    """Whatever end the parent had: those that it waited for are asked to end, those that it let go are not."""
    it = scene(deployment())
    parent = it.ask()
    it.turn()
    ids = [it.ask(parent=parent), it.ask(parent=parent, outlives_parent=True)]
    it.turn()
    state = it.state(parent)
    state.type, state.name = StateType(type_), type_.capitalize()
    it.others.end(parent, state, it.now)
    it.wait(1.1)
    assert [child.stopped for child in it.processes.running] == [0, 1, 0]
    assert it.book.is_wanted_cancelled(ids[0])
    assert not it.book.is_wanted_cancelled(ids[1])


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (3, "exited with code 3"),
        (-9, "ended by SIGKILL, perhaps because there was no memory left"),
        (-11, "ended by SIGSEGV"),
        (-99, "ended by signal 99"),
    ],
)
def test_a_process_that_goes_without_a_word_has_crashed(scene: Make, code: int, words: str) -> None:
    """The run is CRASHED, at once, and its message says what is known."""
    it = scene(deployment())
    run_id = it.ask()
    it.turn()
    it.processes.running[0].exit(code)
    it.turn()
    assert it.end(run_id) == "CRASHED"
    assert words in (it.state(run_id).message or "")


def test_a_process_that_went_while_nobody_served_has_crashed_too(scene: Make) -> None:
    """The next server finds that its token is dead."""
    it = scene(deployment())
    run_id = it.ask()
    it.turn()
    it.kill()
    it.processes.running[0].exit(-9)
    it.restart()
    it.wait(1)
    assert it.end(run_id) == "CRASHED"
    assert len(it.processes.taken) == 1


def test_the_first_word_about_an_end_counts(scene: Make) -> None:
    """What a run told is not overwritten by what its process's exit looks like."""
    it = scene(deployment())
    run_id = it.ask()
    it.turn()
    (child,) = it.processes.children
    child.finish()
    child.exit_code = 1
    it.turn()
    assert it.end(run_id) == "COMPLETED"


def test_when_the_system_has_no_processes_to_give_it_is_tried_again(
    scene: Make, caplog: pytest.LogCaptureFixture
) -> None:
    """The run waits, and starts when there are some again; it is said once."""
    it = scene(deployment())
    run_id = it.ask()
    it.processes.none_left = True
    it.wait(2)
    assert it.state(run_id).is_scheduled()
    assert "Resource temporarily unavailable" in (it.state(run_id).message or "")
    assert caplog.text.count("No process can be started") == 1
    it.processes.none_left = False
    it.wait(5)
    assert [taken.run_id for taken in it.processes.taken] == [run_id]


def test_two_servers_side_by_side_run_everything_once(scene: Make) -> None:
    """Started twice by mistake, or while the first one is still ending."""
    it = scene(deployment(MINUTELY))
    other, _ = it.another()
    for _ in range(300):
        it.now += timedelta(seconds=1)
        it.moment += 1
        it.server.turn(it.now)
        other.turn(it.now)
        if it.moment % 7 == 0:
            it.ask()
    taken = [one.run_id for one in it.processes.taken]
    assert len(taken) == len(set(taken)) == 5 + 300 // 7


def test_runs_that_go_on_are_told_to_end_when_the_server_stops(scene: Make) -> None:
    """In order: asked first, ended when their grace is over; at once if somebody is in a hurry."""
    it = scene(deployment(MINUTELY))
    ids = [it.ask(), it.ask()]
    it.wait(58)
    stubborn, obedient = it.processes.running
    it.server.close()
    assert [child.stopped for child in it.processes.running] == [1, 1]
    assert all(child.exit_code is not None for child in it.processes.children if not child.begun)
    obedient.finish(StateType.CRASHED)
    assert it.server.turn_down(it.now)
    it.server.turn_down(it.now, at_once=True)
    assert not it.server.turn_down(it.now)
    assert stubborn.killed == 1
    assert [it.end(run_id) for run_id in ids] == ["CRASHED", "CRASHED"]


class _Killed(Exception):
    """The server was killed."""


@pytest.mark.parametrize("step", range(10))
@pytest.mark.parametrize("after", [True, False], ids=["after", "before"])
def test_a_server_may_be_killed_at_any_step(scene: Make, step: int, after: bool, monkeypatch: Any) -> None:
    """Killed before or after any of its writes, and started again: each run starts exactly once."""
    it = scene(deployment(MINUTELY), limit=2)
    asked = [it.ask(), it.ask(), it.ask()]
    writes = 0

    def deadly(name: str) -> None:
        real = getattr(it.book, name)

        def write(*args: Any, **kwargs: Any) -> Any:
            nonlocal writes
            writes += 1
            if writes == step + 1 and not after:
                raise _Killed
            result = real(*args, **kwargs)
            if writes == step + 1:
                raise _Killed
            return result

        monkeypatch.setattr(it.book, name, write)

    for name in ("enter", "claim", "release", "put_off", "end", "want_cancelled"):
        deadly(name)
    died = 0
    for second in range(200):
        try:
            it.wait(1)
            if second == 90:
                it.others.want_cancelled(asked[2], it.now)
            if second % 3 == 0 and it.processes.running:
                it.processes.running[0].finish()
        except _Killed:
            died += 1
            it.restart()
    while it.processes.running:
        it.processes.running[0].finish()
        it.wait(2)
    assert died == 1
    starts = [taken.run_id for taken in it.processes.taken]
    assert len(starts) == len(set(starts))
    assert it.due() == [0, 0, 0, 60, 120, 180]
    assert {it.end(run_id) for run_id in starts} <= {"COMPLETED", "CRASHED", "CANCELLED"}


@settings(deadline=None, max_examples=60)
@given(
    story=st.lists(
        st.one_of(
            st.tuples(st.just("wait"), st.integers(1, 200)),
            st.tuples(st.just("away"), st.integers(1, 1000)),
            st.tuples(st.just("restart"), st.just(0)),
            st.tuples(st.just("finish"), st.just(0)),
            st.tuples(st.just("crash"), st.just(0)),
            st.tuples(st.just("back"), st.integers(1, 500)),
        ),
        max_size=25,
    ),
    limit=st.none() | st.integers(1, 3),
)
def test_whatever_happens_each_time_gets_one_run(
    tmp_path_factory: pytest.TempPathFactory, story: list[tuple[str, int]], limit: int | None
) -> None:
    """Servers killed, away, clocks set back, runs crashing: every time that was due has one run, started once."""
    it = Scene(tmp_path_factory.mktemp("story") / "history.db", deployment(MINUTELY), limit=limit)
    latest = it.now
    for what, seconds in story:
        match what:
            case "wait":
                it.wait(seconds)
            case "away":
                it.kill()
                it.now += timedelta(seconds=seconds)
                it.restart()
            case "restart":
                it.restart()
            case "back":
                it.now -= timedelta(seconds=seconds)
            case "finish" if it.processes.running:
                it.processes.running[0].finish()
            case "crash" if it.processes.running:
                it.processes.running[0].exit(-9)
        latest = max(latest, it.now)
    it.now = max(it.now, latest)
    it.turn()
    while it.processes.running:
        it.processes.running[0].finish()
        it.wait(1.1)
        latest = max(latest, it.now)
    it.close()
    minutes = int((latest - START).total_seconds() // 60)
    assert [due for due in it.due() if due > 0] == [60 * minute for minute in range(1, minutes + 1)]
    assert len(it.due()) == len({taken.due for taken in it.processes.taken})
