"""What the FlowRun of a call looks like."""

from __future__ import annotations

from towpath import flow
from towpath.cluster.children import call_of, template_of
from towpath.cluster.own import OwnRun

INHERITED = {"spec": {"nodeSelector": {"disk": "ssd"}}}
OWN = OwnRun(name="parent", uid="uid", attempt=1, image="image:1", template=INHERITED)


@flow(resources={"requests": {"memory": "1Gi"}})
def child() -> None:
    """Do nothing."""


def test_a_child_runs_in_its_parents_image_and_inherits_its_template() -> None:
    """Without an image of its own a child takes its parent's; what the parent hands down stands in its flow."""
    written = call_of(child, "flows.py:child", OWN)

    assert (written["image"], written["template"]) == ("image:1", INHERITED)
    assert call_of(child.with_options(image="other:2"), "flows.py:child", OWN)["image"] == "other:2"


def test_a_childs_own_resources_stand_in_its_own_template() -> None:
    """What the child was given itself goes over what it inherits."""
    assert template_of(child.template, {"resources": child.resources}) == {
        "spec": {"containers": [{"name": "flow", "resources": {"requests": {"memory": "1Gi"}}}]}
    }
