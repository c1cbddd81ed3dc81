"""The webhook's HTTPS server. What it cannot answer it answers with an error, and the API server goes on without it."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Final

import orjson
from aiohttp import web

from towpath.errors import ClusterError, ConfigurationError
from towpath_operator.admission.certificate import Certificate
from towpath_operator.admission.review import MalformedReviewError
from towpath_operator.endpoints import listen

log = logging.getLogger(__name__)

PATH: Final = "/review"
#: An object of the largest size that the API server takes, twice: as it was, and as it is to be.
_LARGEST: Final = 8 * 1024 * 1024


@contextlib.asynccontextmanager
async def serve(
    port: int, folder: Path, answer: Callable[[Mapping[str, Any]], Awaitable[Mapping[str, Any]]]
) -> AsyncIterator[int]:
    """Serve on all interfaces as long as the block lasts, and give the port (that was chosen, if it was 0).

    Args:
        port: where to listen.
        folder: holds `tls.crt` and `tls.key`.
        answer: answers an AdmissionReview.

    Raises:
        ConfigurationError: the port is taken.
    """

    async def review(request: web.Request) -> web.Response:
        try:
            asked = orjson.loads(await request.read())
            if not isinstance(asked, Mapping):
                raise MalformedReviewError(f"An AdmissionReview is an object; this is {type(asked).__name__}.")
            return web.Response(body=orjson.dumps(await answer(asked)), content_type="application/json")
        except (orjson.JSONDecodeError, MalformedReviewError) as error:
            return web.Response(status=400, text=f"{error}\n")
        except (ClusterError, TimeoutError) as error:
            log.warning("An object is let through without a look at it: %r", error)
            return web.Response(status=503, text=f"{error}\n")

    app = web.Application(client_max_size=_LARGEST)
    app.router.add_post(PATH, review)
    runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=1)
    await runner.setup()
    try:
        try:
            listener = listen(port)
        except OSError as error:
            raise ConfigurationError(f"Port {port} cannot be listened on: {error.strerror or error}.") from error
        certificate = Certificate(folder)
        certificate.newest()  # whatever is wrong with it is said now, too
        await web.SockSite(runner, listener, ssl_context=certificate.context).start()
        yield listener.getsockname()[1]
    finally:
        await runner.cleanup()
