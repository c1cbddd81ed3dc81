"""The operator's HTTP endpoints: /metrics for Prometheus, /healthz and /readyz for the kubelet."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from towpath.errors import ConfigurationError
from towpath_operator.health import Health


@contextlib.asynccontextmanager
async def serve(port: int, registry: CollectorRegistry, health: Health) -> AsyncIterator[int]:
    """Serve on all interfaces as long as the block lasts, and give the port (that was chosen, if it was 0).

    Raises:
        ConfigurationError: the port is taken.
    """

    async def metrics(_request: web.Request) -> web.Response:
        return web.Response(body=generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    app = web.Application()
    app.router.add_get("/metrics", metrics)
    app.router.add_get("/healthz", _probe(health.illness))
    app.router.add_get("/readyz", _probe(health.unreadiness))
    runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=1)
    await runner.setup()
    try:
        try:
            listener = listen(port)
        except OSError as error:
            raise ConfigurationError(f"Port {port} cannot be listened on: {error.strerror or error}.") from error
        await web.SockSite(runner, listener).start()
        yield listener.getsockname()[1]
    finally:
        await runner.cleanup()


def listen(port: int) -> socket.socket:
    """Listen on all addresses, of IPv6 and IPv4 by one socket where the machine has both."""
    with contextlib.suppress(OSError):
        if socket.has_dualstack_ipv6():
            return socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True)
    return socket.create_server(("", port))


def _probe(problems: Callable[[], list[str]]) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def answer(_request: web.Request) -> web.Response:
        found = problems()
        return web.Response(status=503 if found else 200, text="\n".join(found or ["ok"]) + "\n")

    return answer
