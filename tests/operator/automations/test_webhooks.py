"""Webhooks over real HTTP: what a receiver gets, and what becomes of attempts that it does not take."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import logging
import socket
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import pytest
from tests.operator.automations.receiver import receiving

from towpath_operator.automations.secrets import SecretError, Secrets, references
from towpath_operator.automations.webhooks import OF_ONE, Webhooks, encode, signed, wait_of
from towpath_operator.reconcile.automation_actions import Delivery, Outcome, SendWebhook
from towpath_operator.reconcile.messages import Message
from towpath_operator.runtime.client import ApiError
from towpath_operator.runtime.resources import Resource

Body = dict[str, Any]
KEY = b"a key of some length"


class Cluster:
    """The API server, as far as it has Secrets."""

    def __init__(self, secrets: Mapping[str, Mapping[str, str]] | int = 404) -> None:
        self.secrets = secrets
        self.asked = 0

    async def get(self, resource: Resource, namespace: str, name: str) -> Body:
        """Give a Secret, or refuse."""
        self.asked += 1
        assert (resource.plural, namespace) == ("secrets", "team-a")
        if isinstance(self.secrets, int):
            raise ApiError(self.secrets, "", "no")
        if name not in self.secrets:
            raise ApiError(404, "NotFound", "no")
        return {"data": {key: base64.b64encode(said.encode()).decode() for key, said in self.secrets[name].items()}}


class Told:
    """What was counted, and whom was told."""

    def __init__(self) -> None:
        self.attempts: list[str] = []
        self.lags: list[float] = []
        self.heard = asyncio.Event()

    def attempted(self, namespace: str, automation: str, outcome: str) -> None:
        assert (namespace, automation) == ("team-a", "tell")
        self.attempts.append(outcome)

    def delivered(self, namespace: str, automation: str, lag_seconds: float) -> None:
        self.lags.append(lag_seconds)


def order(webhook: Body, *, event: str = "e1", action: int = 0, uid: str = "u1", body: Any = None) -> SendWebhook:
    """Give an order to send something."""
    message = Message("application/json", {"text": "Grüße"} if body is None else body)
    return SendWebhook("team-a", "tell", uid, Delivery(event, action), webhook, message, 990.0)


def with_webhooks(
    test: Callable[[Webhooks, Told], Awaitable[None]], cluster: Cluster | None = None, **settings: Any
) -> Told:
    """Run a test in an event loop, with webhooks that are closed afterwards."""
    found: list[Told] = []

    async def run() -> None:
        told = Told()
        found.append(told)
        webhooks = Webhooks(
            Secrets(cluster or Cluster()),
            told,
            heard=lambda _namespace, _name: told.heard.set(),
            clock=lambda: 1000.0,
            jitter=lambda: 0.5,
            **settings,
        )
        try:
            await test(webhooks, told)
        finally:
            await webhooks.close()

    asyncio.run(run())
    return found[0]


def attempt(
    webhook: Body, cluster: Cluster | None = None, *, body: Any = None, **settings: Any
) -> tuple[Outcome, Told]:
    """Send something once; give how that went."""
    outcomes: list[Outcome] = []

    async def test(webhooks: Webhooks, told: Told) -> None:
        webhooks.send(order(webhook, body=body))
        await asyncio.wait_for(told.heard.wait(), 60)
        outcomes.append(webhooks.outcomes("u1")[Delivery("e1", 0)])
        assert not webhooks.in_flight("u1")

    told = with_webhooks(test, cluster, **settings)
    return outcomes[0], told


def test_delivered() -> None:
    """The receiver gets the body, its type, and an id by which it knows doubles; the lag is from the event on."""
    with receiving() as receiver:
        outcome, told = attempt({"url": receiver.url, "headers": [{"name": "X-Team", "value": "red"}]})
        ((path, headers, body),) = receiver.received
    assert outcome == Outcome()
    assert (told.attempts, told.lags) == (["delivered"], [10.0])
    assert (path, body) == ("/in/t0ken", '{"text":"Grüße"}'.encode())
    assert headers["content-type"] == "application/json"
    assert (headers["idempotency-key"], headers["x-team"]) == ("e1", "red")
    assert "webhook-signature" not in headers


@pytest.mark.parametrize(
    ("answer", "word", "hopeless", "after"),
    [
        ((500, {}), "http_5xx", False, 0),
        ((503, {"Retry-After": "17"}), "http_5xx", False, 17),
        ((429, {"Retry-After": "99999999"}), "http_4xx", False, 3600),
        ((408, {}), "http_4xx", False, 0),
        ((404, {}), "http_4xx", True, 0),
        ((302, {"Location": "http://127.0.0.1:1/metadata"}), "http_3xx", True, 0),
        ("close", "unreachable", False, 0),
    ],
    ids=["500", "503", "429", "408", "404", "redirect", "hangs up"],
)
def test_not_taken(answer: Any, word: str, hopeless: bool, after: float) -> None:
    """Each way not to be taken is told apart; what may help later is tried again, and when the receiver wants it."""
    with receiving(answer, answer) as receiver:
        outcome, told = attempt({"url": receiver.url})
        received = len(receiver.received)
    assert told.attempts == [word]
    assert (outcome.is_hopeless, outcome.after_seconds, outcome.jitter) == (hopeless, after, 0.5)
    assert outcome.error.startswith("127.0.0.1 ")
    assert "t0ken" not in outcome.error
    assert received == 1 or answer == "close"  # the client may try a closed connection once more


def test_a_receiver_that_hangs() -> None:
    """An attempt has its time and no more."""
    with receiving("hang") as receiver:
        outcome, told = attempt({"url": receiver.url}, seconds=0.3)
    assert outcome.error == "127.0.0.1 did not answer within 0.3 s."
    assert told.attempts == ["timeout"]


def test_nobody_is_there() -> None:
    """A port that nobody listens on, and a host that nobody knows, are told without the URL."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        outcome, told = attempt({"url": f"http://127.0.0.1:{taken.getsockname()[1]}/t0ken"})
    assert told.attempts == ["unreachable"]
    assert outcome.error.startswith("127.0.0.1 cannot be reached (Client")
    assert not outcome.is_hopeless


@pytest.mark.parametrize("url", ["ftp://x.example", "https://", "no url", "http://[::1", "file:///etc/passwd"], ids=str)
def test_bad_urls(url: str) -> None:
    """What is no URL of a web server is refused without its text, for it may come from a Secret."""
    outcome, told = attempt({"urlFrom": {"secretKeyRef": {"name": "s", "key": "u"}}}, Cluster({"s": {"u": url}}))
    assert outcome == Outcome(
        "The URL does not begin with https:// or http:// and a host.", is_hopeless=True, jitter=0.5
    )
    assert told.attempts == ["url"]


@pytest.mark.parametrize(
    ("hosts", "allowed"),
    [
        ((), True),
        (("127.0.0.1",), True),
        (("hooks.example.com",), False),
        (("*.0.0.1",), True),
        (("*.127.0.0.1",), False),
    ],
    ids=["all", "this one", "another", "all below", "not all above"],
)
def test_allowed_hosts(hosts: tuple[str, ...], allowed: bool) -> None:
    """With hosts set, nothing is sent to others."""
    with receiving() as receiver:
        outcome, _ = attempt({"url": receiver.url}, hosts=hosts)
        assert bool(receiver.received) is allowed
    assert ("TOWPATH_OPERATOR_WEBHOOK_HOSTS" in outcome.error) is not allowed


def test_a_proxy_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the operator's environment names one, requests go through it."""
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with receiving() as proxy:
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy.port}")
        outcome, _ = attempt({"url": "http://receiver.invalid/in"})
        assert (outcome.error, proxy.received[0][0]) == ("", "http://receiver.invalid/in")


def test_no_cookies_are_kept() -> None:
    """One automation's receiver cannot leave anything that the next request, maybe another automation's, takes along."""

    async def test(webhooks: Webhooks, told: Told) -> None:
        for event in ("e1", "e2"):
            webhooks.send(order({"url": f"http://localhost:{receiver.port}/"}, event=event))
            await asyncio.wait_for(told.heard.wait(), 60)
            told.heard.clear()

    with receiving((204, {"Set-Cookie": "a=b; Path=/"})) as receiver:
        with_webhooks(test)
        assert ["cookie" in headers for _, headers, _ in receiver.received] == [False, False]


def test_secrets_are_used_and_not_shown(caplog: pytest.LogCaptureFixture) -> None:
    """URL, headers and signature come from Secrets; when it fails, no error or log has anything of them."""
    with receiving((500, {})) as receiver:
        secret = {
            "url": receiver.url + "\n",
            "bearer": "Bearer h3ader",
            "sign": "whsec_" + base64.b64encode(KEY).decode(),
        }
        webhook = {
            "urlFrom": {"secretKeyRef": {"name": "s", "key": "url"}},
            "headers": [{"name": "Authorization", "secretKeyRef": {"name": "s", "key": "bearer"}}],
            "signingSecretRef": {"name": "s", "key": "sign"},
        }
        cluster = Cluster({"s": secret})
        with caplog.at_level(logging.DEBUG):
            outcome, _ = attempt(webhook, cluster)
        ((_, headers, body),) = receiver.received
    assert cluster.asked == 1, "it is kept for a while"
    assert headers["authorization"] == "Bearer h3ader"
    assert headers["webhook-id"] == "e1"
    signed_text = f"e1.{headers['webhook-timestamp']}.".encode() + body
    wanted = base64.b64encode(hmac.new(KEY, signed_text, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{wanted}"
    shown = outcome.error + caplog.text
    assert not [word for word in ("t0ken", "h3ader", "whsec", wanted) if word in shown]


def test_the_signature_is_the_published_one() -> None:
    """The example of the Standard Webhooks libraries gives the same signature."""
    headers = signed(
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}'
    )
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    assert headers["webhook-timestamp"] == "1614265330"
    plain = signed("not base64", "m", 1, b"{}")["webhook-signature"]
    assert plain == "v1," + base64.b64encode(hmac.new(b"not base64", b"m.1.{}", hashlib.sha256).digest()).decode()


@pytest.mark.parametrize(
    ("cluster", "words"),
    [
        (Cluster(404), "There is no Secret 's' in namespace 'team-a'. Make it."),
        (
            Cluster(403),
            "may not read Secret 's' in namespace 'team-a': add 's' to the chart's value automations.secretNames",
        ),
        (Cluster(500), "Secret 's' in namespace 'team-a' could not be read"),
        (Cluster({"s": {"other": "x"}}), "has no key 'url'. Add it."),
    ],
    ids=["none", "forbidden", "server", "no key"],
)
def test_secrets_that_cannot_be_had(cluster: Cluster, words: str) -> None:
    """What keeps a Secret from being read is said, with what to do; the attempt is repeated, for somebody may mend it."""
    webhook = {"urlFrom": {"secretKeyRef": {"name": "s", "key": "url"}}}
    outcome, told = attempt(webhook, cluster)
    assert words in outcome.error
    assert told.attempts == ["secret"]
    assert not outcome.is_hopeless
    body = {"metadata": {"namespace": "team-a"}, "spec": {"actions": [{"webhook": webhook}]}}
    assert words in asyncio.run(Secrets(cluster).problem_of(body))


def test_headers_of_more_than_one_line_are_not_sent() -> None:
    """A Secret cannot smuggle further headers in."""
    webhook = {"url": "http://127.0.0.1:1", "headers": [{"name": "X-A", "secretKeyRef": {"name": "s", "key": "k"}}]}
    outcome, _ = attempt(webhook, Cluster({"s": {"k": "one\r\nX-B: two"}}))
    assert outcome.error == "The value of header 'X-A' has more than one line."


def test_all_references_are_found() -> None:
    """Every place where a Secret may be named is looked at for the condition Ready."""
    ref = [{"name": "s", "key": key} for key in "abc"]
    webhook = {
        "urlFrom": {"secretKeyRef": ref[0]},
        "signingSecretRef": ref[1],
        "headers": [{"name": "X", "value": "y"}, {"name": "Z", "secretKeyRef": ref[2]}],
    }
    assert list(references({"spec": {"actions": [{"cancel": {}}, {"webhook": webhook}]}})) == ref


def test_secrets_are_read_again_after_a_while() -> None:
    """A Secret that was changed, or made, is known half a minute later."""
    now = [0.0]
    cluster = Cluster(404)
    secrets = Secrets(cluster, clock=lambda: now[0])
    reference = {"name": "s", "key": "url"}

    async def value() -> str:
        return await secrets.value("team-a", reference)

    for _ in range(2):
        with pytest.raises(SecretError):
            asyncio.run(value())
    assert cluster.asked == 1
    cluster.secrets, now[0] = {"s": {"url": " https://x.example \n"}}, 31.0
    assert asyncio.run(value()) == "https://x.example"


def test_a_secret_is_read_again_after_a_refusal() -> None:
    """A token that was replaced may be why the receiver refused: the next attempt has the new one, however soon it is."""

    async def test(webhooks: Webhooks, told: Told) -> None:
        for token in ("old", "new"):
            cluster.secrets = {"s": {"token": token}}
            webhooks.send(order(webhook))
            await asyncio.wait_for(told.heard.wait(), 60)
            told.heard.clear()
            webhooks.settle("u1", frozenset(webhooks.outcomes("u1")))

    cluster = Cluster()
    with receiving((401, {})) as receiver:
        reference = {"name": "s", "key": "token"}
        webhook = {"url": receiver.url, "headers": [{"name": "Authorization", "secretKeyRef": reference}]}
        told = with_webhooks(test, cluster)
        assert [headers["authorization"] for _, headers, _ in receiver.received] == ["old", "new"]
    assert told.attempts == ["http_4xx", "delivered"]


def test_one_attempt_at_a_time() -> None:
    """What is being sent is not sent again, nor what was sent until somebody has written it down."""

    async def test(webhooks: Webhooks, told: Told) -> None:
        webhook = {"url": receiver.url}
        webhooks.send(order(webhook))
        webhooks.send(order(webhook))
        assert webhooks.in_flight("u1") == {Delivery("e1", 0)}
        await asyncio.wait_for(told.heard.wait(), 60)
        webhooks.send(order(webhook))
        assert not webhooks.in_flight("u1")
        webhooks.settle("u1", frozenset({Delivery("e1", 0)}))
        assert not webhooks.outcomes("u1")
        told.heard.clear()
        webhooks.send(order(webhook))
        await asyncio.wait_for(told.heard.wait(), 60)

    with receiving() as receiver:
        with_webhooks(test)
        assert len(receiver.received) == 2


def test_a_receiver_that_hangs_holds_up_nobody_else() -> None:
    """Some attempts of one automation go on at once, further ones wait for them; another automation's do not."""

    async def test(webhooks: Webhooks, told: Told) -> None:
        for number in range(OF_ONE + 3):
            webhooks.send(order({"url": dead.url}, action=number))
        await asyncio.to_thread(dead.wait, OF_ONE)
        webhooks.send(order({"url": alive.url}, uid="u2"))
        await asyncio.wait_for(told.heard.wait(), 60)
        assert webhooks.outcomes("u2") == {Delivery("e1", 0): Outcome()}
        assert len(dead.received) == OF_ONE
        assert len(webhooks.in_flight("u1")) == OF_ONE + 3
        webhooks.forget("u1")

    with receiving(*["hang"] * 20) as dead, receiving() as alive:
        with_webhooks(test, seconds=60)


def test_who_may_not_write_sends_nothing() -> None:
    """A replica that lost the Lease sends nothing that was ordered before; should it hold it again, it looks again."""

    async def test(webhooks: Webhooks, told: Told) -> None:
        webhooks.send(order({"url": receiver.url}))
        await asyncio.wait_for(told.heard.wait(), 60)
        assert not webhooks.outcomes("u1")

    with receiving() as receiver:
        told = with_webhooks(test, may_send=lambda: False, pause=0)
        assert not receiver.received
    assert not told.attempts


def test_closing_breaks_off() -> None:
    """The operator's end waits for no receiver."""

    async def test(webhooks: Webhooks, told: Told) -> None:
        webhooks.send(order({"url": receiver.url}))
        await asyncio.to_thread(receiver.wait, 1)

    with receiving("hang") as receiver:
        told = with_webhooks(test, seconds=60)
    assert not told.attempts


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("", 0), ("0", 0), ("30", 30), ("7200", 3600), ("soon", 0), ("-5", 0), ("²", 0), ("1.5", 0),
        ("Thu, 01 Jan 1970 00:17:10 GMT", 30), ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
        ("Fri, 02 Jan 1970 00:00:00 -0000", 3600), ("9" * 400, 3600),
    ],
    ids=lambda value: str(value)[:20],
)  # fmt: skip
def test_retry_after(header: str, seconds: float) -> None:
    """Seconds or a date; nonsense is no reason to fail."""
    assert wait_of(header, 1000.0) == seconds


def test_encoding() -> None:
    """JSON is UTF-8 without blanks, text is itself; what cannot be sent is replaced."""
    assert encode(Message("text/plain; charset=utf-8", "Grüße")) == "Grüße".encode()
    assert encode(Message("application/json", {"a": "\ud800"})) == b'{"a":"?"}'
