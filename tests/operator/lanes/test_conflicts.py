"""What becomes of a run too many of a Deployment with concurrency, decision by decision."""

from __future__ import annotations

from tests.operator.lanes.yard import Yard

from towpath.states import StateType


def yard_with_deployment(on_conflict: str, limit: int = 1) -> Yard:
    """Make a yard with a Deployment."""
    yard = Yard()
    yard.put("flows", "main", {"image": "image:1", "entrypoint": "flows:main"})
    concurrency = {"limit": limit, "onConflict": on_conflict}
    yard.put("deployments", "nightly", {"flowRef": "main", "concurrency": concurrency})
    return yard


def test_deployment_concurrency_enqueues() -> None:
    """By default a run more waits for its turn."""
    yard = yard_with_deployment("Enqueue")
    yard.run("a", deploymentRef="nightly")
    yard.run("b", deploymentRef="nightly")
    yard.settle()

    assert yard.at_work() == ["a"]
    assert yard.status("b")["waitingFor"] == "Deployment nightly: 1 at once; it is the next"


def test_cancel_new_ends_the_run_that_comes_too_many() -> None:
    """It says which concurrency was reached; a run that was at work before waits instead."""
    yard = yard_with_deployment("CancelNew")
    yard.run("a", deploymentRef="nightly")
    yard.settle()
    yard.run("b", deploymentRef="nightly")
    yard.settle()

    assert yard.at_work() == ["a"]
    assert yard.status("b")["state"]["type"] == "CANCELLED"
    assert yard.state("b") == "ConcurrencyLimitReached"
    assert "1 of the runs of Deployment 'nightly'" in yard.status("b")["state"]["message"]

    yard.change("a", suspend=True)
    yard.report("a", StateType.RUNNING)
    yard.report("a", StateType.PAUSED, "Suspended")
    yard.run("c", deploymentRef="nightly")
    yard.settle()
    yard.change("a", suspend=False)
    yard.settle()
    assert (yard.state("a"), yard.state("c")) == ("AwaitingConcurrencySlot", "JobCreated")


def test_cancel_running_gives_the_place_of_the_oldest_to_the_new_one() -> None:
    """Once the oldest is really over."""
    yard = yard_with_deployment("CancelRunning", limit=2)
    for age in (9, 8, 7):
        yard.run(f"aged-{age}", age=age, deploymentRef="nightly")
        yard.settle()
        for name in yard.at_work():
            if yard.status(name)["state"]["type"] == "PENDING":
                yard.report(name, StateType.RUNNING)
        yard.settle()

    assert yard.state("aged-9") == "Superseded"
    assert yard.status("aged-9")["state"]["type"] == "CANCELLING"
    assert "'aged-7' takes its place" in yard.status("aged-9")["state"]["message"]
    assert yard.state("aged-7") == "AwaitingConcurrencySlot"
    yard.report("aged-9", StateType.CANCELLED)
    yard.settle()
    assert yard.at_work() == ["aged-7", "aged-8"]


def test_with_cancel_running_only_the_newest_of_many_new_ones_begins() -> None:
    """The others are superseded before they begin."""
    yard = yard_with_deployment("CancelRunning")
    yard.run("at-work", age=9, deploymentRef="nightly")
    yard.settle()
    for age in (5, 4, 3):
        yard.run(f"aged-{age}", age=age, deploymentRef="nightly")
    yard.settle()
    yard.report("at-work", StateType.CANCELLED)
    yard.settle()

    assert [yard.state(f"aged-{age}") for age in (5, 4, 3)] == ["Superseded", "Superseded", "JobCreated"]


def test_with_cancel_running_nobody_is_stopped_for_a_run_that_cannot_begin() -> None:
    """A new run that waits for a suspended queue takes nobody's place yet."""
    yard = yard_with_deployment("CancelRunning")
    yard.put("queues", "lane", {"suspend": True})
    yard.run("at-work", age=9, deploymentRef="nightly")
    yard.settle()
    yard.run("new", deploymentRef="nightly", queue="lane")
    yard.settle()
    assert yard.at_work() == ["at-work"]
    assert yard.state("at-work") == "JobCreated"

    yard.put("queues", "lane", {})
    yard.settle()
    assert yard.status("at-work")["state"]["type"] == "CANCELLING"
