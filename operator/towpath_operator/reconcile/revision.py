"""Decides what should be done about a ControllerRevision: remove it once no run names it any more.

A run may be about to name it: its Job is being made of it, and the status that says so is not written yet. So one that
no run names is marked first, and removed an hour later; whoever is about to use a marked one takes the mark away before
(`CreateJob`). Both writes and the removal hold for one version only, so that of two who mean the opposite one is late.
One that was just made is about to be named, and is not marked at all: it would be two writes for nothing.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from towpath.api.v1alpha1.transitions import rfc3339
from towpath_operator.reconcile.decision import Decision, DeleteRevision, PatchRevision
from towpath_operator.reconcile.guard import guarded
from towpath_operator.reconcile.observed import Body, ObservedRevision
from towpath_operator.reconcile.pods import is_deleting
from towpath_operator.reconcile.reading import mapping, moment, text
from towpath_operator.specs.revisions import UNUSED_SINCE

#: How long a revision stays that no run names: far longer than any write is on its way.
UNUSED: Final = timedelta(hours=1)
#: How long one that was made is left alone.
_NEW: Final = timedelta(minutes=1)


def decide(observed: ObservedRevision, now: datetime) -> Decision:
    """Decide what should be done about a ControllerRevision; pure, and never raises: see `Decision.bug`."""
    return guarded(lambda: _decide(observed, now))


def _decide(observed: ObservedRevision, now: datetime) -> Decision:
    body = observed.revision
    if observed.runs or is_deleting(body):
        return Decision()
    since = moment(body, "metadata", "annotations", UNUSED_SINCE)
    if since is None:
        made = moment(body, "metadata", "creationTimestamp")
        if made is not None and (rest := (made + _NEW - now).total_seconds()) > 0:
            return Decision(requeue_after=rest)
        return Decision((marked(body, now),), UNUSED.total_seconds())
    left = (since + UNUSED - now).total_seconds()
    if left > 0:
        return Decision(requeue_after=left)
    namespace, name, uid, version = (
        text(body, "metadata", key) for key in ("namespace", "name", "uid", "resourceVersion")
    )
    return Decision((DeleteRevision(namespace, name, uid, version),))


def marked(body: Body, since: datetime | None) -> PatchRevision:
    """Build the action that marks a ControllerRevision as named by no run since then, or (None) takes the mark away."""
    namespace, name, version = (text(body, "metadata", key) for key in ("namespace", "name", "resourceVersion"))
    others = {key: said for key, said in mapping(body, "metadata", "annotations").items() if key != UNUSED_SINCE}
    annotations = others | ({UNUSED_SINCE: rfc3339(since)} if since else {})
    patch = {"op": "add", "path": "/metadata/annotations", "value": annotations}
    return PatchRevision(namespace, name, version, (patch,))
