"""A small client for tests: the Kubernetes API as paths and bodies, and waiting by watch instead of by sleeping."""

from __future__ import annotations

import base64
import json
import ssl
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

import httpx
import yaml

Body = dict[str, Any]
TOWPATH = "/apis/towpath.dev/v1alpha1"


class ApiError(AssertionError):
    """The API server refused; `status` is the HTTP code, `message` its words."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{status}: {message}")
        self.status = status
        self.message = message


class Kube:
    """The API server of a kubeconfig, as its current user or as the bearer of a token."""

    def __init__(self, kubeconfig: Path, token: str | None = None) -> None:
        config = yaml.safe_load(Path(kubeconfig).read_text())
        context = next(c["context"] for c in config["contexts"] if c["name"] == config["current-context"])
        cluster = next(c["cluster"] for c in config["clusters"] if c["name"] == context["cluster"])
        user = next(u["user"] for u in config["users"] if u["name"] == context["user"])
        self.server: str = cluster["server"]
        self.kubeconfig = kubeconfig
        self.tls = ssl.create_default_context(cadata=_pem(cluster, "certificate-authority").decode())
        headers = {}
        if token or user.get("token"):
            headers["Authorization"] = f"Bearer {token or user['token']}"
        elif "client-certificate-data" in user or "client-certificate" in user:
            with tempfile.NamedTemporaryFile() as both:
                both.write(_pem(user, "client-certificate") + b"\n" + _pem(user, "client-key"))
                both.flush()
                self.tls.load_cert_chain(both.name)
        self.http = httpx.Client(base_url=self.server, verify=self.tls, headers=headers, timeout=30)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.http.close()

    def with_token(self, token: str) -> Kube:
        """Give the same API server as somebody else sees it."""
        return Kube(self.kubeconfig, token)

    def call(
        self, method: str, path: str, body: object = None, *, kind: str = "application/json", **params: str
    ) -> Body:
        """Send one request; raises ApiError for anything but success."""
        content = None if body is None else json.dumps(body)
        answer = self.http.request(method, path, content=content, params=params, headers={"Content-Type": kind})
        if answer.is_error:
            try:
                message = answer.json().get("message", answer.text)
            except ValueError:
                message = answer.text
            raise ApiError(answer.status_code, message)
        return answer.json()  # type: ignore[no-any-return]

    def get(self, path: str, **params: str) -> Body:
        """Read an object or a list."""
        return self.call("GET", path, **params)

    def find(self, path: str) -> Body | None:
        """Read an object; None if there is none."""
        try:
            return self.get(path)
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    def items(self, path: str, **params: str) -> list[Body]:
        """Read the items of a list."""
        return self.get(path, **params)["items"]  # type: ignore[no-any-return]

    def create(self, path: str, body: Body) -> Body:
        """Create an object in a collection."""
        return self.call("POST", path, body)

    def merge(self, path: str, body: Body) -> Body:
        """Apply a merge patch."""
        return self.call("PATCH", path, body, kind="application/merge-patch+json")

    def json_patch(self, path: str, operations: list[Body]) -> Body:
        """Apply a JSON Patch."""
        return self.call("PATCH", path, operations, kind="application/json-patch+json")

    def delete(self, path: str, **params: str) -> None:
        """Delete an object; one that is gone is deleted."""
        try:
            self.call("DELETE", path, **params)
        except ApiError as error:
            if error.status != 404:
                raise

    def wait(self, path: str, until: Callable[[Body | None], bool], timeout: float = 60, what: str = "") -> Body | None:
        """Watch one object until a condition holds for it (None: it does not exist), and give it.

        Raises AssertionError with the object as last seen when the time is up.
        """
        collection, _, name = path.rpartition("/")
        deadline = time.monotonic() + timeout
        last: Body | None = None
        while time.monotonic() < deadline:
            listed = self.get(collection, fieldSelector=f"metadata.name={name}")
            last = next(iter(listed["items"]), None)
            if until(last):
                return last
            for last in self._events(collection, name, listed["metadata"]["resourceVersion"], deadline):
                if until(last):
                    return last
        state = json.dumps(last.get("status") if last else None, indent=1)
        raise AssertionError(
            f"{path}: {what or 'the condition'} did not come true within {timeout} s; last seen:\n{state}"
        )

    def _events(self, collection: str, name: str, version: str, deadline: float) -> Iterator[Body | None]:
        left = max(1, int(deadline - time.monotonic()) + 1)
        params = {
            "watch": "1",
            "fieldSelector": f"metadata.name={name}",
            "resourceVersion": version,
            "timeoutSeconds": str(left),
        }
        try:
            with self.http.stream("GET", collection, params=params, timeout=httpx.Timeout(10, read=left + 5)) as stream:
                for line in stream.iter_lines():
                    event = json.loads(line)
                    if event["type"] == "ERROR":
                        return
                    yield None if event["type"] == "DELETED" else event["object"]
                    if time.monotonic() > deadline:
                        return
        except httpx.HTTPError:
            time.sleep(0.2)  # the API server was away: list again


def _pem(holder: Body, key: str) -> bytes:
    return base64.b64decode(holder[f"{key}-data"]) if f"{key}-data" in holder else Path(holder[key]).read_bytes()
