"""Sends webhooks in the background: whatever a receiver does, nothing else waits for it.

An attempt has ten seconds. Of one automation some go on at once, of all together some more, so that a receiver that
hangs holds up neither others nor the operator. How an attempt went is kept until the automation's status says it.

What may be secret is in no error, log or metric: of a URL they name the host only, of an answer the status code.
Redirects are not followed, for they could lead to where the automation's author may not go.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
import hashlib
import hmac
import json
import logging
import random
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final, Protocol
from urllib.parse import urlsplit

import aiohttp

from towpath.errors import TowpathError
from towpath_operator.automations.secrets import SecretError, Secrets
from towpath_operator.reconcile.automation_actions import Delivery, Outcome, SendWebhook
from towpath_operator.reconcile.messages import Message
from towpath_operator.reconcile.reading import mapping, mappings, text

log = logging.getLogger(__name__)

SECONDS: Final = 10.0
#: How many attempts go on at once: of one automation, and of all.
OF_ONE: Final = 4
OF_ALL: Final = 32
_USER_AGENT: Final = "towpath-operator"
#: Refusals that are about the moment, not the message.
_PASSING: Final = frozenset({408, 425, 429})
_LONGEST_WAIT: Final = 3600.0


class Tally(Protocol):
    """Where attempts are counted."""

    def attempted(self, namespace: str, automation: str, outcome: str) -> None:
        """Count an attempt; the outcome is delivered, or why it was not, in a word."""
        ...

    def delivered(self, namespace: str, automation: str, lag_seconds: float) -> None:
        """Note how long after the event its message was taken."""
        ...


class _FailedError(TowpathError):
    """An attempt did not work."""

    def __init__(self, said: str, word: str, *, is_hopeless: bool = False, after_seconds: float = 0.0) -> None:
        super().__init__(said)
        self.word = word
        self.is_hopeless = is_hopeless
        self.after_seconds = after_seconds


class Webhooks:
    """Sends what it is told to, once at a time for each delivery.

    Args:
        secrets: reads URLs and keys that are secret.
        tally: told of each attempt.
        heard: told the namespace and name of an automation when an attempt for it has ended.
        may_send: asked before each attempt; where it says no, nothing is sent.
        hosts: those that may be sent to, `*.example.com` for all below; empty: all.
        clock: Unix time in seconds.
        jitter: a number between 0 and 1, another each time.
        seconds: how long an attempt may take.
        pause: seconds until who may not send is asked whether there is still something to send.
    """

    def __init__(
        self,
        secrets: Secrets,
        tally: Tally,
        *,
        heard: Callable[[str, str], None],
        may_send: Callable[[], bool] = lambda: True,
        hosts: Sequence[str] = (),
        clock: Callable[[], float] = time.time,
        jitter: Callable[[], float] = random.random,
        seconds: float = SECONDS,
        pause: float = 1.0,
    ) -> None:
        self._secrets = secrets
        self._tally = tally
        self._heard = heard
        self._may_send = may_send
        self._hosts = tuple(hosts)
        self._clock = clock
        self._jitter = jitter
        self._pause = pause
        self._timeout = aiohttp.ClientTimeout(total=seconds)
        self._all = asyncio.Semaphore(OF_ALL)
        self._each: dict[str, asyncio.Semaphore] = {}
        self._tasks: dict[tuple[str, Delivery], asyncio.Task[None]] = {}
        self._outcomes: dict[str, dict[Delivery, Outcome]] = {}
        self._session: aiohttp.ClientSession | None = None

    def send(self, order: SendWebhook) -> None:
        """Begin an attempt, unless one goes on, or has gone on and nobody has settled it."""
        key = (order.uid, order.delivery)
        if key not in self._tasks and order.delivery not in self._outcomes.get(order.uid, {}):
            self._tasks[key] = asyncio.get_running_loop().create_task(self._attempt(order))

    def outcomes(self, uid: str) -> Mapping[Delivery, Outcome]:
        """Give how attempts for an automation went that are not settled."""
        return dict(self._outcomes.get(uid, {}))

    def in_flight(self, uid: str) -> frozenset[Delivery]:
        """Give the attempts for an automation that go on."""
        return frozenset(delivery for of, delivery in self._tasks if of == uid)

    def settle(self, uid: str, deliveries: frozenset[Delivery]) -> None:
        """Forget outcomes that the automation's status says."""
        kept = self._outcomes.get(uid, {})
        for delivery in deliveries:
            kept.pop(delivery, None)
        if not kept:
            self._outcomes.pop(uid, None)

    def forget(self, uid: str) -> None:
        """Forget an automation that is gone; what goes on is broken off."""
        self._outcomes.pop(uid, None)
        for key, task in self._tasks.items():
            if key[0] == uid:
                task.cancel()

    async def close(self) -> None:
        """Break off what goes on, and close all connections."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._session is not None:
            await self._session.close()

    async def _attempt(self, order: SendWebhook) -> None:
        key = (order.uid, order.delivery)
        each = self._each.setdefault(order.uid, asyncio.Semaphore(OF_ONE))
        try:
            async with each, self._all:
                if self._may_send():
                    outcome = await self._outcome(order)
                    self._outcomes.setdefault(order.uid, {})[order.delivery] = outcome
                else:
                    await asyncio.sleep(self._pause)  # by then the process has ended, or holds the Lease again
        finally:
            del self._tasks[key]
            if not any(of == order.uid for of, _ in self._tasks):
                self._each.pop(order.uid, None)
        self._heard(order.namespace, order.automation)

    async def _outcome(self, order: SendWebhook) -> Outcome:
        try:
            await self._post(order)
        except _FailedError as error:
            if error.is_hopeless:
                self._secrets.forget(order.namespace)  # URL or token may have been replaced
            self._tally.attempted(order.namespace, order.automation, error.word)
            about = {"namespace": order.namespace, "automation": order.automation}
            log.info("Event %s was not delivered: %s", order.delivery.event, error, extra=about)
            return Outcome(
                str(error),
                is_hopeless=error.is_hopeless,
                after_seconds=error.after_seconds,
                jitter=self._jitter(),
            )
        self._tally.attempted(order.namespace, order.automation, "delivered")
        self._tally.delivered(order.namespace, order.automation, max(0.0, self._clock() - order.at))
        return Outcome()

    async def _post(self, order: SendWebhook) -> None:
        try:
            url = await self._url(order)
            data = encode(order.message)
            headers = await self._headers(order, data)
        except SecretError as error:
            raise _FailedError(str(error), "secret") from error
        host = self._host(url)
        try:
            async with self._open().post(url, data=data, headers=headers, allow_redirects=False) as response:
                status, retry_after = response.status, response.headers.get("Retry-After", "")
        except TimeoutError:
            raise _FailedError(f"{host} did not answer within {self._timeout.total:g} s.", "timeout") from None
        except aiohttp.InvalidURL:
            raise _FailedError("The URL cannot be understood.", "url", is_hopeless=True) from None
        except (aiohttp.ClientError, OSError) as error:  # whose words may hold the whole URL
            raise _FailedError(f"{host} cannot be reached ({type(error).__name__}).", "unreachable") from None
        if status >= 300:
            raise _FailedError(
                f"{host} answered {status}.",
                f"http_{status // 100}xx",
                is_hopeless=status < 500 and status not in _PASSING,
                after_seconds=wait_of(retry_after, self._clock()),
            )

    async def _url(self, order: SendWebhook) -> str:
        reference = mapping(order.webhook, "urlFrom", "secretKeyRef")
        if not reference:
            return text(order.webhook, "url")
        return await self._secrets.value(order.namespace, reference)

    def _host(self, url: str) -> str:
        """Give the host of a URL to which may be sent."""
        host = ""
        with contextlib.suppress(ValueError):
            parts = urlsplit(url)
            host = (parts.hostname or "") if parts.scheme in ("https", "http") else ""
        if not host:
            raise _FailedError("The URL does not begin with https:// or http:// and a host.", "url", is_hopeless=True)
        if self._hosts and not any(_is_below(host, allowed) for allowed in self._hosts):
            raise _FailedError(
                f"The host {host!r} is none that may be sent to: TOWPATH_OPERATOR_WEBHOOK_HOSTS, which is the chart's"
                " value automations.allowedHosts, does not have it.",
                "host",
                is_hopeless=True,
            )
        return host

    async def _headers(self, order: SendWebhook, data: bytes) -> dict[str, str]:
        headers = {
            "Content-Type": order.message.content_type,
            "User-Agent": _USER_AGENT,
            "Idempotency-Key": order.delivery.event,
        }
        for header in mappings(order.webhook, "headers"):
            reference = mapping(header, "secretKeyRef")
            value = await self._secrets.value(order.namespace, reference) if reference else text(header, "value")
            if not value.isprintable():
                raise _FailedError(f"The value of header {text(header, 'name')!r} has more than one line.", "secret")
            headers[text(header, "name")] = value
        if reference := mapping(order.webhook, "signingSecretRef"):
            secret = await self._secrets.value(order.namespace, reference)
            headers |= signed(secret, order.delivery.event, int(self._clock()), data)
        return headers

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                timeout=self._timeout, trust_env=True, cookie_jar=aiohttp.DummyCookieJar()
            )
        return self._session


def encode(message: Message) -> bytes:
    """Give a message as it is sent."""
    if message.content_type.startswith("text/plain"):
        return str(message.body).encode("utf-8", "replace")
    return json.dumps(message.body, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def signed(secret: str, id_: str, timestamp: int, data: bytes) -> dict[str, str]:
    """Give the headers that prove who sent a message, and when, as Standard Webhooks says.

    Args:
        secret: `whsec_` and base64; anything else is taken as it is.
        id_: the message's.
        timestamp: seconds since the epoch.
        data: the body.
    """
    key = secret.encode()
    if secret.startswith("whsec_"):
        with contextlib.suppress(binascii.Error):
            key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    signature = hmac.new(key, f"{id_}.{timestamp}.".encode() + data, hashlib.sha256).digest()
    return {
        "webhook-id": id_,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": f"v1,{base64.b64encode(signature).decode()}",
    }


def wait_of(retry_after: str, now: float) -> float:
    """Read a header Retry-After, seconds or a date; an hour at most, and 0 if it cannot be understood."""
    if retry_after.isascii() and retry_after.isdigit():
        return min(float(retry_after[:9]), _LONGEST_WAIT)
    try:
        until = parsedate_to_datetime(retry_after)
    except (TypeError, ValueError):
        return 0.0
    until = until if until.tzinfo else until.replace(tzinfo=UTC)
    return min(max(0.0, (until - datetime.fromtimestamp(now, UTC)).total_seconds()), _LONGEST_WAIT)


def _is_below(host: str, allowed: str) -> bool:
    return host.endswith(allowed[1:]) if allowed.startswith("*.") else host == allowed
