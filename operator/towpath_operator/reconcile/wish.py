"""Whether a run is to be cancelled: asked for in its own spec, or derived from what became of its parent."""

from __future__ import annotations

from dataclasses import dataclass

from towpath.states import TERMINAL, Reason, StateType
from towpath_operator.reconcile.decision import ConfirmGone
from towpath_operator.reconcile.observed import Body
from towpath_operator.reconcile.pods import is_deleting
from towpath_operator.reconcile.reading import mapping, text, value
from towpath_operator.reconcile.run import PLURAL, Run


@dataclass(frozen=True, slots=True)
class Wish:
    """A run is to be cancelled."""

    reason: str
    message: str
    confirm: tuple[ConfirmGone, ...] = ()
    """What has to be asked of the API before anything is done about it."""


def wish_to_cancel(run: Run, parent: Body | None) -> Wish | None:
    """Tell whether a run that has not ended is to be cancelled, and why.

    Args:
        run: the run.
        parent: the FlowRun of the name that its spec.parent gives, if there is one.
    """
    if value(run.spec, "cancel") is True:
        return Wish(Reason.CANCELLED_BY_REQUEST, "The run was cancelled by spec.cancel.")
    if run.state is StateType.CANCELLING:  # cannot be taken back, whoever wrote it
        message = text(run.status, "state", "message")
        return Wish(run.reason or Reason.CANCELLED_BY_REQUEST, message or "The run was cancelled.")
    if not mapping(run.spec, "parent") or text(run.spec, "onParentEnd") == "Orphan":
        return None
    return _of_parent(run, parent)


def _of_parent(run: Run, parent: Body | None) -> Wish | None:
    name, uid = text(run.spec, "parent", "name"), text(run.spec, "parent", "uid")
    if parent is None or text(parent, "metadata", "uid") != uid:
        confirm = ConfirmGone(PLURAL, run.namespace, name, uid)
        return _ended(f"The parent run {name!r} does not exist any more.", confirm)
    if is_deleting(parent):
        return _ended(f"The parent run {name!r} is being deleted.")
    state = text(parent, "status", "state", "type")
    if state in TERMINAL:
        return _ended(f"The parent run {name!r} ended as {state} before this one.")
    if state == StateType.CANCELLING or value(parent, "spec", "cancel") is True:
        return _ended(f"The parent run {name!r} is being cancelled.")
    return None


def _ended(message: str, *confirm: ConfirmGone) -> Wish:
    return Wish(Reason.PARENT_ENDED, message, confirm)
