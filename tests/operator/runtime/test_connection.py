"""Where the API server is: a kubeconfig, a pod's service account, or a sentence about what is missing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from kubernetes.aio.config import incluster_config
from tests.operator.runtime.clock import real_time

from towpath.errors import ConfigurationError
from towpath_operator.runtime.connection import connect


def write_kubeconfig(path: Path, server: str = "https://cluster.test:6443") -> Path:
    document = {
        "current-context": "x",
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": {"server": server}}],
        "users": [{"name": "u", "user": {"token": "secret"}}],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document))
    return path


@real_time
async def test_a_named_kubeconfig_comes_first(tmp_path: Path) -> None:
    """$KUBECONFIG wins, in a pod too."""
    path = write_kubeconfig(tmp_path / "config")
    found = await connect({"KUBECONFIG": str(path), "KUBERNETES_SERVICE_HOST": "10.96.0.1"})
    assert found.configuration.host == "https://cluster.test:6443"
    assert await found.configuration.get_api_key_with_prefix("BearerToken") == "Bearer secret"


@real_time
async def test_the_pods_service_account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a pod, address and credentials are the service account's, read again when the kubelet rotates them."""
    token, certificate = tmp_path / "token", tmp_path / "ca.crt"
    token.write_text("first")
    certificate.write_text("a certificate")
    monkeypatch.setattr(incluster_config, "SERVICE_TOKEN_FILENAME", str(token))
    monkeypatch.setattr(incluster_config, "SERVICE_CERT_FILENAME", str(certificate))
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.96.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    found = await connect({"KUBERNETES_SERVICE_HOST": "10.96.0.1", "KUBERNETES_SERVICE_PORT": "443"})
    assert found.configuration.host == "https://10.96.0.1:443"
    assert await found.configuration.get_api_key_with_prefix("BearerToken") == "bearer first"


@real_time
async def test_the_kubeconfig_at_home_comes_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Outside a pod and without $KUBECONFIG, ~/.kube/config is used."""
    monkeypatch.setenv("HOME", str(tmp_path))
    write_kubeconfig(tmp_path / ".kube" / "config", "https://home.test")
    assert (await connect({})).configuration.host == "https://home.test"


@pytest.mark.parametrize("content", [None, "a: [", "{}"], ids=["missing", "not YAML", "empty"])
@real_time
async def test_a_kubeconfig_that_cannot_be_used(content: str | None, tmp_path: Path) -> None:
    """The error names the file and says what to do."""
    path = tmp_path / "config"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ConfigurationError, match="Set KUBECONFIG to one that works") as caught:
        await connect({"KUBECONFIG": str(path)})
    assert str(path) in str(caught.value)


@real_time
async def test_a_service_account_that_cannot_be_used() -> None:
    """A pod without a mounted token is told so."""
    with pytest.raises(ConfigurationError, match="service account cannot be used"):
        await connect({"KUBERNETES_SERVICE_HOST": "10.96.0.1", "KUBERNETES_SERVICE_PORT": "443"})
