"""A run that somebody has placed in a cluster, as whoever did so sees it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from towpath.cluster.children import is_child
from towpath.cluster.ended import completing, state_of, state_of_end
from towpath.cluster.ends import Ends
from towpath.cluster.port import Selector
from towpath.errors import ClusterError, NotFound
from towpath.futures import Future

if TYPE_CHECKING:
    from towpath.cluster.launcher import ClusterLauncher
    from towpath.cluster.port import Body, Cluster
    from towpath.states import State


class ClusterRun:
    """A run in the cluster.

    Args:
        cluster: where it is.
        body: the FlowRun as it was created, or found.
        launcher: of the run that this process is for, if it is for one.
    """

    def __init__(self, cluster: Cluster, body: Body, launcher: ClusterLauncher | None = None) -> None:
        self._cluster, self._body, self._launcher = cluster, body, launcher

    @property
    def name(self) -> str:
        """Name of the FlowRun."""
        name: str = self._body["metadata"]["name"]
        return name

    @property
    def id(self) -> str:
        """UID of the FlowRun."""
        uid: str = self._body["metadata"]["uid"]
        return uid

    def look(self) -> State[Any]:
        """Ask the API for the state that the run is in now."""
        try:
            self._body = self._cluster.get_run(self.name)
        except NotFound:
            return state_of_end(None, self.name)
        return state_of(self._body)

    def end(self) -> Future[Any]:
        """Give a future that ends with the run; watch for it, with the parent's other children if it is one."""
        future: Future[Any] = Future()
        on_end = completing(future, self.name)
        if self._launcher is not None and is_child(self._body, self._launcher.own):
            self._launcher.expect(self._body, on_end)
        else:
            ends = Ends(self._cluster, Selector(name=self.name))
            future.add_done_callback(lambda _: ends.close(ClusterError("The run has ended.")))
            ends.expect(self._body, on_end)
        return future
