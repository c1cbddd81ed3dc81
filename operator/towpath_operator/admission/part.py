"""The webhook as a part of the operator: it answers once everything is known, and counts what it says."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

from towpath.errors import ClusterError
from towpath_operator.admission.metrics import AdmissionMetrics
from towpath_operator.admission.review import REVIEWED, Reviewer
from towpath_operator.admission.server import serve
from towpath_operator.kinds import BY_PLURAL
from towpath_operator.observe import Key
from towpath_operator.reconcile.reading import mapping, text
from towpath_operator.runtime.client import ApiError, Client
from towpath_operator.runtime.store import Store
from towpath_operator.settings import Settings
from towpath_operator.view import StoreView

log = logging.getLogger(__name__)


class Admission:
    """The webhook, if the settings name a certificate for it.

    Args:
        is_listed: tells whether everything is known: before that, what is not known yet would pass for missing.
    """

    def __init__(
        self,
        settings: Settings,
        client: Client,
        store: Store,
        view: StoreView,
        *,
        metrics: AdmissionMetrics,
        is_listed: Callable[[], bool],
    ) -> None:
        self.port = settings.admission_port
        """Where it is; if 0 was set, known once it is served."""
        self._folder = settings.admission_certificate
        self._client, self._store, self._metrics, self._is_listed = client, store, metrics, is_listed
        self._reviewer = Reviewer(view, self._refresh, settings.policy)

    @contextlib.asynccontextmanager
    async def served(self) -> AsyncIterator[None]:
        """Serve as long as the block lasts.

        Raises:
            ConfigurationError: the port is taken.
        """
        if not self._folder:
            yield
            return
        async with serve(self.port, Path(self._folder), self._answer) as self.port:
            log.info("The admission webhook listens on port %d.", self.port)
            yield

    async def _answer(self, review: Mapping[str, Any]) -> Mapping[str, Any]:
        plural = text(review, "request", "resource", "resource")
        kind = BY_PLURAL[plural].kind if plural in REVIEWED else "Other"
        began, said = time.perf_counter(), "unanswered"
        try:
            if not self._is_listed():
                raise ClusterError("The operator is starting, and does not know everything yet.")
            answer = await self._reviewer.answer(review)
            response = mapping(answer, "response")
            said = "warned" if response.get("warnings") else "accepted"
            said = said if response["allowed"] else "refused"
            return answer
        finally:
            self._metrics.reviewed(kind, said, time.perf_counter() - began)

    async def _refresh(self, key: Key) -> None:
        """Read an object into the store; one that is gone is forgotten there."""
        try:
            body = await self._client.get(BY_PLURAL[key.plural], key.namespace, key.name)
        except ApiError as error:
            if error.status != 404:
                raise
            if known := self._store.get(*key):
                self._store.drop(*key, known["metadata"]["uid"])
            return
        self._store.put(key.plural, body)
