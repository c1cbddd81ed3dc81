"""Answers an AdmissionReview: looks up what the object refers to, has it judged, and says so to the API server.

The store may lag behind the API server by the tenth of a second that lies between two objects of one `kubectl apply`.
So it is believed at once when there is nothing to say against the object; before anything is said, what was looked up
is read from the API server itself, and the object judged again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, Protocol

from towpath_operator.observe import Key
from towpath_operator.reconcile import admission
from towpath_operator.reconcile.admission import Verdict
from towpath_operator.reconcile.automation import deployments_of
from towpath_operator.reconcile.claims import LIMITS, QUEUES, limits_of, queue_of
from towpath_operator.reconcile.observed import Body, ObservedDeployment, ObservedFlowRun
from towpath_operator.reconcile.policy import Policy
from towpath_operator.reconcile.reading import mapping, text

#: Reading again may take so many seconds; the API server waits a little longer, and then goes on without us.
_PATIENCE: Final = 1.5
#: Kinds about which there is anything to say.
REVIEWED: Final = frozenset({"flowruns", "deployments", "flows", "queues", "automations"})


class MalformedReviewError(ValueError):
    """What was sent is no AdmissionReview that can be answered."""


class View(Protocol):
    """What is looked up; `StoreView` is one."""

    def get(self, plural: str, namespace: str, name: str) -> Body | None:
        """Give an object as last seen."""
        ...

    def deployments_of_flow(self, namespace: str, name: str) -> Sequence[Body]:
        """Give the Deployments of a Flow."""
        ...


class Reviewer:
    """Answers reviews.

    Args:
        view: what is known.
        refresh: reads an object from the API server into what is known; what is not there is no error.
        policy: the operator's settings, as decisions take them.
        clock: the time.
    """

    def __init__(
        self,
        view: View,
        refresh: Callable[[Key], Awaitable[None]],
        policy: Policy,
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._view = view
        self._refresh = refresh
        self._policy = policy
        self._clock = clock

    async def answer(self, review: Mapping[str, Any]) -> dict[str, Any]:
        """Give the AdmissionReview that answers this one.

        Raises:
            MalformedReviewError: it is none of the version v1.
            ClusterError: something had to be read from the API server, and could not be.
            TimeoutError: it did not come in time.
        """
        request = mapping(review, "request")
        uid = text(request, "uid")
        if review.get("apiVersion") != "admission.k8s.io/v1" or not uid:
            raise MalformedReviewError(f"apiVersion is {review.get('apiVersion')!r}; admission.k8s.io/v1 is answered.")
        read: set[Key] = set()
        verdict, looked_up = self._judge(request)
        async with asyncio.timeout(_PATIENCE):
            while (verdict.problems or verdict.warnings) and not looked_up <= read:
                for key in looked_up - read:
                    await self._refresh(key)
                read |= looked_up
                verdict, looked_up = self._judge(request)  # of a Deployment that was found, the Flow is looked up, too
        response: dict[str, Any] = {"uid": uid, "allowed": not verdict.problems}
        if verdict.problems:
            response["status"] = _invalid(request, verdict.problems)
        if verdict.warnings:
            response["warnings"] = verdict.told()
        return {"apiVersion": review["apiVersion"], "kind": "AdmissionReview", "response": response}

    def _judge(self, request: Mapping[str, Any]) -> tuple[Verdict, set[Key]]:
        """Judge what is to become of an object; give the verdict, and what was looked up for it."""
        looked_up: set[Key] = set()

        def look_up(plural: str, name: str) -> Body | None:
            if not name:
                return None
            looked_up.add(Key(plural, text(request, "namespace"), name))
            return self._view.get(plural, text(request, "namespace"), name)

        plural = text(request, "resource", "resource")
        verdict = self._verdict(plural, mapping(request, "object"), look_up)
        if (before := mapping(request, "oldObject")) and verdict.problems:
            verdict = verdict.since(self._verdict(plural, before, look_up))
        return verdict, looked_up

    def _verdict(self, plural: str, body: Body, look_up: Callable[[str, str], Body | None]) -> Verdict:
        match plural:
            case "flowruns" if look_up("flowruns", text(body, "metadata", "name")) is not None:
                return Verdict()  # the API server says so, and whoever makes a run twice counts on hearing that
            case "flowruns":
                deployment = look_up("deployments", text(body, "spec", "deploymentRef"))
                observed = ObservedFlowRun(
                    body,
                    flow=look_up("flows", text(body, "spec", "flowRef") or text(deployment, "spec", "flowRef")),
                    deployment=deployment,
                    queue=look_up(QUEUES, queue_of(body, deployment)),
                    limits={name: look_up(LIMITS, name) for name in limits_of(body, deployment)},
                    policy=self._policy,
                )
                return admission.of_run(observed)
            case "deployments":
                flow = look_up("flows", text(body, "spec", "flowRef"))
                named = [("Queue", QUEUES, queue_of({}, body))]
                named += [("ConcurrencyLimit", LIMITS, name) for name in limits_of({}, body)]
                absent = [f"{kind} {name!r}" for kind, of, name in named if name and look_up(of, name) is None]
                return admission.of_deployment(ObservedDeployment(body, flow=flow), self._clock(), absent)
            case "flows":
                place = text(body, "metadata", "namespace"), text(body, "metadata", "name")
                return admission.of_flow(body, self._view.deployments_of_flow(*place))
            case "queues":
                return admission.of_queue(body)
            case "automations":
                names = dict.fromkeys(deployments_of(body))
                return admission.of_automation(
                    body, [f"Deployment {name!r}" for name in names if look_up("deployments", name) is None]
                )
            case _:
                return Verdict()


def _invalid(request: Mapping[str, Any], problems: Sequence[str]) -> dict[str, Any]:
    """Build the status of a refusal; of one with details, kubectl names the object and not the webhook."""
    metadata = mapping(request, "object", "metadata")
    return {
        "code": 422,
        "reason": "Invalid",
        "message": " ".join(problems),
        "details": {
            "group": text(request, "kind", "group"),
            "kind": text(request, "kind", "kind"),
            "name": text(metadata, "name") or text(metadata, "generateName"),
            "causes": [{"reason": "FieldValueInvalid", "field": "spec", "message": said} for said in problems],
        },
    }
