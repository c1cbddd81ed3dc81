"""The webhook's server: real TLS on loopback, certificates that come late and are replaced, and odd requests."""

from __future__ import annotations

import asyncio
import contextlib
import io
import ssl
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest
from tests.operator.admission.certificates import make_certificate
from tests.operator.runtime.clock import real_time

from towpath.errors import ClusterError, ConfigurationError
from towpath_operator.admission.review import MalformedReviewError
from towpath_operator.admission.server import PATH, serve

HOSTS = ("DNS:localhost", "IP:127.0.0.1")


async def echo(review: Mapping[str, Any]) -> Mapping[str, Any]:
    """Answer with what was asked; what is to go wrong says so."""
    match review.get("trouble"):
        case "malformed":
            raise MalformedReviewError("no review")
        case "away":
            raise ClusterError("not listed yet")
        case "late":
            raise TimeoutError
        case "bug":
            raise ZeroDivisionError
    return {"asked": dict(review)}


@contextlib.asynccontextmanager
async def asking(port: int, trusted: str, host: str = "localhost") -> AsyncIterator[aiohttp.ClientSession]:
    """Open a session that trusts one certificate, as the API server does with caBundle, and nothing else."""
    context = ssl.create_default_context(cadata=trusted)
    connector = aiohttp.TCPConnector(ssl=context, force_close=True)
    async with aiohttp.ClientSession(f"https://{host}:{port}", connector=connector) as session:
        yield session


async def post(session: aiohttp.ClientSession, data: bytes = b"{}") -> tuple[int, str]:
    """Ask; give status and text of the answer."""
    async with session.post(PATH, data=io.BytesIO(data)) as answer:
        return answer.status, await answer.text()


@real_time
@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"], ids=["by name", "by address"])
async def test_answers_over_tls(tmp_path: Path, host: str) -> None:
    """A question in, its answer out; also to a client that says no name in its handshake."""
    trusted = make_certificate(tmp_path, *HOSTS)
    async with serve(0, tmp_path, echo) as port, asking(port, trusted, host) as session:
        assert await post(session, b'{"a":1}') == (200, '{"asked":{"a":1}}')


@real_time
@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"no json", 400),
        (b"[1]", 400),
        (b'{"trouble": "malformed"}', 400),
        (b'{"trouble": "away"}', 503),
        (b'{"trouble": "late"}', 503),
        (b'{"trouble": "bug"}', 500),
    ],
    ids=["no json", "no object", "malformed", "away", "late", "bug"],
)
async def test_what_cannot_be_answered_is_an_error(tmp_path: Path, sent: bytes, status: int) -> None:
    """Then the API server goes on as its failurePolicy says; the next question is answered."""
    trusted = make_certificate(tmp_path, *HOSTS)
    async with serve(0, tmp_path, echo) as port, asking(port, trusted) as session:
        assert (await post(session, sent))[0] == status
        assert (await post(session))[0] == 200


@real_time
async def test_the_largest_objects_fit(tmp_path: Path) -> None:
    """A Flow may have a schema of more than a megabyte, and an update sends it twice."""
    trusted = make_certificate(tmp_path, *HOSTS)
    async with serve(0, tmp_path, echo) as port, asking(port, trusted) as session:
        assert (await post(session, orjson.dumps({"text": "x" * 3_000_000})))[0] == 200


@real_time
async def test_a_new_certificate_is_shown_at_once(tmp_path: Path) -> None:
    """Whoever trusts only the new one is answered as soon as its files are there; nothing is restarted."""
    first = make_certificate(tmp_path, *HOSTS)
    async with serve(0, tmp_path, echo) as port:
        second = make_certificate(tmp_path, *HOSTS)
        async with asking(port, second) as session:
            assert (await post(session))[0] == 200
        async with asking(port, first) as session:
            with pytest.raises(aiohttp.ClientConnectorCertificateError):
                await post(session)
        async with asking(port, first + second) as session:
            assert (await post(session))[0] == 200


@real_time
async def test_a_certificate_may_come_late(tmp_path: Path) -> None:
    """Without one the operator starts and works; handshakes fail until it is there."""
    stranger = make_certificate(tmp_path / "elsewhere", *HOSTS)
    async with serve(0, tmp_path / "later", echo) as port:
        async with asking(port, stranger) as session:
            with pytest.raises(aiohttp.ClientConnectorError):
                await post(session)
        trusted = make_certificate(tmp_path / "later", *HOSTS)
        async with asking(port, trusted) as session:
            assert (await post(session))[0] == 200


@real_time
async def test_a_certificate_that_does_not_fit_its_key_changes_nothing(tmp_path: Path) -> None:
    """In the middle of a replacement, or by mistake: the last one that fitted is shown."""
    trusted = make_certificate(tmp_path, *HOSTS)
    async with serve(0, tmp_path, echo) as port:
        async with asking(port, trusted) as session:
            assert (await post(session))[0] == 200
        make_certificate(tmp_path / "other", *HOSTS)
        (tmp_path / "other" / "tls.key").replace(tmp_path / "tls.key")
        async with asking(port, trusted) as session:
            assert (await post(session))[0] == 200
        (tmp_path / "tls.crt").unlink()
        async with asking(port, trusted) as session:
            assert (await post(session))[0] == 200


@real_time
async def test_a_port_that_is_taken_is_said(tmp_path: Path) -> None:
    """The sentence names the port."""
    make_certificate(tmp_path, *HOSTS)
    async with serve(0, tmp_path, echo) as port:
        with pytest.raises(ConfigurationError, match=f"Port {port} cannot be listened on"):
            async with serve(port, tmp_path, echo):
                await asyncio.sleep(0)
