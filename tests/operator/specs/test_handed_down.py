"""What of a run's pod template its children inherit."""

from __future__ import annotations

import json

from towpath import names
from towpath_operator.reconcile.policy import DEFAULT
from towpath_operator.specs.jobs import build_job
from towpath_operator.specs.resolved import ResolvedRun
from towpath_operator.specs.templates import handed_down

ENV = [{"name": "DATABASE", "value": "db"}]
VOLUMES = [{"name": "data", "emptyDir": {}}]


def test_children_inherit_everything_but_image_and_resources() -> None:
    """Environment, volumes and node selection go down; image and resources are each run's own."""
    flow = {
        "spec": {
            "volumes": VOLUMES,
            "containers": [{"name": "flow", "env": ENV, "resources": {"limits": {"memory": "8Gi"}}}],
        }
    }
    run = {"spec": {"nodeSelector": {"disk": "ssd"}, "containers": [{"name": "flow", "image": "other"}]}}

    assert handed_down([flow, run]) == {
        "spec": {"volumes": VOLUMES, "containers": [{"name": "flow", "env": ENV}], "nodeSelector": {"disk": "ssd"}}
    }


def test_nothing_to_inherit_is_nothing() -> None:
    """A template that only says how much memory the run needs hands nothing down."""
    assert (
        handed_down([{"spec": {"containers": [{"name": "flow", "resources": {"requests": {"memory": "1Gi"}}}]}}]) == {}
    )
    assert handed_down([]) == {}


def told(run: ResolvedRun) -> str | None:
    """Give the inherited template as the pod is told of it."""
    (container,) = build_job(run, 1, DEFAULT)["spec"]["template"]["spec"]["containers"]
    return next((item["value"] for item in container["env"] if item["name"] == names.ENV_TEMPLATE), None)


def test_the_pod_is_told_what_its_children_inherit() -> None:
    """The environment of the pod holds it as JSON; a `$` in it survives the kubelet's expansion."""
    template = {"spec": {"containers": [{"name": "flow", "env": [{"name": "PRICE", "value": "$5"}]}]}}
    run = ResolvedRun(
        name="r", namespace="n", uid="u" * 8, flow="f", image="i", entrypoint="m:f", templates=(template,)
    )

    value = told(run)

    assert value is not None
    assert json.loads(value.replace("$$", "$")) == template


def test_who_hands_nothing_down_is_told_nothing() -> None:
    """A pod without a template, and a plain container, which has no children, are not told."""
    plain = ResolvedRun(
        name="r",
        namespace="n",
        uid="u" * 8,
        flow="f",
        image="i",
        command=("true",),
        templates=({"spec": {"volumes": VOLUMES}},),
    )

    assert told(plain) is None
    assert told(ResolvedRun(name="r", namespace="n", uid="u" * 8, flow="f", image="i", entrypoint="m:f")) is None
