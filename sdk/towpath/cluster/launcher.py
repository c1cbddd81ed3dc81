"""Gives a flow called in a flow a FlowRun of its own, and the caller a future that ends with it."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from towpath import names, stores
from towpath.cluster import children
from towpath.cluster.calls import Calls, Identity
from towpath.cluster.ended import completing
from towpath.cluster.ends import End, Ends, has_ended
from towpath.cluster.own import OwnRun
from towpath.cluster.port import Body, Cluster, Selector
from towpath.entrypoints import entrypoint_of
from towpath.errors import ClusterError, Conflict, NotFound
from towpath.futures import Future
from towpath.runs import FlowRun
from towpath.states import StateType

if TYPE_CHECKING:
    from towpath.engine.ports import FlowCall

#: How many failed children of the same call, one for each try of the parent, are looked at before giving up.
_MOST_TRIES: Final = 200
log = logging.getLogger("towpath.cluster")


class ClusterLauncher:
    """Runs what a run calls on Jobs of their own; the engine's `Launcher`.

    Args:
        cluster: where to.
        own: the run whose attempt this process is.
        run: the same, as the engine knows it.
        max_depth: how many runs may be above one.
    """

    def __init__(self, cluster: Cluster, own: OwnRun, run: FlowRun, *, max_depth: int = names.MAX_DEPTH) -> None:
        self.cluster = cluster
        self.own = own
        self.process = os.getpid()
        """The process of the attempt; those that its code forks off have copies of all this, and no part in it."""
        self._max_depth = min(max_depth, names.MAX_DEPTH)
        self._calls = Calls(run)
        self._ends = Ends(cluster, Selector(labels={names.LABEL_PARENT: own.name}))
        self._guard = threading.Lock()
        self._children: dict[str, StateType | None] = {}  # by UID; None: not ended, as far as is known

    def launch(self, call: FlowCall) -> Future[Any]:
        """Create the call's FlowRun, or find the one that an earlier try of the parent created."""
        flow = call.flow
        spec: dict[str, Any] = {
            "flow": children.call_of(flow, entrypoint_of(flow), self.own),
            "parameters": children.travelling(flow, call.parameters),
        }
        if template := children.template_of(flow.template, {"resources": flow.resources} if flow.resources else {}):
            spec["template"] = template
        if call.tags:
            spec["tags"] = sorted(call.tags)
        if storage := stores.url_of(flow.result_storage) or self.own.result_storage:
            spec["resultStorage"] = storage
        return self._future(self.create(call.parent, flow.name, spec), flow.name, call.parent)

    def create(self, caller: FlowRun, called: str, spec: Mapping[str, Any], *, shown: str | None = None) -> Body:
        """Create a child of this run, or find it.

        Args:
            caller: the run that calls: this one, or one that runs inline in it.
            called: name of the flow or deployment; part of the call's identity.
            spec: of the child, without its parent.
            shown: what stands in the child's name for what is called, if it should be something else.
        """
        call = self._calls.identify(caller, called, spec.get("parameters") or {})
        for again in range(_MOST_TRIES):
            made = Identity(f"{call.key}-r{again}" if again else call.key, call.made_in)
            name = names.child_run_name(self.own.name, self.own.uid, shown or called, made.key)
            body = self._create_or_get(self._manifest(name, caller, made, spec))
            if not children.is_spent(body, call.made_in):
                self._count(body)
                return body
        raise Conflict(f"{called!r} was called in run {self.own.name!r} and did not complete {_MOST_TRIES} times.")

    def create_as(self, name: str, caller: FlowRun, spec: Mapping[str, Any]) -> Body:
        """Create a child of this run under a name of its own; raises Conflict if the name is taken."""
        body = self.cluster.create_run(self._manifest(name, caller, Identity("", ""), spec))
        self._count(body)
        return body

    def expect(self, body: Body, on_end: Callable[[End], None]) -> None:
        """Ask for the end of a child, by the one watch that serves all of them."""
        if has_ended(body):
            self._note(body["metadata"]["uid"], body)
            on_end(body)
        else:

            def note_first(end: End) -> None:
                self._note(body["metadata"]["uid"], end)
                on_end(end)

            self._ends.expect(body, note_first)

    def counts(self) -> dict[str, int]:
        """Count the children of this run by how they ended."""
        with self._guard:
            ends = list(self._children.values())
        completed, running = ends.count(StateType.COMPLETED), ends.count(None)
        return {
            "total": len(ends),
            "completed": completed,
            "failed": len(ends) - completed - running,
            "running": running,
        }

    def close(self) -> None:
        """Stop watching; whoever still waits for a child is told that the run has ended."""
        self._ends.close(ClusterError(f"Run {self.own.name!r} has ended, and waits for its children no longer."))

    def _future(self, body: Body, flow_name: str, caller: FlowRun) -> Future[Any]:
        name, uid = body["metadata"]["name"], body["metadata"]["uid"]
        run = FlowRun(
            flow_name=flow_name,
            name=name,
            id=uid,
            parameters=body["spec"].get("parameters") or {},
            depth=caller.depth + 1,
            parent_id=caller.id,
            parent_name=caller.name,
            root_id=caller.root_id,
        )
        future: Future[Any] = Future(run)

        self.expect(body, completing(future, name))
        return future

    def _create_or_get(self, wanted: Mapping[str, Any]) -> Body:
        name = wanted["metadata"]["name"]
        while True:
            try:
                return self.cluster.create_run(wanted)
            except Conflict:
                try:
                    body = self.cluster.get_run(name)
                except NotFound:
                    continue  # it went in this very moment
            if not children.is_child(body, self.own):
                raise Conflict(f"A child cannot be created: there is another FlowRun {name!r}. Delete it.")
            return body

    def _manifest(self, name: str, caller: FlowRun, call: Identity, spec: Mapping[str, Any]) -> dict[str, Any]:
        depth = caller.depth + 1
        children.check_depth(depth, self._max_depth, name)
        return children.manifest(self.own, name, key=call.key, made_in=call.made_in, depth=depth, spec=spec)

    def _count(self, body: Body) -> None:
        with self._guard:
            self._children.setdefault(body["metadata"]["uid"], None)

    def _note(self, uid: str, end: End) -> None:
        if isinstance(end, ClusterError):
            return
        type_ = StateType.CRASHED if end is None else StateType(end["status"]["state"]["type"])
        with self._guard:
            self._children[uid] = type_


_of_process: ClusterLauncher | None = None


def launcher_of_process() -> ClusterLauncher | None:
    """Give the launcher of the run that this process is for; None if it is for none."""
    return _of_process


def set_launcher_of_process(launcher: ClusterLauncher | None) -> None:
    """Say which run this process is for."""
    global _of_process
    _of_process = launcher
