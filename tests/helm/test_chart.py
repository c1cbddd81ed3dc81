"""What the chart makes out of its values: restricted, least privileged, and refused when the values are wrong."""

from __future__ import annotations

import pytest
import yaml
from tests.helm.chart import CHART, Body, Rendered, arguments, render, run

pytestmark = pytest.mark.cluster

EVERYTHING: Body = {
    "scope": "namespaces",
    "runnerNamespaces": ["data", "reports"],
    "image": {"repository": "images.example/towpath/operator", "tag": "1.2.3", "pullPolicy": "Always"},
    "imagePullSecrets": [{"name": "pull"}],
    "operator": {
        "replicas": 2,
        "logLevel": "debug",
        "extraEnv": [{"name": "TZ", "value": "UTC"}],
        "podAnnotations": {"note": "x"},
        "podLabels": {"team": "data"},
        "nodeSelector": {"disk": "ssd"},
        "tolerations": [{"key": "dedicated", "operator": "Exists"}],
        "affinity": {"nodeAffinity": {}},
        "priorityClassName": "system-cluster-critical",
    },
    "serviceAccount": {"annotations": {"iam": "operator"}},
    "runner": {"serviceAccountAnnotations": {"iam": "runner"}, "imagePullSecrets": [{"name": "flows"}]},
    "rbac": {"ownerReferencesPermissionEnforcement": True},
    "automations": {"secretNames": ["slack", "pager"], "allowedHosts": ["hooks.slack.com", "*.example.com"]},
    "admissionWebhook": {"port": 10250, "annotations": {"note": "ours"}},
    "service": {"annotations": {"prometheus.io/scrape": "true"}},
    "serviceMonitor": {"enabled": True, "interval": "15s", "labels": {"release": "monitoring"}},
    "prometheusRule": {"enabled": True, "labels": {"release": "monitoring"}},
    "dashboards": {"enabled": True, "annotations": {"folder": "Towpath"}},
}
BARE: Body = {
    "serviceAccount": {"create": False, "name": "mine"},
    "rbac": {"create": False},
    "admissionPolicy": {"enabled": False},
    "admissionWebhook": {"enabled": False},
}
#: By which replicas agree who works.
LEASE_ROLE = ("towpath-system", "towpath-operator-lease")
COMBINATIONS = {"default": {}, "everything": EVERYTHING, "bare": BARE}


@pytest.fixture(scope="module", params=list(COMBINATIONS.values()), ids=list(COMBINATIONS))
def rendered(request: pytest.FixtureRequest) -> Rendered:
    """The chart, rendered with one of the combinations."""
    return render(request.param)


@pytest.fixture(scope="module")
def default() -> Rendered:
    """The chart as it comes."""
    return render()


@pytest.fixture(scope="module")
def everything() -> Rendered:
    """The chart with everything switched on, limited to two namespaces."""
    return render(EVERYTHING)


@pytest.mark.parametrize("values", COMBINATIONS.values(), ids=COMBINATIONS.keys())
def test_lint(values: Body) -> None:
    """Helm's strict linter has nothing to say."""
    done = run("helm", "lint", "--strict", CHART, *arguments(values))
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"scope": "everything"}, "scope"),
        ({"runnerNamespace": ["data"]}, "runnerNamespace"),
        ({"runnerNamespaces": ["Data_1"]}, "runnerNamespaces"),
        ({"runnerNamespaces": ["a", "a"]}, "runnerNamespaces"),
        ({"image": {"pullpolicy": "Always"}}, "pullpolicy"),
        ({"operator": {"resources": {"limits": {"memory": "lots"}}}}, "memory"),
        ({"operator": {"logLevel": "loud"}}, "logLevel"),
        ({"automations": {"secretNames": "slack"}}, "secretNames"),
        ({"automations": {"allowedHosts": ["https://hooks.slack.com"]}}, "allowedHosts"),
        ({"serviceAccount": {"create": False}}, "serviceAccount"),
        ({"serviceMonitor": {"interval": "often"}}, "interval"),
        ({"admissionPolicy": {"enabled": "no"}}, "admissionPolicy"),
        ({"admissionWebhook": {"timeoutSeconds": 0}}, "timeoutSeconds"),
        ({"admissionWebhook": {"certificate": {"caBundle": "LS0tLS1CRUdJTiBDRVJU"}}}, "caBundle"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_wrong_values(values: Body, words: str) -> None:
    """A wrong or misspelt value is refused, and the refusal names it."""
    done = run("helm", "template", CHART, *arguments(values))
    assert done.returncode != 0
    assert words in done.stderr


def test_values_are_commented() -> None:
    """Every value has a comment of its own above it, but for the parts of a resource request."""
    lines = (CHART / "values.yaml").read_text().splitlines()
    bare = []
    for number, line in enumerate(lines):
        word = line.strip()
        if not word or word.startswith(("#", "-")):
            continue
        children_follow = number + 1 < len(lines) and lines[number + 1].startswith(
            " " * (len(line) - len(line.lstrip()) + 2)
        )
        inside = word.split(":")[0] in {"requests", "limits", "cpu", "memory", "grafana_dashboard"}
        if not inside and not children_follow and not lines[number - 1].strip().startswith("#"):
            bare.append(line)
    assert bare == []


def test_schema_knows_every_value() -> None:
    """The schema and the values name the same things, so that no value goes unchecked."""
    schema = yaml.safe_load((CHART / "values.schema.json").read_text())
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    del schema["properties"]["global"]  # Helm's own
    sections = [("", schema, values)]
    for name, part, given in sections:
        assert part["additionalProperties"] is False, name
        assert set(part["properties"]) == set(given), name
        sections += [
            (f"{name}.{key}", inner, given[key]) for key, inner in part["properties"].items() if "properties" in inner
        ]
    assert ".admissionWebhook.certificate" in [name for name, *_ in sections]


def test_pods_are_restricted(rendered: Rendered) -> None:
    """The operator's pod meets the "restricted" Pod Security Standard, with a root file system it cannot write."""
    pod = rendered.one("Deployment")["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert {"hostNetwork", "hostPID", "hostIPC"}.isdisjoint(pod)
    assert all(set(volume) <= {"name", "emptyDir", "secret"} for volume in pod["volumes"])
    for container in pod["containers"]:
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert container["resources"]["requests"].keys() == {"cpu", "memory"}
        assert "memory" in container["resources"]["limits"]


def test_probes_and_ports(rendered: Rendered) -> None:
    """Liveness asks /healthz and readiness /readyz, on the port that Service and monitors call metrics."""
    (container,) = rendered.one("Deployment")["spec"]["template"]["spec"]["containers"]
    assert container["ports"][0] == {"name": "metrics", "containerPort": 8080}
    assert container["livenessProbe"]["httpGet"] == {"path": "/healthz", "port": "metrics"}
    assert container["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "metrics"}
    (port,) = rendered.one("Service", "towpath-operator-metrics")["spec"]["ports"]
    assert (port["name"], port["targetPort"]) == ("metrics", "metrics")


def test_replicas_share_a_lease() -> None:
    """One works, in a Lease that the operator may write; a new one is warm before the old one goes."""
    for replicas in (1, 2):
        rendered = render({"operator": {"replicas": replicas}})
        spec = rendered.one("Deployment")["spec"]
        assert spec["replicas"] == replicas
        assert spec["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}
        (container,) = spec["template"]["spec"]["containers"]
        environ = {entry["name"]: entry for entry in container["env"]}
        namespace, _, lease = environ["TOWPATH_OPERATOR_LEASE"]["value"].partition("/")
        assert "metadata.name" in str(environ["TOWPATH_OPERATOR_IDENTITY"])
        (role,) = [role for role in rendered.of("Role") if role["metadata"]["name"].endswith("-lease")]
        assert role["metadata"]["namespace"] == namespace
        assert role["rules"][1]["resourceNames"] == [lease]
        assert len(rendered.of("PodDisruptionBudget")) == replicas - 1
        assert ("topologySpreadConstraints" in spec["template"]["spec"]) is (replicas == 2)


def test_selectors_find_and_never_change(rendered: Rendered) -> None:
    """Selectors match the pod, and hold nothing that an upgrade or a value of the user's changes."""
    deployment = rendered.one("Deployment")
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    services = [service["spec"]["selector"] for service in rendered.of("Service")]
    for selector in (deployment["spec"]["selector"]["matchLabels"], *services):
        assert selector.keys() == {
            "app.kubernetes.io/name",
            "app.kubernetes.io/instance",
            "app.kubernetes.io/component",
        }
        assert selector.items() <= labels.items()


def test_roles_hold_no_wildcards_and_few_secrets(rendered: Rendered) -> None:
    """No role grants everything of anything; none reads ConfigMaps, other Secrets than named ones, or makes tokens."""
    for role in [*rendered.of("Role"), *rendered.of("ClusterRole")]:
        for rule in role["rules"]:
            words = [*rule["apiGroups"], *rule["resources"], *rule["verbs"]]
            assert not [word for word in words if "*" in word], role["metadata"]["name"]
            if rule["resources"] == ["secrets"] and rule["verbs"] == ["get"] and rule["resourceNames"]:
                continue
            assert {"secrets", "configmaps", "serviceaccounts", "serviceaccounts/token", "pods/exec"}.isdisjoint(
                rule["resources"]
            )
            if "pods" in rule["resources"]:
                assert set(rule["verbs"]) == {"get", "list", "watch", "delete"}
    assert all(secret["type"] == "kubernetes.io/tls" for secret in rendered.of("Secret"))


def granted(role: Body) -> set[tuple[str, str]]:
    """Give what a role grants as pairs of verb and resource.group."""
    return {
        (verb, f"{resource}.{group}".rstrip("."))
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def test_runners_may_do_little(rendered: Rendered) -> None:
    """A run's pod creates and reads runs, writes status, and looks deployments up; no more."""
    for role in [role for role in rendered.of("Role") if role["metadata"]["name"] == "towpath-runner"]:
        assert granted(role) == {
            *((verb, "flowruns.towpath.dev") for verb in ("create", "get", "list", "watch")),
            ("patch", "flowruns/status.towpath.dev"),
            *(
                (verb, f"{plural}.towpath.dev")
                for plural in ("deployments", "concurrencylimits")
                for verb in ("get", "list")
            ),
        }


PLURALS = ("flows", "deployments", "flowruns", "queues", "concurrencylimits", "automations")


def test_operator_reads_much_and_writes_little(default: Rendered) -> None:
    """The operator writes statuses, Jobs, the runs of schedules, what automations ask for, and Events only."""
    writes = {pair for pair in granted(default.one("ClusterRole")) if pair[0] not in {"get", "list", "watch"}}
    assert writes == {
        *(("patch", f"{plural}/status.towpath.dev") for plural in PLURALS),
        ("create", "flowruns.towpath.dev"),
        ("delete", "flowruns.towpath.dev"),
        ("patch", "flowruns.towpath.dev"),
        ("patch", "deployments.towpath.dev"),
        ("create", "jobs.batch"),
        ("delete", "jobs.batch"),
        ("delete", "pods"),
        *((verb, "controllerrevisions.apps") for verb in ("create", "patch", "delete")),
        ("create", "events"),
    }


@pytest.mark.parametrize(
    ("names", "wanted"),
    [(None, ["towpath-automations"]), (["slack", "pager"], ["slack", "pager"]), ([], None)],
    ids=["by default", "named", "none"],
)
def test_secrets_are_read_by_name(names: list[str] | None, wanted: list[str] | None) -> None:
    """The operator may get the Secrets that the values name, one by one, and neither list nor watch any."""
    chart = render({} if names is None else {"automations": {"secretNames": names}})
    rules = [rule for rule in chart.one("ClusterRole")["rules"] if "secrets" in rule["resources"]]
    assert [(rule["resourceNames"], rule["verbs"]) for rule in rules] == ([(wanted, ["get"])] if wanted else [])


def test_hosts_of_automations(everything: Rendered, default: Rendered) -> None:
    """Hosts that automations may send to reach the operator; without any, nothing is set."""
    assert environment(everything)["TOWPATH_OPERATOR_WEBHOOK_HOSTS"] == "hooks.slack.com,*.example.com"
    assert "TOWPATH_OPERATOR_WEBHOOK_HOSTS" not in environment(default)


def test_scope_cluster(default: Rendered) -> None:
    """By default the operator sees the cluster, and runs have an account in the release's namespace."""
    binding = default.one("ClusterRoleBinding")
    assert binding["subjects"] == [
        {"kind": "ServiceAccount", "name": "towpath-operator", "namespace": "towpath-system"}
    ]
    assert binding["roleRef"]["name"] == default.one("ClusterRole")["metadata"]["name"]
    assert {(role["metadata"]["namespace"], role["metadata"]["name"]) for role in default.of("Role")} == {
        ("towpath-system", "towpath-runner"),
        LEASE_ROLE,
    }
    assert not [item for item in environment(default) if item == "TOWPATH_OPERATOR_NAMESPACES"]


def test_scope_namespaces(everything: Rendered) -> None:
    """Limited to namespaces, the operator has a Role in each and nothing in the cluster, and is told which they are."""
    assert everything.of("ClusterRole") + everything.of("ClusterRoleBinding") == []
    roles = {(role["metadata"]["namespace"], role["metadata"]["name"]) for role in everything.of("Role")}
    assert roles == {
        LEASE_ROLE,
        *((ns, name) for ns in ("data", "reports") for name in ("towpath-operator", "towpath-runner")),
    }
    assert environment(everything)["TOWPATH_OPERATOR_NAMESPACES"] == "data,reports"
    (expression,) = everything.one("ValidatingAdmissionPolicyBinding")["spec"]["matchResources"]["namespaceSelector"][
        "matchExpressions"
    ]
    assert expression == {"key": "kubernetes.io/metadata.name", "operator": "In", "values": ["data", "reports"]}


def environment(rendered: Rendered) -> dict[str, str]:
    """Give the operator's environment."""
    (container,) = rendered.one("Deployment")["spec"]["template"]["spec"]["containers"]
    return {item["name"]: item.get("value", "") for item in container["env"]}


def test_bindings_lead_somewhere(rendered: Rendered) -> None:
    """Every binding names a role and accounts of the chart, in the right namespaces."""
    roles = {
        (kind, body["metadata"].get("namespace"), body["metadata"]["name"])
        for kind in ("Role", "ClusterRole")
        for body in rendered.of(kind)
    }
    accounts = {(body["metadata"]["namespace"], body["metadata"]["name"]) for body in rendered.of("ServiceAccount")}
    for binding in [*rendered.of("RoleBinding"), *rendered.of("ClusterRoleBinding")]:
        reference = binding["roleRef"]
        assert (reference["kind"], binding["metadata"].get("namespace"), reference["name"]) in roles
        assert {(subject["namespace"], subject["name"]) for subject in binding["subjects"]} <= accounts


def test_tokens_are_not_mounted_by_accident(rendered: Rendered) -> None:
    """No service account of the chart gives its token to a pod that did not ask for it."""
    assert all(account["automountServiceAccountToken"] is False for account in rendered.of("ServiceAccount"))
    assert rendered.one("Deployment")["spec"]["template"]["spec"]["automountServiceAccountToken"] is True


def test_policy_spares_the_operator_only(default: Rendered) -> None:
    """The own-run policy fails closed, denies, and leaves out exactly the operator's account."""
    policy, binding = default.one("ValidatingAdmissionPolicy"), default.one("ValidatingAdmissionPolicyBinding")
    assert policy["spec"]["failurePolicy"] == "Fail"
    assert binding["spec"] == {"policyName": policy["metadata"]["name"], "validationActions": ["Deny"]}
    account = default.one("Deployment")["spec"]["template"]["spec"]["serviceAccountName"]
    conditions = {condition["name"]: condition["expression"] for condition in policy["spec"]["matchConditions"]}
    assert (
        conditions["not-the-operator"]
        == f"request.userInfo.username != 'system:serviceaccount:towpath-system:{account}'"
    )
    assert all(
        validation["reason"] == "Forbidden" and validation["message"] for validation in policy["spec"]["validations"]
    )


def test_what_is_switched_off_is_not_there() -> None:
    """Policy, roles and the operator's account can be left out; monitoring is left out unless asked for."""
    bare = render(BARE)
    assert {body["kind"] for body in bare.objects} == {"Deployment", "Service", "ServiceAccount"}
    assert bare.one("Deployment")["spec"]["template"]["spec"]["serviceAccountName"] == "mine"


@pytest.mark.parametrize(
    ("release", "values", "name"),
    [
        ("towpath", {}, "towpath-operator"),
        ("prod", {}, "prod-towpath-operator"),
        ("my-towpath", {}, "my-towpath-operator"),
        ("prod", {"nameOverride": "flows"}, "prod-flows-operator"),
        ("prod", {"fullnameOverride": "flows"}, "flows-operator"),
        (
            "a-release-name-as-long-as-helm-lets-it-be-fifty-three",
            {},
            "a-release-name-as-long-as-helm-lets-it-b-operator",
        ),
    ],
)
def test_names(release: str, values: Body, name: str) -> None:
    """Names come from the release; those that DNS or a label has to carry fit into 63 characters."""
    rendered = render(values, release=release)
    assert rendered.one("Deployment")["metadata"]["name"] == name
    assert all(len(body["metadata"]["name"]) <= 63 for body in rendered.objects if "namespace" in body["metadata"])
