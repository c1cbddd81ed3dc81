"""Pod templates: what they may ask for, in which words they are refused, and how they are merged."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from towpath import names
from towpath_operator.specs.templates import CREDENTIALS_VOLUME, RESERVED_ENV, InvalidTemplate, check, merged


def in_flow(**fields: Any) -> dict[str, Any]:
    """Build a template for the flow's container."""
    return {"spec": {"containers": [{"name": "flow"} | fields]}}


def in_pod(**fields: Any) -> dict[str, Any]:
    """Build a template for the pod's spec."""
    return {"spec": fields}


REFUSED: dict[str, tuple[Any, str]] = {
    "host network": (in_pod(hostNetwork=True), "template.spec.hostNetwork=True"),
    "host processes": (in_pod(hostPID=True), "template.spec.hostPID=True"),
    "host memory": (in_pod(hostIPC="yes"), "template.spec.hostIPC='yes'"),
    "host path": (in_pod(volumes=[{"name": "v", "hostPath": {"path": "/"}}]), "template.spec.volumes[v].hostPath"),
    "host port": (in_flow(ports=[{"containerPort": 80, "hostPort": 80}]), "ports[80].hostPort=80"),
    "windows host": (in_pod(securityContext={"windowsOptions": {"hostProcess": True}}), "hostProcess=True"),
    "privileged": (in_flow(securityContext={"privileged": True}), "containers[flow].securityContext.privileged=True"),
    "escalation": (in_flow(securityContext={"allowPrivilegeEscalation": True}), "allowPrivilegeEscalation=True"),
    "capability": (in_flow(securityContext={"capabilities": {"add": ["SYS_ADMIN"]}}), "capabilities.add=['SYS_ADMIN']"),
    "proc": (in_flow(securityContext={"procMount": "Unmasked"}), "procMount='Unmasked'"),
    "privileged sidecar": (
        in_pod(initContainers=[{"name": "side", "securityContext": {"privileged": True}}]),
        "initContainers[side].securityContext.privileged=True",
    ),
    "restart": (in_pod(restartPolicy="OnFailure"), "restartPolicy='OnFailure'"),
    "ephemeral": (in_pod(ephemeralContainers=[{"name": "debug"}]), "ephemeralContainers"),
    "second container": (in_pod(containers=[{"name": "other"}]), "restartPolicy: Always"),
    "init container of the flow's name": (in_pod(initContainers=[{"name": "flow"}]), "initContainers[flow]"),
    "command": (in_flow(command=["x"]), "containers[flow].command=['x']"),
    "args": (in_flow(args=["x"]), "containers[flow].args=['x']"),
    "termination message": (in_flow(terminationMessagePath="/x"), "terminationMessagePath='/x'"),
    "our environment": (in_flow(env=[{"name": names.ENV_RUN, "value": "x"}]), f"env[{names.ENV_RUN}]"),
    "our volume": (in_pod(volumes=[{"name": CREDENTIALS_VOLUME, "emptyDir": {}}]), f"volumes[{CREDENTIALS_VOLUME}]"),
    "our mount": (in_flow(volumeMounts=[{"name": "v", "mountPath": names.CREDENTIALS_DIR + "/"}]), "credentials"),
    "name": ({"metadata": {"name": "x"}}, "template.metadata.name"),
    "typo": ({"sepc": {}}, "template.sepc"),
    "label of a number": ({"metadata": {"labels": {"a": 1}}}, "template.metadata.labels[a]=1"),
    "no object": (["x"], "template=['x']"),
    "spec no object": ({"spec": "x"}, "template.spec='x'"),
    "no list": (in_pod(containers={"name": "flow"}), "template.spec.containers={'name': 'flow'} is not a list"),
    "no name": (in_pod(containers=[{"image": "x"}]), "containers[0]={'image': 'x'} has no name"),
    "no mount path": (in_flow(volumeMounts=[{"name": "x"}]), "has no mountPath"),
    "image of a number": (in_flow(image=3), "image=3"),
    "nothing left of containers": (in_pod(containers=None), "template.spec.containers cannot be removed"),
    "nothing left of spec": ({"spec": None}, "template.spec cannot be removed"),
    "nothing left of image": (in_flow(image=None), "image cannot be removed"),
}


@pytest.mark.parametrize(("template", "words"), REFUSED.values(), ids=list(REFUSED))
def test_what_a_template_may_not_ask_for(template: Any, words: str) -> None:
    """Refused with the path, the value, and a cure."""
    with pytest.raises(InvalidTemplate) as refused:
        check(template)

    said = str(refused.value)
    assert words in said
    assert said.endswith(".")


@pytest.mark.parametrize(
    "template",
    [
        None,
        {},
        {"metadata": {}},
        in_pod(hostNetwork=False, hostUsers=False, nodeSelector={"a": "b"}, priorityClassName="high"),
        in_pod(volumes=[{"name": "v", "persistentVolumeClaim": {"claimName": "c"}}]),
        in_pod(initContainers=[{"name": "side", "image": "i", "restartPolicy": "Always", "command": ["x"]}]),
        in_flow(securityContext={"runAsUser": 1000, "privileged": False, "capabilities": {"drop": ["ALL"]}}),
        in_flow(envFrom=[{"secretRef": {"name": "s"}}], env=[{"name": "TOWPATH_MINE", "value": "x"}]),
    ],
    ids=["none", "empty", "no labels", "pod", "volume", "sidecar", "security", "environment"],
)
def test_what_a_template_may_ask_for(template: Any) -> None:
    """Everything that stays inside of the pod."""
    check(template)


def test_the_environment_that_is_reserved_is_ours() -> None:
    """All that the operator tells the process, and nothing else that begins like it."""
    assert names.ENV_ATTEMPT in RESERVED_ENV
    assert all(name.startswith("TOWPATH_") for name in RESERVED_ENV)


BASE: dict[str, Any] = {
    "metadata": {"labels": {"a": "1", "b": "1"}},
    "spec": {
        "containers": [
            {"name": "flow", "image": "i", "env": [{"name": "X", "value": "1"}, {"name": "Y", "value": "1"}]}
        ],
        "volumes": [{"name": "v", "emptyDir": {}}],
        "tolerations": [{"key": "a"}],
    },
}


@pytest.mark.parametrize(
    ("template", "path", "expected"),
    [
        ({"metadata": {"labels": {"b": "2"}}}, ("metadata", "labels"), {"a": "1", "b": "2"}),
        ({"metadata": {"labels": {"b": None}}}, ("metadata", "labels"), {"a": "1"}),
        (in_pod(nodeSelector={"x": "y"}), ("spec", "nodeSelector"), {"x": "y"}),
        (in_pod(tolerations=[{"key": "b"}]), ("spec", "tolerations"), [{"key": "b"}]),
        (in_pod(tolerations=None), ("spec", "tolerations"), None),
        (
            in_pod(volumes=[{"name": "v", "configMap": {"name": "c"}}, {"name": "w", "emptyDir": {}}]),
            ("spec", "volumes"),
            [{"name": "v", "configMap": {"name": "c"}}, {"name": "w", "emptyDir": {}}],
        ),
    ],
    ids=["label", "label removed", "new field", "list replaced", "list removed", "items by name"],
)
def test_how_a_template_is_merged(template: Any, path: tuple[str, ...], expected: Any) -> None:
    """Objects field by field, lists of named things item by item, other lists as a whole, null removes."""
    result: Any = merged(BASE, [template])
    for key in path:
        result = result.get(key)

    assert result == expected


def test_the_flows_container_is_merged_into() -> None:
    """Fields of its own stay, items of its lists are replaced by name, never mixed: a variable has one source."""
    secret = {"secretKeyRef": {"name": "s", "key": "k"}}
    template = in_flow(env=[{"name": "Y", "valueFrom": secret}, {"name": "Z", "value": "3"}], workingDir="/work")
    (container,) = merged(BASE, [template])["spec"]["containers"]

    assert container["env"] == [
        {"name": "X", "value": "1"},
        {"name": "Y", "valueFrom": secret},
        {"name": "Z", "value": "3"},
    ]
    assert (container["image"], container["workingDir"]) == ("i", "/work")


def test_the_last_template_has_the_last_word() -> None:
    """Flow, deployment, run."""
    result = merged(BASE, [in_flow(image="flow"), in_flow(image="deployment"), in_flow(image="run")])

    assert result["spec"]["containers"][0]["image"] == "run"


def test_merging_changes_nothing_of_what_it_is_given() -> None:
    """Templates are parts of cached bodies."""
    template = in_flow(env=[{"name": "X", "value": "2"}])
    base, before = copy.deepcopy(BASE), copy.deepcopy(template)
    merged(BASE, [template, template])

    assert (base, before) == (BASE, template)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.sampled_from(["flow", "x", "Never"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["metadata", "spec", "containers", "env", "name", "securityContext", "labels", "volumes", "image"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(JSON)
def test_any_template_is_merged_or_refused_in_words(template: Any) -> None:
    """Whatever an author writes: what passes the check can be merged, twice, and leaves a pod with its container."""
    try:
        check(template)
    except InvalidTemplate:
        return
    once = merged(BASE, [template] if template else [])
    assert merged(once, [template] if template else []) == once
    assert once["spec"]["containers"][0]["name"] == "flow"
