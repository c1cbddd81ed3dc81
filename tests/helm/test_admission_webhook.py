"""The chart's admission webhook: what it asks about, whom it trusts, and that nothing depends on it."""

from __future__ import annotations

import base64
import ssl
import subprocess
from pathlib import Path

import pytest
from tests.helm.chart import Body, Rendered, render

pytestmark = pytest.mark.cluster
SHOWN = ("templates/admission-webhook.yaml", "templates/operator-deployment.yaml")


def rendered(**webhook: object) -> Rendered:
    """Render what belongs to the webhook, with some of its values."""
    return render({"admissionWebhook": webhook} if webhook else {}, show_only=SHOWN)


def hooks(found: Rendered) -> list[Body]:
    """Give the webhooks of the only configuration."""
    webhooks: list[Body] = found.one("ValidatingWebhookConfiguration")["webhooks"]
    return webhooks


def decoded(text: str) -> str:
    """Read a value of a Secret, or a caBundle."""
    return base64.b64decode(text).decode()


def test_nothing_depends_on_it() -> None:
    """Without an answer everything is taken, soon; no object is changed, and the pod starts without a certificate."""
    for hook in hooks(rendered()):
        assert (hook["failurePolicy"], hook["sideEffects"], hook["timeoutSeconds"]) == ("Ignore", "None", 2)
    pod = rendered().one("Deployment")["spec"]["template"]["spec"]
    assert [volume["secret"]["optional"] for volume in pod["volumes"] if "secret" in volume] == [True]


def test_it_asks_about_what_the_operator_judges() -> None:
    """New runs, and every change of what they are made of; nothing that the operator writes, and no children."""
    runs, others = hooks(rendered())
    assert [(rule["resources"], rule["operations"]) for rule in runs["rules"]] == [(["flowruns"], ["CREATE"])]
    assert [(rule["resources"], rule["operations"]) for rule in others["rules"]] == [
        (["flows", "deployments", "queues", "automations"], ["CREATE", "UPDATE"])
    ]
    spared = "request.userInfo.username != 'system:serviceaccount:towpath-system:towpath-operator'"
    assert [condition["expression"] for condition in others["matchConditions"]] == [spared]
    assert [condition["name"] for condition in runs["matchConditions"]] == ["not-the-operator", "not-a-child"]


def test_the_certificate_fits_the_service_and_is_trusted(tmp_path: Path) -> None:
    """The Secret's certificate is for the Service that the API server is sent to; it trusts this one, and no other."""
    found = rendered()
    secret = found.one("Secret")
    name, namespace = secret["metadata"]["name"], secret["metadata"]["namespace"]
    certificate, key = (decoded(secret["data"][part]) for part in ("tls.crt", "tls.key"))
    (tmp_path / "tls.crt").write_text(certificate)
    (tmp_path / "tls.key").write_text(key)
    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(tmp_path / "tls.crt", tmp_path / "tls.key")
    said = subprocess.run(
        ["openssl", "x509", "-noout", "-ext", "subjectAltName,basicConstraints", "-in", tmp_path / "tls.crt"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    service = found.one("Service")["metadata"]
    assert f"DNS:{service['name']}.{service['namespace']}.svc" in said
    assert "CA:FALSE" in said
    for hook in hooks(found):
        asked = hook["clientConfig"]["service"]
        assert (asked["name"], asked["namespace"], asked["path"]) == (name, namespace, "/review")
        assert decoded(hook["clientConfig"]["caBundle"]) == certificate


def test_pods_serve_where_the_service_leads() -> None:
    """The port is named alike, and the operator is told of it and of the certificate's folder."""
    found = rendered(port=10250)
    (container,) = found.one("Deployment")["spec"]["template"]["spec"]["containers"]
    environ = {item["name"]: item.get("value") for item in container["env"]}
    (mount,) = [mount for mount in container["volumeMounts"] if mount["name"] == "admission"]
    assert environ["TOWPATH_OPERATOR_ADMISSION_PORT"] == "10250"
    assert environ["TOWPATH_OPERATOR_ADMISSION_CERTIFICATE"] == mount["mountPath"]
    assert {"name": "webhook", "containerPort": 10250} in container["ports"]
    assert found.one("Service")["spec"]["ports"][0]["targetPort"] == "webhook"


def test_a_certificate_of_ones_own() -> None:
    """With a Secret of the user's the chart makes none, and trusts what it is told, or leaves that to others."""
    for bundle in ("", "-----BEGIN CERTIFICATE-----\nmine\n-----END CERTIFICATE-----\n"):
        found = rendered(certificate={"secretName": "mine", "caBundle": bundle}, annotations={"inject": "mine"})
        assert found.of("Secret") == []
        (volume,) = [one for one in found.one("Deployment")["spec"]["template"]["spec"]["volumes"] if "secret" in one]
        assert volume["secret"]["secretName"] == "mine"
        assert found.one("ValidatingWebhookConfiguration")["metadata"]["annotations"] == {"inject": "mine"}
        for hook in hooks(found):
            assert decoded(hook["clientConfig"].get("caBundle", "")) == bundle


def test_limited_to_namespaces_it_asks_about_these_only() -> None:
    """Another installation's namespaces are none of its business."""
    for hook in hooks(render({"scope": "namespaces", "runnerNamespaces": ["a", "b"]}, show_only=SHOWN)):
        (expression,) = hook["namespaceSelector"]["matchExpressions"]
        assert (expression["key"], expression["values"]) == ("kubernetes.io/metadata.name", ["a", "b"])
    assert all("namespaceSelector" not in hook for hook in hooks(rendered()))


def test_nobody_may_change_the_configuration() -> None:
    """Who may change a webhook configuration can have every object of the cluster shown to himself."""
    for values in ({}, {"scope": "namespaces"}):
        found = render(values)
        for role in [*found.of("Role"), *found.of("ClusterRole")]:
            assert all("admissionregistration.k8s.io" not in rule["apiGroups"] for rule in role["rules"])
