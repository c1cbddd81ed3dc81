"""What the API server takes for a Flow, a Deployment and a FlowRun, and with which words it refuses the rest."""

from __future__ import annotations

from typing import Any

import pytest
from tests.builders import make_deployment, make_flow, make_flowrun
from tests.contract.own_group import OwnGroup, refusal_of
from tests.kube import ApiError, Body

from towpath.api.v1alpha1 import FlowRunSpec

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300)]

EXACTLY_ONE_REF = "set exactly one of flowRef, deploymentRef and flow"
EXACTLY_ONE_CODE = (
    "set exactly one of entrypoint (a Towpath flow such as 'pkg.mod:fn' or 'path/file.py:fn') and command"
)
DNS_LABEL = "is at most 63 lower-case letters, digits and '-'"
IMMUTABLE = (
    "immutable: of a run's spec only cancel, cancelMode, pause, suspend, answers, priority, retryAfterAttempt and"
    " ttlSecondsAfterFinished may change; create another FlowRun"
)
INLINE: Body = {"image": "flows:1", "entrypoint": "shop.flows:main"}
#: Every kind of value that JSON knows, to be kept as it is.
FREE_FORM: Body = {
    "null": None,
    "float": 1.5,
    "int": 10**12,
    "list": [None, {"deep": [None]}],
    "text": "ü",
    "object": {},
    "yes": True,
}

GOOD: dict[str, Body] = {
    "flow with entrypoint": make_flow(),
    "flow with a file": make_flow(entrypoint="flows/shop.py:main"),
    "plain container": make_flow(command=["sh", "-c", "true"]),
    "flow with everything": make_flow(
        spec={
            "name": "shop",
            "parameters": {"type": "object", "properties": {"x": {"default": None}}},
            "description": "Sells.",
            "template": {"spec": {"containers": [{"name": "flow", "resources": {"limits": {"memory": "1Gi"}}}]}},
            "timeoutSeconds": 60,
            "retries": 0,
            "infraRetries": 100,
        }
    ),
    "deployment": make_deployment(),
    "deployment with everything": make_deployment(
        parameters=FREE_FORM,
        spec={
            "tags": ["nightly", "eu"],
            "template": FREE_FORM,
            "timeoutSeconds": 1,
            "pendingTimeoutSeconds": 31_536_000,
            "retries": 3,
            "infraRetries": 0,
            "resultStorage": "s3://bucket/results",
        },
    ),
    "run of a flow": make_flowrun(),
    "run of a deployment": make_flowrun(deployment_ref="main-nightly"),
    "run of an inline flow": make_flowrun(flow=INLINE),
    "run of a plain container": make_flowrun(flow={"image": "busybox", "command": ["true"]}),
    "run that is cancelled from the start": make_flowrun(cancel=True),
    "child run": make_flowrun(parent=make_flowrun("parent")),
    "run with everything": make_flowrun(
        parameters=FREE_FORM,
        spec={
            "scheduledTime": "2026-03-01T14:00:00+02:00",
            "onParentEnd": "Orphan",
            "tags": ["a", "b"],
            "template": FREE_FORM,
            "timeoutSeconds": 60,
            "pendingTimeoutSeconds": 60,
            "retries": 1,
            "infraRetries": 1,
            "resultStorage": "/data/results",
        },
    ),
}


@pytest.mark.parametrize("body", GOOD.values(), ids=GOOD)
def test_a_good_object_is_kept_as_it_is(kinds: OwnGroup, body: Body) -> None:
    """The API server gives back exactly what was sent: nothing dropped, nothing added but defaults that the builder knows."""
    assert kinds.create(body)["spec"] == body["spec"]


def test_defaults_are_filled_in(kinds: OwnGroup) -> None:
    """A run says how it ends with its parent, even if whoever made it did not."""
    body = make_flowrun(spec={"parent": {"name": "parent", "uid": "1"}})
    del body["spec"]["onParentEnd"]

    spec = kinds.create(body)["spec"]

    assert spec["onParentEnd"] == "Cancel"
    assert spec["parent"] == {"name": "parent", "uid": "1", "call": "", "depth": 1}


def run_with(**spec: Any) -> Body:
    """Build a run of a Flow with further fields in its spec."""
    return make_flowrun(spec=spec)


BAD: dict[str, tuple[Body, str]] = {
    "no ref": ({**make_flowrun(), "spec": {}}, EXACTLY_ONE_REF),
    "flow and deployment": (make_flowrun(flow_ref="main", deployment_ref="main-nightly"), EXACTLY_ONE_REF),
    "flow and inline flow": (make_flowrun(flow_ref="main", flow=INLINE), EXACTLY_ONE_REF),
    "all three": (make_flowrun(flow_ref="main", deployment_ref="main-nightly", flow=INLINE), EXACTLY_ONE_REF),
    "no code": ({**make_flow(), "spec": {"image": "flows:1"}}, EXACTLY_ONE_CODE),
    "entrypoint and command": (make_flow(command=["true"], spec={"entrypoint": "a:b"}), EXACTLY_ONE_CODE),
    "inline flow without code": (make_flowrun(flow={"image": "flows:1"}), EXACTLY_ONE_CODE),
    "inline flow with both": (make_flowrun(flow={**INLINE, "command": ["true"]}), EXACTLY_ONE_CODE),
    "no image": ({**make_flow(), "spec": {"entrypoint": "a:b"}}, "spec.image: Required value"),
    "empty image": (make_flow(image=""), "spec.image in body should be at least 1 chars long"),
    "no flowRef": ({**make_deployment(), "spec": {}}, "spec.flowRef: Required value"),
    "entrypoint without function": (make_flow(entrypoint="shop.flows"), "spec.entrypoint in body should match"),
    "empty command": (make_flow(command=[]), "spec.command in body should have at least 1 items"),
    "long command": (make_flow(command=["x"] * 65), "spec.command: Too many: 65: must have at most 64 items"),
    "upper-case ref": (make_flowrun(flow_ref="Main"), "spec.flowRef in body should match"),
    "long ref": (make_flowrun(flow_ref="a" * 64), "spec.flowRef: Too long: may not be more than 63"),
    "unknown end of the parent": (run_with(onParentEnd="Never"), 'supported values: "Cancel", "Orphan"'),
    "no time": (run_with(scheduledTime="tomorrow"), "spec.scheduledTime in body must be of type date-time"),
    "no retries at all": (run_with(retries=-1), "spec.retries in body should be greater than or equal to 0"),
    "too many retries": (run_with(retries=101), "spec.retries in body should be less than or equal to 100"),
    "too many infraRetries": (
        run_with(infraRetries=101),
        "spec.infraRetries in body should be less than or equal to 100",
    ),
    "half a retry": (run_with(retries=0.5), 'spec.retries: Invalid value: "number"'),
    "no timeout": (run_with(timeoutSeconds=0), "spec.timeoutSeconds in body should be greater than or equal to 1"),
    "endless timeout": (
        run_with(timeoutSeconds=31_536_001),
        "spec.timeoutSeconds in body should be less than or equal to 31536000",
    ),
    "endless pending": (run_with(pendingTimeoutSeconds=0), "spec.pendingTimeoutSeconds in body should be greater"),
    "too many tags": (
        run_with(tags=[str(n) for n in range(33)]),
        "spec.tags: Too many: 33: must have at most 32 items",
    ),
    "the same tag twice": (run_with(tags=["a", "a"]), 'spec.tags[1]: Duplicate value: "a"'),
    "long tag": (run_with(tags=["t" * 64]), "spec.tags[0]: Too long: may not be more than 63"),
    "too deep": (run_with(parent={"name": "p", "uid": "1", "depth": 21}), "should be less than or equal to 20"),
    "parent without uid": (run_with(parent={"name": "p"}), "spec.parent.uid: Required value"),
    "parameters as a list": (run_with(parameters=[1]), 'spec.parameters: Invalid value: "array"'),
    "template as text": (run_with(template="x"), 'spec.template: Invalid value: "string"'),
    "cancel as a word": (run_with(cancel="yes"), 'spec.cancel: Invalid value: "string"'),
    "long storage": (run_with(resultStorage="s" * 513), "spec.resultStorage: Too long: may not be more than 512"),
}


@pytest.mark.parametrize(("body", "words"), BAD.values(), ids=BAD)
def test_a_bad_object_is_refused(kinds: OwnGroup, body: Body, words: str) -> None:
    """A wrong resource never gets in, and the refusal says what is wrong."""
    assert words in refusal_of(kinds.create, body).message


@pytest.mark.parametrize("name", ["a.b", "a" * 64], ids=["dotted", "long"])
@pytest.mark.parametrize("body", [make_flow(), make_deployment(), make_flowrun()], ids=lambda body: body["kind"])
def test_a_name_is_a_dns_label(kinds: OwnGroup, body: Body, name: str) -> None:
    """Names become labels and parts of other names, so that a name which could be neither is refused at once."""
    assert f"the name of a {body['kind']} {DNS_LABEL}" in refusal_of(kinds.create, body, name).message


@pytest.mark.parametrize("body", [make_flow(), make_deployment(), make_flowrun()], ids=lambda body: body["kind"])
def test_the_longest_name_is_taken(kinds: OwnGroup, body: Body) -> None:
    """63 characters, dashes and digits among them, are a name."""
    assert kinds.create(body, "0" + "a-" * 30 + "9z")


def test_a_field_that_does_not_exist_is_refused_by_kubectls_default(kinds: OwnGroup) -> None:
    """A misspelt field is not silently dropped where the client asks for strictness, as kubectl does."""
    with pytest.raises(ApiError, match=r'unknown field "spec\.paramters"'):
        kinds.create(run_with(paramters={}))


FULL: Body = {
    "flowRef": "main",
    "parameters": {"x": 1, "nothing": None},
    "scheduledTime": "2026-03-01T14:00:00Z",
    "parent": {"name": "p", "uid": "1", "call": "c", "depth": 1},
    "onParentEnd": "Cancel",
    "limits": ["db"],
    "queue": "nightly",
    "tags": ["a", "b"],
    "template": {"spec": {"nodeSelector": {"disk": "ssd"}}},
    "timeoutSeconds": 60,
    "pendingTimeoutSeconds": 60,
    "retries": 1,
    "infraRetries": 1,
    "resultStorage": "/results",
}
DEPLOYED: Body = {"deploymentRef": "main-nightly"}
INLINED: Body = {"flow": {**INLINE, "parameters": {"a": {}}, "template": {"b": None}, "retries": 1}}
#: What it was, what somebody wants it to be (None: not there).
CHANGES: dict[str, tuple[Body, Any]] = {
    "flowRef": (FULL, "other"),
    "deploymentRef": (DEPLOYED, "other"),
    "flow": (INLINED, {**INLINED["flow"], "image": "other"}),
    "flow: a parameter renamed": (INLINED, {**INLINED["flow"], "parameters": {"b": {}}}),
    "flow: the template nulled": (INLINED, {**INLINED["flow"], "template": {"c": None}}),
    "flow: retries removed": (INLINED, {**INLINE, "parameters": {"a": {}}, "template": {"b": None}}),
    "parameters": (FULL, {"x": 2, "nothing": None}),
    "parameters: one more": (FULL, {"x": 1, "nothing": None, "y": 1}),
    "parameters: one renamed": (FULL, {"y": 1, "nothing": None}),
    "parameters: a null renamed": (FULL, {"x": 1, "none": None}),
    "parameters: one null": (FULL, {"x": None, "nothing": None}),
    "parameters: removed": (FULL, None),
    "parameters: added": (DEPLOYED, {}),
    "scheduledTime": (FULL, "2026-03-01T14:00:01Z"),
    "scheduledTime: removed": (FULL, None),
    "parent": (FULL, {**FULL["parent"], "uid": "2"}),
    "parent: added": (DEPLOYED, FULL["parent"]),
    "onParentEnd": (FULL, "Orphan"),
    "limits": (FULL, ["db", "api"]),
    "queue": (FULL, "daily"),
    "queue: removed": (FULL, None),
    "tags": (FULL, ["a", "c"]),
    "tags: removed": (FULL, None),
    "template": (FULL, {"spec": {"nodeSelector": {"disk": "hdd"}}}),
    "template: another key": (FULL, {"metadata": {"nodeSelector": {"disk": "ssd"}}}),
    "timeoutSeconds": (FULL, 61),
    "timeoutSeconds: added": (DEPLOYED, 60),
    "pendingTimeoutSeconds": (FULL, 61),
    "retries": (FULL, 2),
    "retries: removed": (FULL, None),
    "infraRetries": (FULL, 2),
    "resultStorage": (FULL, "/elsewhere"),
}


#: What may be asked of a run that there is; tests of its own say how.
WISHES = {
    "cancel",
    "cancelMode",
    "pause",
    "suspend",
    "answers",
    "priority",
    "retryAfterAttempt",
    "ttlSecondsAfterFinished",
}


def test_a_change_is_tried_for_every_field_of_a_runs_spec() -> None:
    """The table above forgets no field: one that is added to the spec has to be tried too."""
    assert {change.partition(":")[0] for change in CHANGES} | WISHES == {
        f.alias for f in FlowRunSpec.model_fields.values()
    }


@pytest.mark.parametrize("cancel", [False, True], ids=["alone", "with cancel"])
@pytest.mark.parametrize(("change", "was", "wanted"), [(key, *change) for key, change in CHANGES.items()], ids=CHANGES)
def test_a_runs_spec_is_immutable(kinds: OwnGroup, change: str, was: Body, wanted: object, cancel: bool) -> None:
    """Each field is refused by its name when it is changed, added or removed, also under cover of a cancel."""
    run = kinds.create({"kind": "FlowRun", "spec": was})
    field = change.partition(":")[0]
    run["spec"] = {key: value for key, value in {**run["spec"], field: wanted}.items() if value is not None}
    if cancel:
        run["spec"]["cancel"] = True

    assert f"spec.{field}: Forbidden: {IMMUTABLE}" in refusal_of(kinds.replace, run).message


def test_all_changed_fields_are_named_at_once(kinds: OwnGroup) -> None:
    """Whoever edits a run by hand learns of everything that is wrong in one answer."""
    run = kinds.create({"kind": "FlowRun", "spec": FULL})
    run["spec"] |= {"retries": 9, "tags": ["z"], "flowRef": "other"}

    message = refusal_of(kinds.replace, run).message

    assert [f"spec.{field}: Forbidden" in message for field in ("retries", "tags", "flowRef", "parameters")] == [
        True,
        True,
        True,
        False,
    ]


@pytest.mark.parametrize("before", [None, False], ids=["absent", "false"])
def test_a_run_can_be_cancelled(kinds: OwnGroup, before: bool | None) -> None:
    """cancel may be set to true at any time, again and again."""
    run = kinds.create(make_flowrun(cancel=before))
    for _ in range(2):
        run["spec"]["cancel"] = True
        run = kinds.replace(run)

    assert run["spec"]["cancel"] is True


@pytest.mark.parametrize("after", [None, False], ids=["removed", "false"])
def test_a_cancel_cannot_be_taken_back(kinds: OwnGroup, after: bool | None) -> None:
    """Once the wish is out, the run and its children act on it."""
    run = kinds.create(make_flowrun(cancel=True))
    run["spec"] = make_flowrun(cancel=after)["spec"]

    assert "spec.cancel: Forbidden: cancel cannot be taken back" in refusal_of(kinds.replace, run).message


def test_how_long_a_run_is_kept_may_change(kinds: OwnGroup) -> None:
    """Longer, shorter, and not said any more; also once it has ended."""
    run = kinds.create(make_flowrun(spec={"ttlSecondsAfterFinished": 60}))
    for seconds in (31_536_000, 0):
        run["spec"]["ttlSecondsAfterFinished"] = seconds
        run = kinds.replace(run)
        assert run["spec"]["ttlSecondsAfterFinished"] == seconds
    del run["spec"]["ttlSecondsAfterFinished"]
    assert "ttlSecondsAfterFinished" not in kinds.replace(run)["spec"]


def test_metadata_may_change(kinds: OwnGroup) -> None:
    """Labels and annotations are for everybody, whatever state the run is in."""
    run = kinds.create({"kind": "FlowRun", "spec": FULL})
    run["metadata"]["labels"] = {"team": "a"}

    assert kinds.replace(run)["metadata"]["labels"] == {"team": "a"}


@pytest.mark.parametrize("body", [make_flow(), make_deployment()], ids=lambda body: body["kind"])
def test_flows_and_deployments_may_change(kinds: OwnGroup, body: Body) -> None:
    """Only runs are immutable: a new image goes into the Flow that is there."""
    made = kinds.create(body)
    made["spec"]["retries"] = 7

    assert kinds.replace(made)["spec"]["retries"] == 7


def test_one_more_attempt_can_be_asked_for(kinds: OwnGroup) -> None:
    """Again and again, of a later attempt each time; never of an earlier one, of one to come, or of a cancelled run."""
    run = kinds.create(make_flowrun())
    for attempt, after in ((0, 0), (1, 1), (1, 1), (4, 3)):
        if attempt:
            run = kinds.replace({**run, "status": {"attempt": attempt}}, "status")
        ahead = "spec.retryAfterAttempt: Forbidden: retryAfterAttempt names an attempt that has not been yet"
        assert (
            ahead in refusal_of(kinds.replace, run | {"spec": run["spec"] | {"retryAfterAttempt": attempt + 1}}).message
        )
        run["spec"]["retryAfterAttempt"] = after
        run = kinds.replace(run)
    refused = "spec.retryAfterAttempt: Forbidden: retryAfterAttempt never falls, and a cancelled run stays cancelled"
    assert refused in refusal_of(kinds.replace, run | {"spec": run["spec"] | {"retryAfterAttempt": 2}}).message
    run["spec"]["cancel"] = True
    run = kinds.replace(run)
    assert refused in refusal_of(kinds.replace, run | {"spec": run["spec"] | {"retryAfterAttempt": 4}}).message
    state = {"type": "COMPLETED", "name": "Completed", "since": "2026-03-01T12:00:00Z"}
    done = kinds.create(make_flowrun() | {"status": {"attempt": 1, "state": state}})
    completed = "spec.retryAfterAttempt: Forbidden: the run has completed, so there is nothing to try again"
    assert completed in refusal_of(kinds.replace, done | {"spec": done["spec"] | {"retryAfterAttempt": 1}}).message
    fresh = kinds.replace((made := kinds.create(make_flowrun())) | {"spec": made["spec"] | {"cancel": True}})
    assert refused in refusal_of(kinds.replace, fresh | {"spec": fresh["spec"] | {"retryAfterAttempt": 0}}).message


@pytest.mark.parametrize("wish", ["pause", "suspend"])
def test_a_run_can_be_had_to_wait_and_to_go_on(kinds: OwnGroup, wish: str) -> None:
    """As often as somebody likes: true, false, and gone."""
    run = kinds.create(make_flowrun())
    for wanted in (True, False, True, None):
        run["spec"] = {key: value for key, value in {**run["spec"], wish: wanted}.items() if value is not None}
        run = kinds.replace(run)
        assert run["spec"].get(wish) is wanted


def test_answers_come_one_by_one_and_may_change(kinds: OwnGroup) -> None:
    """Their input is kept as it is; each pause has one."""
    run = kinds.create(make_flowrun())
    for answers in ([{"pause": "0", "input": FREE_FORM}], [{"pause": "0", "input": {}}, {"pause": "key legal"}]):
        run["spec"]["answers"] = answers
        run = kinds.replace(run)
        assert run["spec"]["answers"] == answers


@pytest.mark.parametrize(
    ("answers", "why"),
    [
        ([{"pause": "0"}, {"pause": "0"}], "Duplicate value"),
        ([{"pause": ""}], "should be at least 1 chars long"),
        ([{"pause": str(n)} for n in range(17)], "must have at most 16 items"),
        ([{"pause": "0", "input": [1]}], "must be of type object"),
        ([{"input": {}}], "spec.answers"),
    ],
    ids=["twice", "no key", "too many", "no object", "of no pause"],
)
def test_answers_that_cannot_be_are_refused(kinds: OwnGroup, answers: list[Body], why: str) -> None:
    """By the API server, before anybody looks at them."""
    run = kinds.create(make_flowrun())
    run["spec"]["answers"] = answers
    assert why in refusal_of(kinds.replace, run).message


def test_a_run_can_be_killed_at_any_time_and_that_stays(kinds: OwnGroup) -> None:
    """cancelMode becomes Now before, with or after the cancel; it does not become Graceful again."""
    run = kinds.create(make_flowrun())
    for wish in ({"cancelMode": "Graceful"}, {"cancel": True}, {"cancelMode": "Now"}):
        run["spec"] |= wish
        run = kinds.replace(run)
    for after in ("Graceful", None):
        spec = {key: value for key, value in {**run["spec"], "cancelMode": after}.items() if value is not None}
        message = refusal_of(kinds.replace, run | {"spec": spec}).message
        assert "spec.cancelMode: Forbidden: cancelMode Now cannot be taken back" in message
    assert "Unsupported value" in refusal_of(kinds.create, make_flowrun(spec={"cancelMode": "Soon"})).message
