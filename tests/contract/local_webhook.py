"""The operator's webhook in this process, and the chart's configuration that leads a real API server to it."""

from __future__ import annotations

import asyncio
import base64
import json
import secrets
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from tests.contract.own_group import OwnGroup
from tests.helm import chart
from tests.kube import Body, Kube
from tests.operator.admission.certificates import make_certificate

from towpath import names
from towpath_operator.admission.review import Reviewer
from towpath_operator.admission.server import serve
from towpath_operator.observe import Key
from towpath_operator.reconcile.policy import DEFAULT
from towpath_operator.runtime.store import Store
from towpath_operator.view import INDEXES, StoreView, lean

CONFIGURATIONS = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations"


class LocalWebhook:
    """The webhook's server and what answers, over a store that knows nothing but what is read for an answer.

    Args:
        kinds: where the objects are.
        folder: where certificates are kept.
    """

    def __init__(self, kinds: OwnGroup, folder: Path) -> None:
        self.kinds, self.folder = kinds, folder
        self.kube: Kube = kinds.apiserver.kube
        self.host = _own_address(self.kube.server)
        self.trusted = self.new_certificate()
        self.asked: list[str] = []
        self.port = 0
        self.name = f"contract-{secrets.token_hex(3)}"
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop = asyncio.Event()

    def new_certificate(self) -> str:
        """Replace the certificate; give the new one."""
        return make_certificate(self.folder, f"IP:{self.host}")

    @contextmanager
    def serving(self) -> Iterator[None]:
        """Answer as long as the block lasts."""
        ready = threading.Event()

        async def live() -> None:
            self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
            async with serve(self.port, self.folder, self._answer) as self.port:
                ready.set()
                await self._stop.wait()
            async with asyncio.timeout(60):  # the API server is told that its connections are closed, and says so too
                while len(self._loop._selector.get_map()) > 1:  # type: ignore[attr-defined] # noqa: ASYNC110 no event tells
                    await asyncio.sleep(0.05)

        thread = threading.Thread(target=asyncio.run, args=(live(),))
        thread.start()
        assert ready.wait(30)
        try:
            yield
        finally:
            assert self._loop
            self._loop.call_soon_threadsafe(self._stop.set)
            thread.join(30)

    @contextmanager
    def configured(self) -> Iterator[None]:
        """Lead the API server here, by the chart's configuration for kinds in a group of their own."""
        rendered = chart.render(
            {"scope": "namespaces", "runnerNamespaces": [self.kinds.apiserver.namespace]},
            show_only=["templates/admission-webhook.yaml"],
            release=self.name,
        )
        text = json.dumps(rendered.one("ValidatingWebhookConfiguration")).replace(names.GROUP, self.kinds.group)
        body: Body = json.loads(text)
        self.name = body["metadata"]["name"]
        for hook in body["webhooks"]:
            hook["clientConfig"] = self._target(self.port, self.trusted)
            hook["timeoutSeconds"] = 10  # a busy machine is no missing webhook
        self.kube.create(CONFIGURATIONS, body)
        try:
            yield
        finally:
            self.kube.delete(f"{CONFIGURATIONS}/{self.name}")

    def lead(self, *certificates: str, port: int = 0) -> None:
        """Change where the API server is led, and whom it trusts there, as an upgrade of the chart does."""
        target = self._target(port or self.port, *certificates)
        steps = [{"op": "replace", "path": f"/webhooks/{at}/clientConfig", "value": target} for at in (0, 1)]
        self.kube.json_patch(f"{CONFIGURATIONS}/{self.name}", steps)

    def _target(self, port: int, *certificates: str) -> dict[str, str]:
        bundle = base64.b64encode("".join(certificates).encode()).decode()
        return {"url": f"https://{self.host}:{port}/review", "caBundle": bundle}

    async def _answer(self, review: Mapping[str, Any]) -> Mapping[str, Any]:
        self.asked.append(str(review["request"].get("name") or ""))
        store = Store(INDEXES, lean=lean)

        async def read(key: Key) -> None:
            group = f"/apis/{self.kinds.group}/{names.VERSION}"
            found = self.kube.find(self.kinds.apiserver.path(key.plural, key.name, group=group))
            if found is not None:
                store.put(key.plural, found)

        return await Reviewer(StoreView(store), read, DEFAULT).answer(review)


def _own_address(server: str) -> str:
    """Give this machine's address as the API server sees it."""
    url = urlsplit(server)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect((url.hostname, url.port or 443))
        address = str(probe.getsockname()[0])
    if address.startswith("127."):
        pytest.skip("the API server is behind a port of this machine, and reaches no other")
    return address
