"""Whether a run is to be cancelled: asked for in its own spec, or derived from what became of its parent."""

from __future__ import annotations

from dataclasses import dataclass

from towpath.states import TERMINAL, Reason, StateType
from towpath_operator.reconcile.decision import ConfirmGone
from towpath_operator.reconcile.observed import Body
from towpath_operator.reconcile.pods import is_deleting
from towpath_operator.reconcile.reading import mapping, text, value
from towpath_operator.reconcile.run import PLURAL, Run

_NOW = "Now"


@dataclass(frozen=True, slots=True)
class Wish:
    """A run is to be cancelled."""

    reason: str
    message: str
    confirm: tuple[ConfirmGone, ...] = ()
    """What has to be asked of the API before anything is done about it."""

    @property
    def is_now(self) -> bool:
        """Whether its process is killed, instead of being told to end."""
        return self.reason == Reason.CANCELLED_NOW


def wish_to_cancel(run: Run, parent: Body | None) -> Wish | None:
    """Tell whether a run that has not ended is to be cancelled, and why.

    Args:
        run: the run.
        parent: the FlowRun of the name that its spec.parent gives, if there is one.
    """
    derived = None
    if mapping(run.spec, "parent") and text(run.spec, "onParentEnd") != "Orphan":
        derived = _of_parent(run, parent)
    if derived is not None and derived.is_now:
        return derived
    if value(run.spec, "cancel") is True:
        if text(run.spec, "cancelMode") == _NOW:
            return Wish(Reason.CANCELLED_NOW, "The run was cancelled by spec.cancel, with cancelMode Now.")
        if run.reason != Reason.CANCELLED_NOW:
            return Wish(Reason.CANCELLED_BY_REQUEST, "The run was cancelled by spec.cancel.")
    if run.state is StateType.CANCELLING:  # cannot be taken back, whoever wrote it
        message = text(run.status, "state", "message")
        return Wish(run.reason or Reason.CANCELLED_BY_REQUEST, message or "The run was cancelled.")
    return derived


def _of_parent(run: Run, parent: Body | None) -> Wish | None:
    name, uid = text(run.spec, "parent", "name"), text(run.spec, "parent", "uid")
    if parent is None or text(parent, "metadata", "uid") != uid:
        confirm = ConfirmGone(PLURAL, run.namespace, name, uid)
        return _ended(f"The parent run {name!r} does not exist any more.", confirm)
    if _is_killed(parent):
        return Wish(Reason.CANCELLED_NOW, f"The parent run {name!r} was cancelled with cancelMode Now.")
    if is_deleting(parent):
        return _ended(f"The parent run {name!r} is being deleted.")
    state = text(parent, "status", "state", "type")
    if state in TERMINAL:
        return _ended(f"The parent run {name!r} ended as {state} before this one.")
    if state == StateType.CANCELLING or value(parent, "spec", "cancel") is True:
        return _ended(f"The parent run {name!r} is being cancelled.")
    return None


def _is_killed(parent: Body) -> bool:
    """Tell whether a run is cancelled without a grace period: by its own spec, or because one above it is."""
    if text(parent, "status", "state", "reason") == Reason.CANCELLED_NOW:
        return True
    return value(parent, "spec", "cancel") is True and text(parent, "spec", "cancelMode") == _NOW


def _ended(message: str, *confirm: ConfirmGone) -> Wish:
    return Wish(Reason.PARENT_ENDED, message, confirm)
