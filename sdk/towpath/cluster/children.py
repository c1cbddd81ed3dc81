"""What the FlowRun of a flow called in a flow looks like, and whether one that exists is the one called. Pure."""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping
from copy import deepcopy
from typing import TYPE_CHECKING, Any, Final

from towpath import names
from towpath.cluster.ends import has_ended
from towpath.cluster.own import OwnRun
from towpath.cluster.port import Body
from towpath.errors import ConfigurationError, NestingTooDeep, ParameterError
from towpath.parameter_words import shortened
from towpath.parameters import is_json, to_json
from towpath.states import StateType

if TYPE_CHECKING:
    from towpath.flows import Flow

_SAY_NOTHING: Final = (inspect.Parameter.empty, Any, "Any", object, "object")
#: In which try of the parent a child was created.
ANNOTATION_MADE_IN: Final = f"{names.GROUP}/made-in"


def travelling(flow: Flow[Any, Any], parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Make a call's parameters fit for travel.

    Validation on the other side turns texts back into dates, and lists into tuples, where the annotation says so. What
    has no annotation comes out as JSON has it; that is an error here, not a surprise there.

    Raises:
        ParameterError: a value has no form in JSON, would not come out as it is, or all together are too large.
    """
    for name, parameter in inspect.signature(flow.fn).parameters.items():
        if (
            parameter.annotation not in (inspect.Parameter.empty, Any, "Any", object, "object")
            or name not in parameters
        ):
            continue
        value = parameters[name]
        if not is_json(_tuples_as_lists(value)):
            raise ParameterError(
                f"Parameter {name!r} of flow {flow.name!r} cannot travel to a pod as it is: {shortened(value)} would"
                f" arrive as something else. Annotate the parameter ({name}: {type(value).__name__}), pass plain JSON"
                " values, or run the flow in this process (`inline=True`)."
            )
    return to_json(parameters, flow.name)


def check_depth(depth: int, most: int, called: str) -> None:
    """Refuse a run that would be nested too deep.

    Args:
        depth: how many runs would be above it.
        most: how many may be.
        called: what would run, for the message.

    Raises:
        NestingTooDeep: it would.
    """
    if depth > most:
        raise NestingTooDeep(
            f"{called!r} would run {depth} levels below the top; at most {most} are allowed. Does a flow call"
            " itself without an end?"
        )


def call_of(flow: Flow[Any, Any], entrypoint: str, own: OwnRun) -> dict[str, Any]:
    """Write a flow in place, as `spec.flow` has it; its own template goes over the one inherited here.

    Args:
        flow: the flow.
        entrypoint: where it is in the image.
        own: the run that calls, whose image is used unless the flow has one, and whose template is inherited.
    """
    own_image = flow.image or own.image
    if not own_image:
        raise ConfigurationError(
            f"Flow {flow.name!r} cannot run in a pod of its own: neither it nor this run has an image."
            " Set it: @flow(image='registry/image:tag')."
        )
    written: dict[str, Any] = {
        "name": names.slug(flow.name),
        "image": own_image,
        "entrypoint": entrypoint,
        "retries": flow.retries,
    }
    if flow.timeout_seconds is not None:
        written["timeoutSeconds"] = math.ceil(flow.timeout_seconds)
    if flow.infra_retries is not None:
        written["infraRetries"] = flow.infra_retries
    if own.template:
        written["template"] = dict(own.template)
    return written


def template_of(template: Mapping[str, Any] | None, changes: Mapping[str, Any]) -> dict[str, Any]:
    """Put what is said about the run's container into its pod template.

    Args:
        template: the pod template, if there is one.
        changes: fields of the container, such as resources, over those of the template.
    """
    merged: dict[str, Any] = deepcopy(dict(template or {}))
    if not changes:
        return merged
    containers = merged.setdefault("spec", {}).setdefault("containers", [])
    container = next((each for each in containers if each.get("name") == names.CONTAINER), None)
    if container is None:
        container = {"name": names.CONTAINER}
        containers.append(container)
    given = deepcopy(dict(changes))
    if "resources" in given:
        given["resources"] = {**container.get("resources", {}), **given["resources"]}
    container.update(given)
    return merged


def manifest(own: OwnRun, name: str, *, key: str, made_in: str, depth: int, spec: Mapping[str, Any]) -> dict[str, Any]:
    """Build the FlowRun of a call.

    Args:
        own: the run that calls; it owns the child, unless that is an orphan.
        name: of the child.
        key: identity of the call.
        made_in: the parent's try.
        depth: how many runs are above the child.
        spec: what to run, and with what.
    """
    labels = {
        names.LABEL_RUN: name,
        names.LABEL_ROOT_RUN: own.root,
        names.LABEL_PARENT: own.name,
        names.LABEL_MANAGED_BY: names.MANAGED_BY,
    }
    if "flow" in spec:
        labels[names.LABEL_FLOW] = spec["flow"]["name"]
    else:
        labels[names.LABEL_DEPLOYMENT] = spec["deploymentRef"]
    owner = {
        "apiVersion": names.API_VERSION,
        "kind": "FlowRun",
        "name": own.name,
        "uid": own.uid,
        "controller": True,
        "blockOwnerDeletion": False,  # a parent that is deleted does not wait for its children
    }
    parent = {"name": own.name, "uid": own.uid, "call": key, "depth": depth}
    metadata: dict[str, Any] = {"name": name, "labels": labels, "annotations": {ANNOTATION_MADE_IN: made_in}}
    if spec.get("onParentEnd") != "Orphan":  # who outlives its parent is not deleted with it
        metadata["ownerReferences"] = [owner]
    return {
        "apiVersion": names.API_VERSION,
        "kind": "FlowRun",
        "metadata": metadata,
        "spec": {**spec, "parent": parent},
    }


def is_child(run: Body, own: OwnRun) -> bool:
    """Tell whether a run that exists is a child of this one, and not just named like it."""
    parent = run["spec"].get("parent") or {}
    return bool(parent.get("uid") == own.uid)


def is_spent(run: Body, made_in: str) -> bool:
    """Tell whether a child that exists ended otherwise than completed before this try of its parent began.

    Whether it did is not asked of clocks: a child that this try did not create is left over from an earlier one.
    """
    if run["metadata"].get("deletionTimestamp"):
        return True
    if not has_ended(run) or run["status"]["state"]["type"] == StateType.COMPLETED:
        return False
    return bool((run["metadata"].get("annotations") or {}).get(ANNOTATION_MADE_IN) != made_in)


def _tuples_as_lists(value: Any) -> Any:
    if type(value) in (tuple, list):
        return [_tuples_as_lists(item) for item in value]
    if type(value) is dict:
        return {key: _tuples_as_lists(item) for key, item in value.items()}
    return value
