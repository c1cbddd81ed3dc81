"""Reaching an API server as a laptop does: kubeconfigs in all their forms, over real TLS."""

from __future__ import annotations

import base64
import json
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.contract.fake_api import FakeApi

from towpath.cluster import kubeconfig
from towpath.cluster.connect import connect
from towpath.cluster.kubeconfig import ExecTokens
from towpath.errors import ConfigurationError, Unreachable

RUN = {"metadata": {"name": "a"}, "spec": {"flow": {"image": "i"}}}


@pytest.fixture(scope="module")
def pem(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Give a certificate that is its own authority, and its key."""
    folder = tmp_path_factory.mktemp("tls")
    certificate, key = folder / "tls.crt", folder / "tls.key"
    names = "subjectAltName=IP:127.0.0.1,DNS:api.test"
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-days",
        "2",
    ]
    command += ["-subj", "/CN=api", "-addext", names, "-out", str(certificate), "-keyout", str(key)]
    subprocess.run(command, check=True, capture_output=True)
    return certificate, key


@pytest.fixture
def api(pem: tuple[Path, Path]) -> Iterator[FakeApi]:
    """Give a fake API over TLS that asks its clients for a certificate, and takes those that have none."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*pem)
    context.load_verify_locations(pem[0])
    context.verify_mode = ssl.CERT_OPTIONAL
    with FakeApi(context) as api:
        api.create("flowruns", RUN, "shop")
        yield api


def config(server: str, cluster: dict[str, Any], user: dict[str, Any], **context: str) -> dict[str, Any]:
    """Build a kubeconfig."""
    return {
        "current-context": "ctx",
        "contexts": [{"name": "ctx", "context": {"cluster": "c", "user": "u", "namespace": "shop", **context}}],
        "clusters": [{"name": "c", "cluster": {"server": server, **cluster}}],
        "users": [{"name": "u", "user": user}],
    }


def data(file: Path) -> str:
    return base64.b64encode(file.read_bytes()).decode()


@pytest.mark.parametrize("form", ["data", "files", "relative files"])
def test_certificates_as_data_or_files(
    api: FakeApi, pem: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    """The authority and the client's certificate come in place, by absolute path, or by one relative to the file."""
    certificate, key = pem
    if form == "data":
        cluster = {"certificate-authority-data": data(certificate)}
        user = {"client-certificate-data": data(certificate), "client-key-data": data(key)}
    else:
        where = certificate.parent
        if form == "relative files":
            where = Path("pki")
            (tmp_path / "pki").symlink_to(certificate.parent)
        cluster = {"certificate-authority": str(where / "tls.crt")}
        user = {"client-certificate": str(where / "tls.crt"), "client-key": str(where / "tls.key")}
    file = tmp_path / "config"
    file.write_text(yaml.safe_dump(config(api.url, cluster, user)))
    connected = connect(environment={"KUBECONFIG": str(file)})
    assert connected.namespace == "shop"
    assert connected.get_run("a")
    connected.close()


def test_a_token_travels_in_its_header(api: FakeApi, pem: tuple[Path, Path], tmp_path: Path) -> None:
    """A user with a token asks as its bearer."""
    file = tmp_path / "config"
    file.write_text(json.dumps(config(api.url, {"certificate-authority-data": data(pem[0])}, {"token": "t-1"})))
    connected = connect(environment={"KUBECONFIG": str(file)})
    connected.get_run("a")
    connected.close()
    assert api.tokens == ["Bearer t-1"]


def test_a_server_of_another_name_is_verified_by_the_name_that_is_given(
    api: FakeApi, pem: tuple[Path, Path], tmp_path: Path
) -> None:
    """`tls-server-name` says whose certificate to expect, and a wrong one is refused."""
    for name, trusted in (("api.test", True), ("other.test", False)):
        cluster = {"certificate-authority-data": data(pem[0]), "tls-server-name": name}
        file = tmp_path / name
        file.write_text(json.dumps(config(api.url, cluster, {})))
        connected = connect(environment={"KUBECONFIG": str(file)})
        if trusted:
            assert connected.get_run("a")
        else:
            with pytest.raises(Unreachable, match="CERTIFICATE_VERIFY_FAILED"):
                connected.get_run("a")
        connected.close()


def test_a_server_that_nobody_vouches_for_is_refused_unless_that_is_said_not_to_matter(
    api: FakeApi, tmp_path: Path
) -> None:
    """Without the authority there is no connection; `insecure-skip-tls-verify` is the user's own risk."""
    for cluster in ({}, {"insecure-skip-tls-verify": True}):
        file = tmp_path / "config"
        file.write_text(json.dumps(config(api.url, cluster, {})))
        connected = connect(environment={"KUBECONFIG": str(file)})
        if cluster:
            assert connected.get_run("a")
        else:
            with pytest.raises(Unreachable, match="CERTIFICATE_VERIFY_FAILED"):
                connected.get_run("a")
        connected.close()


PLUGIN = """
import json, os, pathlib, sys
calls = pathlib.Path(sys.argv[1])
calls.write_text(calls.read_text() + "x" if calls.exists() else "x")
assert json.loads(os.environ["KUBERNETES_EXEC_INFO"])["kind"] == "ExecCredential"
status = {"token": os.environ["PREFIX"] + str(len(calls.read_text()))}
if len(sys.argv) > 2:
    status["expirationTimestamp"] = sys.argv[2]
print(json.dumps({"kind": "ExecCredential", "status": status}))
"""


def plugin(tmp_path: Path, *arguments: str) -> dict[str, Any]:
    """Build the entry of a credential plugin, which counts its calls."""
    (tmp_path / "plugin.py").write_text(PLUGIN)
    return {
        "apiVersion": "client.authentication.k8s.io/v1",
        "command": sys.executable,
        "args": [str(tmp_path / "plugin.py"), str(tmp_path / "calls"), *arguments],
        "env": [{"name": "PREFIX", "value": "token-"}],
    }


def test_a_credential_plugin_is_run_once_and_again_when_refused(
    api: FakeApi, pem: tuple[Path, Path], tmp_path: Path
) -> None:
    """Its token is kept; a 401 gets another one."""
    file = tmp_path / "config"
    user = {"exec": plugin(tmp_path)}
    file.write_text(json.dumps(config(api.url, {"certificate-authority-data": data(pem[0])}, user)))
    connected = connect(environment={"KUBECONFIG": str(file)})
    connected.get_run("a")
    connected.get_run("a")
    api.faults.answer("GET", 401)
    connected.get_run("a")
    connected.close()
    assert api.tokens == ["Bearer token-1", "Bearer token-1", "Bearer token-1", "Bearer token-2"]


def test_a_plugins_token_is_renewed_before_it_expires(tmp_path: Path) -> None:
    """A minute before its time a token is no good any more."""
    now = 1767225600.0  # 2026-01-01T00:00:00Z
    tokens = ExecTokens(plugin(tmp_path, "2026-01-01T00:10:00Z"), now=lambda: now)
    assert [tokens.current(), tokens.current()] == ["token-1", "token-1"]
    now += 9.5 * 60
    assert tokens.current() == "token-2"


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        (
            {"command": "no-such-plugin", "installHint": "get it at the shop"},
            "'no-such-plugin' gave no credentials .*get it at the shop",
        ),
        (
            {"command": sys.executable, "args": ["-c", "print('secret'); raise SystemExit(1)"]},
            "try the command by hand",
        ),
        ({"command": sys.executable, "args": ["-c", "print('secret')"]}, "gave no credentials"),
    ],
    ids=["missing", "fails", "prints something else"],
)
def test_a_plugin_that_does_not_work_is_named_and_its_output_is_not(entry: dict[str, Any], words: str) -> None:
    """What a plugin prints may be a secret, so no error has it."""
    with pytest.raises(ConfigurationError, match=words) as failed:
        ExecTokens(entry).current()
    assert "secret" not in str(failed.value)


def test_several_files_are_one_and_the_first_wins(tmp_path: Path) -> None:
    """KUBECONFIG may name several files; entries and the current context come from the first that has them."""
    (tmp_path / "one").write_text(json.dumps({"users": [{"name": "u", "user": {"token": "first"}}]}))
    (tmp_path / "two").write_text(json.dumps(config("http://two", {}, {"token": "second"})))
    files = kubeconfig.paths({"KUBECONFIG": f"{tmp_path / 'one'}:{tmp_path / 'none'}:{tmp_path / 'two'}"})
    read = kubeconfig.read(files)
    assert read is not None
    access = kubeconfig.access(read)
    assert (access.server, access.namespace, access.tokens.current()) == ("http://two", "shop", "first")


def test_context_and_namespace_can_be_chosen(tmp_path: Path) -> None:
    """Another context's server, and a namespace over the context's."""
    body = config("http://one", {}, {})
    body["contexts"].append({"name": "other", "context": {"cluster": "d"}})
    body["clusters"].append({"name": "d", "cluster": {"server": "http://other/"}})
    (tmp_path / "config").write_text(json.dumps(body))
    read = kubeconfig.read([tmp_path / "config"])
    assert read is not None
    assert kubeconfig.access(read, "other").server == "http://other"
    assert kubeconfig.access(read, "other").namespace == "default"
    assert kubeconfig.access(read, namespace="mine").namespace == "mine"
    environment = {"KUBECONFIG": str(tmp_path / "config"), "TOWPATH_NAMESPACE": "told"}
    assert connect(environment=environment).namespace == "told"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"current-context": ""}, "has no current context"),
        ({"current-context": "none"}, r"has no context 'none'; it has 'ctx'"),
        ({"clusters": []}, r"has no cluster 'c'; it has none"),
        ({"users": []}, r"has no user 'u'"),
        ({"clusters": [{"name": "c", "cluster": {}}]}, "'c' .* has no `server`"),
        (
            {"users": [{"name": "u", "user": {"auth-provider": {}}}]},
            "'auth-provider', which Kubernetes no longer knows",
        ),
        ({"users": [{"name": "u", "user": {"client-certificate-data": "eA=="}}]}, "it needs both"),
        (
            {"users": [{"name": "u", "user": {"client-certificate": "gone.crt", "client-key": "gone.key"}}]},
            "gone.crt' .*cannot be read",
        ),
        (
            {"users": [{"name": "u", "user": {"client-certificate-data": "?"}}]},
            "`client-certificate-data` .*cannot be read",
        ),
        ({"contexts": 3}, "cannot be read"),
    ],
)
def test_what_a_kubeconfig_lacks_is_named(tmp_path: Path, change: dict[str, Any], words: str) -> None:
    """Each gap has a sentence with the file, the name, and what there is."""
    (tmp_path / "config").write_text(json.dumps(config("https://one", {}, {}) | change))
    with pytest.raises(ConfigurationError, match=words):
        connect(environment={"KUBECONFIG": str(tmp_path / "config")})


def test_without_any_cluster_the_error_says_where_it_was_looked_for(tmp_path: Path) -> None:
    """No pod, no KUBECONFIG, no file in the home folder: each is said."""
    with pytest.raises(
        ConfigurationError, match=r"No cluster is named.*KUBECONFIG is not set.*\.kube/config.*does not exist"
    ):
        connect(environment={"HOME": str(tmp_path)})


@pytest.mark.parametrize("package", ["httpx", "yaml"])
def test_without_the_packages_the_error_says_what_to_install(tmp_path: Path, package: str) -> None:
    """A bare installation has neither; the extra brings both."""
    (tmp_path / "config").write_text("{}")
    code = f"import sys; sys.modules[{package!r}] = None; from towpath.cluster.connect import connect; connect()"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"KUBECONFIG": str(tmp_path / "config"), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert f"needs the package '{package}': pip install 'towpath[cluster]'" in done.stderr
