"""Why an attempt does not get going that Job and pod give no reason for: read from what Kubernetes complains of."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Final

from towpath.states import Reason
from towpath_operator.reconcile.decision import Decision
from towpath_operator.reconcile.observed import Body, Complaint
from towpath_operator.reconcile.pods import Waiting
from towpath_operator.reconcile.reading import moment, text

#: After how many seconds without a pod that runs somebody is asked why; and how soon again, less and less often.
ASK_SECONDS: Final = 5.0
ASK_AGAIN_SECONDS: Final = 10.0
#: The Job controller could not make the pod.
_NO_POD: Final = "FailedCreate"
#: The kubelet says what it could not do for a pod, and says it again within two minutes while that is so.
_NOT_PREPARED: Final = frozenset(
    {"FailedMount", "FailedAttachVolume", "FailedMapVolume", "FailedCreatePodSandBox", "NetworkNotReady"}
)
#: Those that are the node's own: on another one the pod might start.
_OF_THE_NODE: Final = frozenset({"FailedCreatePodSandBox", "NetworkNotReady"})
_STALE: Final = timedelta(minutes=3)
_LONG_AGO: Final = datetime.min.replace(tzinfo=UTC)


def complaint_in(event: Body) -> tuple[str, Complaint | None]:
    """Read an Event: the UID of what it is about, and the complaint, if it is one that explains a wait."""
    reason = text(event, "reason")
    if reason != _NO_POD and reason not in _NOT_PREPARED:
        return "", None
    times = (
        moment(event, "series", "lastObservedTime"),
        moment(event, "lastTimestamp"),
        moment(event, "eventTime"),
        moment(event, "metadata", "creationTimestamp"),
    )
    at = next(filter(None, times), _LONG_AGO)
    return text(event, "involvedObject", "uid"), Complaint(reason, text(event, "message"), at)


def asking(decision: Decision, age: float, *, was_asked: bool) -> Decision:
    """Add to a decision about a run that waits that somebody is to be asked why, once it has waited for a while.

    Args:
        decision: without that.
        age: for how many seconds the pod is being waited for.
        was_asked: whether what was observed holds the answer.
    """
    if decision.requeue_after is not None:
        again = max(ASK_AGAIN_SECONDS, age / 2) if age >= ASK_SECONDS else ASK_SECONDS - age
        decision = dataclasses.replace(decision, requeue_after=min(again, decision.requeue_after))
    return dataclasses.replace(decision, asks_why=age >= ASK_SECONDS and not was_asked)


def explained(
    waiting: Waiting, job: Body | None, pod: Body | None, complaints: Mapping[str, Complaint], now: datetime
) -> Waiting:
    """Give the reason for a wait in the words of a complaint, if there is one that fits."""
    about = complaints.get(text(pod if pod is not None else job, "metadata", "uid"))
    if about is None:
        return waiting
    if pod is None:
        return Waiting(
            Reason.POD_REFUSED,
            f"The Job cannot make its pod: {_words(about)}. It goes on by itself once that is put right.",
        )
    if about.reason == _NO_POD or about.at < now - _STALE:
        return waiting
    return Waiting(
        Reason.CONTAINER_CONFIG_ERROR,
        f"The node {text(pod, 'spec', 'nodeName')!r} cannot prepare the pod ({about.reason}): {_words(about)}."
        " It goes on by itself once that is put right.",
        elsewhere=about.reason in _OF_THE_NODE,
    )


def _words(complaint: Complaint) -> str:
    return complaint.message.removeprefix("Error creating: ").rstrip(". ")
