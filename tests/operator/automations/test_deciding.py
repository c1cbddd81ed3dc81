"""What is decided about an automation: when it begins, what it takes in, what it does, and what its status says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from tests.builders import make_deployment
from tests.operator.automations.deciding import (
    CLEAN_UP,
    FAILED,
    HOOK,
    NOON,
    after,
    at,
    begun,
    decide,
    make_automation,
    of,
    ready_of,
    run_in,
)

from towpath import names
from towpath.api.v1alpha1.automation import MAX_DEALT, MAX_PENDING
from towpath.api.v1alpha1.transitions import rfc3339
from towpath_operator.reconcile.automation import has_begun
from towpath_operator.reconcile.automation_actions import Delivery, MakeRun, Outcome, SendWebhook, Settle, Tell, Wish
from towpath_operator.reconcile.automation_turn import BEHIND
from towpath_operator.reconcile.decision import ConfirmUnchanged, EmitEvent, PatchStatus
from towpath_operator.reconcile.occurrences import Occurrence, transitions

Body = dict[str, Any]
ETL, CLEANER = make_deployment("etl"), make_deployment("clean-up", parameters={"keep": 3, "of": "nobody"})
BOTH = {"deployments": {"etl": ETL, "clean-up": CLEANER}}


def failure(body: Mapping[str, Any], seconds: float = 1, name: str = "etl-1", *, seen: bool = True) -> Occurrence:
    """Give the event that a run failed."""
    run = run_in("FAILED", name=name, since=seconds)
    return next(transitions(body, run, None, run["status"]["history"], is_witnessed=seen))


def taken(body: Body, *events: Occurrence, now: float = 5) -> Body:
    """Give the automation once it has taken events in."""
    return after(body, decide(body, at(now), found=events))


def test_a_new_automation_begins_with_its_creation() -> None:
    """What happened since it was made counts, also if no operator was there."""
    body = after(make_automation(), decide(make_automation(), at(100)))
    assert body["status"]["began"] == body["status"]["lookFrom"] == rfc3339(NOON)
    assert has_begun(body, at(100))
    assert not has_begun(make_automation(), at(100))
    found = [failure(body, 50, seen=False), failure(body, -50, "before", seen=False)]
    assert after(body, decide(body, at(101), found=found))["status"]["triggered"] == 1


@pytest.mark.parametrize(
    "change",
    [
        {"trigger": {"states": {"types": ["CRASHED"]}}},
        {"match": {"subflows": True}},
    ],
    ids=["trigger", "match"],
)
def test_an_edited_automation_begins_anew(change: Body) -> None:
    """Nobody wants the past of what did not count then."""
    body = begun(make_automation())
    event = failure(body, 400)
    body["spec"] |= change
    body["metadata"]["generation"] = 2
    body = after(body, decide(body, at(500), found=[event]))
    assert body["status"]["lookFrom"] == rfc3339(at(500))
    assert "triggered" not in body["status"]


def test_edited_actions_change_nothing_else() -> None:
    """An automation whose URL is corrected goes on where it was, and what waits is sent there."""
    body = taken(begun(make_automation()), failure(begun(make_automation())))
    body["spec"]["actions"] = [{"webhook": {"url": "https://right.example.com"}}]
    (sent,) = of(decide(body, at(6)), SendWebhook)
    assert sent.webhook["url"] == "https://right.example.com"


def test_an_action_that_was_taken_out_is_not_waited_for() -> None:
    """Nothing is done that the spec does not say any more, also within the second after a write."""
    body = begun(make_automation(FAILED, HOOK, HOOK))
    body = taken(body, failure(body))
    body["spec"]["actions"] = [HOOK]
    assert [
        one.delivery.action for one in of(decide(body, at(5.5), found=[failure(body, 3, "etl-2")]), SendWebhook)
    ] == [0]
    status = after(body, decide(body, at(7)))["status"]
    assert [one["action"] for one in status["pending"][0]["left"]] == [0]


def test_suspended() -> None:
    """Nothing counts, nothing is done, and it begins anew later; what had waited is sent then."""
    body = taken(begun(make_automation()), failure(begun(make_automation())))
    body["spec"]["suspend"] = True
    decision = decide(body, at(9), found=[failure(body, 8, "etl-2")])
    assert not of(decision, SendWebhook)
    body = after(body, decision)
    assert ready_of(body)["reason"] == "Suspended"
    assert not decide(body, at(10)).actions
    del body["spec"]["suspend"]
    body["metadata"]["generation"] = 3
    body = after(body, decide(body, at(600)))
    assert body["status"]["lookFrom"] == rfc3339(at(600))
    assert len(of(decide(body, at(601), found=[failure(body, 300, seen=False)]), SendWebhook)) == 1


def test_a_mark_of_a_wrong_clock_is_taken_back() -> None:
    """An automation whose mark lies hours ahead looks from now on, and not when the clock has come up with it."""
    body = begun(make_automation())
    body["status"]["lookFrom"] = rfc3339(at(7200))
    assert after(body, decide(body, at(10)))["status"]["lookFrom"] == rfc3339(at(10))


def test_an_event_is_written_before_it_is_sent() -> None:
    """The status says what is to be done, and that it was taken in, before anything goes out."""
    body = begun(make_automation(FAILED, HOOK, {"webhook": {"url": "https://b.example.com"}}))
    event = failure(body)
    decision = decide(body, at(5), found=[event])
    kinds = [type(action) for action in decision.actions]
    assert kinds == [PatchStatus, Settle, Tell, SendWebhook, SendWebhook]
    (settled,) = of(decision, Settle)
    assert settled.events == {event.id}
    status = after(body, decision)["status"]
    assert status["dealt"] == [event.id]
    assert [one["action"] for one in status["pending"][0]["left"]] == [0, 1]
    assert (status["triggered"], status["waiting"], status["lastTriggered"]) == (1, 1, rfc3339(at(5)))


def test_what_the_status_knows_is_not_taken_in_again() -> None:
    """An event found again is settled, not told twice."""
    body = begun(make_automation())
    event = failure(body)
    again = decide(taken(body, event), at(6), found=[event])
    assert not of(again, PatchStatus)
    assert [action.events for action in of(again, Settle)] == [{event.id}]


@pytest.mark.parametrize(
    ("behind", "witnessed", "expected"),
    [(60, False, 2), (299, False, 2), (301, False, 1), (301, True, 2)],
    ids=["a minute", "just in time", "too late", "too late, but seen to happen"],
)
def test_what_becomes_known_late(behind: int, witnessed: bool, expected: int) -> None:
    """A transition older than the last is found minutes later, by whoever; by who has seen it happen, always."""
    body = begun(make_automation())
    body = taken(body, failure(body, 1000), now=1000)
    late = failure(body, 1000 - behind, "late", seen=witnessed)
    assert after(body, decide(body, at(1010), found=[late]))["status"]["triggered"] == expected


def test_the_mark_never_runs_ahead_of_the_clock() -> None:
    """A transition from the future, of a pod whose clock is wrong, does not hide those of others."""
    body = begun(make_automation())
    body = taken(body, failure(body, 90_000), now=5)
    assert body["status"]["lookFrom"] == rfc3339(NOON)
    assert taken(body, failure(body, 6, "etl-2", seen=False), now=8)["status"]["triggered"] == 2


def test_delivered() -> None:
    """What was heard is taken off the list and counted."""
    body = begun(make_automation())
    event = failure(body)
    done = Delivery(event.id, 0)
    decision = decide(taken(body, event), at(7), outcomes={done: Outcome()})
    assert [action.outcomes for action in of(decision, Settle)] == [{done}]
    status = after(taken(body, event), decision)["status"]
    assert "pending" not in status
    assert (status["delivered"], status["failed"], status["waiting"], status["lastDelivered"]) == (
        1,
        0,
        0,
        rfc3339(at(7)),
    )


def test_failed_attempts_are_repeated() -> None:
    """The status says how often it was tried, why it did not work, and when it is tried again; the error goes with success."""
    body = begun(make_automation())
    event = failure(body)
    done = Delivery(event.id, 0)
    body = taken(body, event)
    body = after(body, decide(body, at(7), outcomes={done: Outcome("x answered 503.", jitter=1.0)}))
    assert body["status"]["pending"][0]["left"] == [
        {"action": 0, "attempts": 1, "nextAt": rfc3339(at(12)), "lastError": "x answered 503."}
    ]
    assert body["status"]["lastError"] == "x answered 503."
    waiting = decide(body, at(9))
    assert not waiting.actions
    assert waiting.requeue_after == 3
    assert len(of(decide(body, at(12)), SendWebhook)) == 1
    assert not of(decide(body, at(12), in_flight=frozenset({done})), SendWebhook)
    assert "lastError" not in after(body, decide(body, at(13), outcomes={done: Outcome()}))["status"]


@pytest.mark.parametrize(
    ("outcomes", "seconds", "given_up"),
    [
        ([Outcome("no", is_hopeless=True)] * 3, 100, False),
        ([Outcome("no", is_hopeless=True)] * 4, 100, True),
        ([Outcome("no")] * 50, 3600, False),
        ([Outcome("no")], 86_500, True),
    ],
    ids=["three refusals", "four refusals", "many failures", "after a day"],
)
def test_giving_up(outcomes: list[Outcome], seconds: int, given_up: bool) -> None:
    """What is refused is given up soon, what fails after a day: with an Event and in the counts."""
    body = begun(make_automation())
    event = failure(body)
    body = taken(body, event)
    for number, outcome in enumerate(outcomes):
        now = at(10 + number * seconds / len(outcomes) if len(outcomes) > 1 else seconds)
        decision = decide(body, now, outcomes={Delivery(event.id, 0): outcome})
        body = after(body, decision)
    assert (body["status"]["failed"] == 1) is given_up
    assert ("pending" not in body["status"]) is given_up
    assert [(one.reason, one.warning) for one in of(decision, EmitEvent)] == [("ActionFailed", True)] * given_up
    assert [one.given_up for one in of(decision, Tell)] == [1] * given_up


def test_run_deployment() -> None:
    """The run is made first, under a name made of the event, with parameters; the status says so afterwards."""
    action = {
        "runDeployment": {"name": "clean-up", "parameters": {"of": "{{ run.name }}", "attempt": "{{ run.attempt }}"}}
    }
    body = begun(make_automation(FAILED, action), **BOTH)
    event = failure(body)
    decision = decide(body, at(5), found=[event], **BOTH)
    assert [type(one) for one in decision.actions] == [ConfirmUnchanged, MakeRun, PatchStatus, Settle, Tell]
    manifest = of(decision, MakeRun)[0].manifest
    assert manifest["metadata"]["name"] == names.automation_run_name("clean-up", event.id, 0)
    assert manifest["metadata"]["labels"][names.LABEL_AUTOMATION] == "tell"
    assert manifest["spec"] == {
        "deploymentRef": "clean-up",
        "parameters": {"keep": 3, "of": "etl-1", "attempt": 1},
    }
    status = after(body, decision)["status"]
    assert "pending" not in status
    assert (status["triggered"], status["delivered"]) == (1, 1)


@pytest.mark.parametrize(
    ("action", "plural", "name", "fields"),
    [
        ({"cancel": {}}, "flowruns", "etl-1", {"cancel": True}),
        ({"cancel": {"mode": "Now"}}, "flowruns", "etl-1", {"cancel": True, "cancelMode": "Now"}),
        ({"suspend": {}}, "flowruns", "etl-1", {"suspend": True}),
        ({"suspend": {"target": "Deployment"}}, "deployments", "etl", {"suspend": True}),
    ],
    ids=["cancel", "cancel now", "suspend", "suspend deployment"],
)
def test_wishes(action: Body, plural: str, name: str, fields: Body) -> None:
    """Runs are cancelled or suspended, and Deployments suspended, by their spec."""
    body = begun(make_automation({"states": {"types": ["FAILED", "RUNNING"]}}, action))
    event = failure(body)
    (wish,) = of(decide(body, at(5), found=[event]), Wish)
    assert (wish.plural, wish.name, wish.fields) == (plural, name, fields)
    assert (wish.uid == event.uid) is (plural == "flowruns")


def test_a_run_that_has_ended_is_left_alone() -> None:
    """To cancel what has ended would only keep it from being tried again."""
    body = begun(make_automation(FAILED, {"cancel": {}}))
    event = failure(body)
    decision = decide(body, at(5), found=[event], ended=frozenset({event.uid}))
    assert not of(decision, Wish)
    assert "pending" not in after(body, decision)["status"]


def test_what_the_api_server_refuses_waits() -> None:
    """A refused action is tried again later and stops no other."""
    body = begun(make_automation(FAILED, CLEAN_UP, HOOK), **BOTH)
    event = failure(body)
    refused = {Delivery(event.id, 0): "The API server refused actions[0] with 403: quota."}
    decision = decide(body, at(5), found=[event], refused=refused, **BOTH)
    assert not of(decision, MakeRun)
    assert len(of(decision, SendWebhook)) == 1
    body = after(body, decision)
    assert [one.get("lastError", "")[-6:] for one in body["status"]["pending"][0]["left"]] == ["quota.", ""]
    assert len(of(decide(body, at(20), **BOTH), MakeRun)) == 1


def test_under_load_one_write_a_second() -> None:
    """Events and outcomes wait for each other for a second; nothing is settled that is not written."""
    body = begun(make_automation())
    first, second = failure(body, 1), failure(body, 2, "etl-2")
    body = taken(body, first, now=5)
    decision = decide(body, at(5.2), found=[second], outcomes={Delivery(first.id, 0): Outcome()})
    assert not decision.actions
    assert decision.requeue_after == pytest.approx(0.8)
    decision = decide(body, at(6), found=[second], outcomes={Delivery(first.id, 0): Outcome()})
    assert len(of(decision, PatchStatus)) == 1
    status = after(body, decision)["status"]
    assert (status["triggered"], status["delivered"], status["waiting"]) == (2, 1, 1)


def test_many_events_wait_outside() -> None:
    """No more events are taken in than there is room for; the others are found again, the oldest first."""
    body = begun(make_automation())
    events = [failure(body, 1 + number / 100, f"etl-{number}") for number in range(MAX_PENDING + 5)]
    decision = decide(body, at(5), found=events)
    body = after(body, decision)
    assert len(body["status"]["pending"]) == MAX_PENDING
    assert not decide(body, at(7), found=events).requeue_after
    done = {Delivery(event.id, 0): Outcome() for event in events[:3]}
    body = after(body, decide(body, at(7), found=events[MAX_PENDING:], outcomes=done))
    assert body["status"]["triggered"] == MAX_PENDING + 3


def test_dealt_is_bounded() -> None:
    """The list of known events keeps the newest; the mark follows, so that those left out are known by their time."""
    body = begun(make_automation(FAILED, CLEAN_UP, throttle={"seconds": 1}), **BOTH)
    events = [failure(body, 1 + number / 1000, f"etl-{number}") for number in range(MAX_DEALT + 50)]
    body = after(body, decide(body, at(5), found=events, **BOTH))
    assert len(body["status"]["dealt"]) == MAX_DEALT
    rest = [failure(body, 1 + number / 1000, f"etl-{number}", seen=False) for number in range(MAX_DEALT + 50)]
    assert not of(decide(body, at(9), found=rest, **BOTH), PatchStatus)


def test_throttle() -> None:
    """The first is told at once; what follows comes as one message with its number when the time is over."""
    body = begun(make_automation(throttle={"seconds": 60}))
    body = taken(body, failure(body, 1), now=5)
    rest = [failure(body, 10 + number, f"etl-{number + 2}") for number in range(7)]
    held = decide(body, at(20), found=rest)
    assert not of(held, PatchStatus)
    assert not of(held, Settle)
    assert held.requeue_after == 45
    decision = decide(body, at(65), found=rest)
    sent = [one for one in of(decision, SendWebhook) if one.delivery.event == rest[0].id]
    assert [one.message.body["data"]["count"] for one in sent] == [7]
    assert of(decision, Settle)[0].events == {event.id for event in rest}
    assert after(body, decision)["status"]["triggered"] == 8


def test_no_success() -> None:
    """Silence is told once, when it has lasted; a success begins it anew."""
    spec = {"trigger": {"noSuccess": {"forSeconds": 600}}, "match": {"deployments": ["etl"]}}
    body = begun(make_automation(**spec), **BOTH)
    quiet = decide(body, at(500), **BOTH)
    assert not of(quiet, PatchStatus)
    assert quiet.requeue_after == 60  # to see that successes are noted, at the latest each tenth of the time
    assert decide(body, at(595), **BOTH).requeue_after == 5
    decision = decide(body, at(601), **BOTH)
    (sent,) = of(decision, SendWebhook)
    assert sent.message.body["type"] == "dev.towpath.automation.nosuccess"
    body = after(body, decision)
    assert not of(decide(body, at(5000), **BOTH, in_flight=frozenset({sent.delivery})), PatchStatus)
    body = after(body, decide(body, at(5010), last_success=at(5005), **BOTH, outcomes={sent.delivery: Outcome()}))
    assert body["status"]["lastSuccess"] == rfc3339(at(5005))
    assert not of(decide(body, at(5604), **BOTH), SendWebhook)
    assert len(of(decide(body, at(5606), **BOTH), SendWebhook)) == 1


def test_successes_are_written_seldom() -> None:
    """A run that completes costs no write of its own: a tenth of the time may pass."""
    body = begun(make_automation({"noSuccess": {"forSeconds": 600}}))
    assert not decide(body, at(60), last_success=at(59)).actions
    body = after(body, decide(body, at(61), last_success=at(60)))
    assert body["status"]["lastSuccess"] == rfc3339(at(60))
    assert "written" not in body["status"]


@pytest.mark.parametrize(
    ("spec", "observed", "reason", "words"),
    [
        ({}, {}, "Ready", ""),
        (
            {"match": {"deployments": ["etl", "elt"]}},
            BOTH,
            "DeploymentNotFound",
            "no Deployment 'elt' in namespace 'team-a'",
        ),
        ({}, {"secret_problem": "There is no Secret 'x'."}, "SecretNotReadable", "There is no Secret 'x'."),
    ],
    ids=["ready", "no deployment", "no secret"],
)
def test_ready(spec: Body, observed: Body, reason: str, words: str) -> None:
    """The condition says what somebody has to mend; it is looked again whether they have."""
    body = make_automation(**spec)
    body = after(body, decide(body, at(0), **observed))
    assert ready_of(body)["reason"] == reason
    assert words in ready_of(body)["message"]
    decision = decide(body, at(1), found=[failure(body)], **observed)
    assert len(of(decision, SendWebhook)) == 1, "what can be done is done"
    assert (decision.requeue_after is not None) is (reason != "Ready")


def test_unknown_placeholder() -> None:
    """Nothing is done with a text that cannot be understood; once it is corrected, nothing was lost."""
    bad = {"webhook": {"url": "https://x.example.com", "format": "Text", "text": "{{ run.nmae }}"}}
    body = begun(make_automation(FAILED, bad))
    event = failure(body)
    body = after(body, decide(body, at(1)))
    assert ready_of(body)["reason"] == "InvalidTemplate"
    assert "{{ run.nmae }}" in ready_of(body)["message"]
    assert not decide(body, at(2), found=[event]).actions
    body["spec"]["actions"][0]["webhook"]["text"] = "{{ run.name }}"
    assert [one.message.body for one in of(decide(body, at(3), found=[event]), SendWebhook)] == ["etl-1"]


def test_a_test() -> None:
    """A test is asked for by an annotation, goes to webhooks only, and is sent once for each value."""
    body = begun(make_automation(FAILED, CLEAN_UP, HOOK, annotations={names.ANNOTATION_TEST: "one"}), **BOTH)
    decision = decide(body, at(5), **BOTH)
    assert not of(decision, MakeRun)
    (sent,) = of(decision, SendWebhook)
    assert (sent.delivery.action, sent.message.body["data"]["test"]) == (1, True)
    body = after(body, decision)
    assert body["status"]["tested"] == "one"
    assert body["status"]["triggered"] == 0
    assert not of(decide(body, at(7), **BOTH, in_flight=frozenset({sent.delivery})), PatchStatus)
    body["metadata"]["annotations"][names.ANNOTATION_TEST] = "two"
    assert len(of(decide(body, at(9), **BOTH, in_flight=frozenset({sent.delivery})), SendWebhook)) == 1


def test_nothing_to_do_writes_nothing() -> None:
    """An automation that is as it should be costs no write, whatever runs do that do not count."""
    body = begun(make_automation())
    assert not decide(body, at(5)).actions
    assert decide(body, at(5)).requeue_after is None
    assert decide(body, at(5), next_deadline=at(60)).requeue_after == 55
    assert not decide(
        body | {"metadata": body["metadata"] | {"deletionTimestamp": "x"}}, at(5), found=[failure(body)]
    ).actions


def test_the_mark_stays_behind() -> None:
    """The mark lies some minutes behind the last event, and never falls."""
    body = begun(make_automation())
    body = taken(body, failure(body, 3000), now=3000)
    assert body["status"]["lookFrom"] == rfc3339(at(3000) - BEHIND)
    body = taken(body, failure(body, 2990, "etl-2"), now=3010)
    assert body["status"]["lookFrom"] == rfc3339(at(3000) - BEHIND)
