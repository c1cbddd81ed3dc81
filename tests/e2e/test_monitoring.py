"""What the operator says of itself, in the words of a real Prometheus that scraped it."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from tests.cluster.api import Cluster
from tests.e2e.runs import Runs
from tests.helm import dashboard
from tests.installation import SYSTEM, Installation
from tests.kube import Kube

from towpath import names

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(180)]


class Prometheus:
    """A real Prometheus on loopback."""

    def __init__(self, url: str) -> None:
        self.http = httpx.Client(base_url=url, timeout=10)

    def query(self, expr: str) -> list[dict[str, Any]]:
        """Ask, and give the series; an error of the query is an AssertionError with its words."""
        answer = self.http.get("/api/v1/query", params={"query": expr}).json()
        assert answer["status"] == "success", f"{expr}\n{answer.get('error')}"
        return answer["data"]["result"] if answer["data"]["resultType"] == "vector" else [answer["data"]]

    def wait(self, expr: str, timeout: float = 60) -> list[dict[str, Any]]:
        """Ask until there is an answer."""
        deadline = time.monotonic() + timeout
        while not (found := self.query(expr)):
            assert time.monotonic() < deadline, f"no series for {expr} within {timeout} s"
            time.sleep(0.5)
        return found


@pytest.fixture(scope="module")
def metrics_port(cluster: Cluster, kube: Kube, towpath: Installation) -> Iterator[int]:
    """A loopback port that leads to the chart's metrics Service."""
    services = kube.items(f"/api/v1/namespaces/{SYSTEM}/services", labelSelector="app.kubernetes.io/name=towpath")
    (service,) = [s for s in services if any(port["name"] == "metrics" for port in s["spec"]["ports"])]
    port = next(port["port"] for port in service["spec"]["ports"] if port["name"] == "metrics")
    command = [
        cluster.bin / "kubectl", "--kubeconfig", cluster.kubeconfig, "port-forward", "--namespace", SYSTEM,
        f"service/{service['metadata']['name']}", f":{port}", "--address", "127.0.0.1",
    ]  # fmt: skip
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as forward:
        assert forward.stdout
        found = re.search(r"127\.0\.0\.1:(\d+)", forward.stdout.readline())
        assert found
        yield int(found[1])
        forward.terminate()


@pytest.fixture(scope="module")
def prometheus(cluster: Cluster, metrics_port: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """A Prometheus that scrapes the operator every second and knows the chart's alerts."""
    folder: Path = tmp_path_factory.mktemp("prometheus")
    (folder / "prometheus.yml").write_text(
        yaml.safe_dump(
            {
                "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
                "rule_files": [str(dashboard.ALERTS)],
                "scrape_configs": [
                    {
                        "job_name": "towpath",
                        "static_configs": [{"targets": [f"127.0.0.1:{metrics_port}"], "labels": {"namespace": SYSTEM}}],
                        "honor_labels": True,
                    }
                ],
            }
        )
    )
    command = [
        cluster.bin / "prometheus", "--config.file", folder / "prometheus.yml", "--storage.tsdb.path", folder / "data",
        "--web.listen-address", "127.0.0.1:0", "--log.format", "json",
    ]  # fmt: skip
    with (folder / "log").open("wb") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        try:
            asked = Prometheus(f"http://127.0.0.1:{listening_port(process, folder / 'log')}")
            yield asked
            asked.http.close()
        finally:
            process.terminate()
            process.wait(20)


def listening_port(process: subprocess.Popen[bytes], log: Path) -> int:
    """Find the port that the process chose: the one it listens on."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()
        listing = subprocess.run(["ss", "-Hltnp"], capture_output=True, text=True, check=True).stdout
        for line in listing.splitlines():
            if f"pid={process.pid}," in line:
                return int(line.split()[3].rpartition(":")[2])
        time.sleep(0.1)
    raise AssertionError(f"Prometheus does not listen:\n{log.read_text()}")


@pytest.fixture
def standing(runs: Runs) -> Iterator[None]:
    """A Queue, a ConcurrencyLimit, and an Automation that has something to do when a run fails."""
    name, nobody = f"{runs.prefix}-watched", {"webhook": {"url": "http://127.0.0.1:1/"}}
    automation = {"trigger": {"states": {"types": ["FAILED"]}}, "actions": [{"cancel": {}}, nobody]}
    made = {
        "queues": ("Queue", {"limit": 1}),
        "concurrencylimits": ("ConcurrencyLimit", {"limit": 1}),
        "automations": ("Automation", automation),
    }
    for plural, (kind, spec) in made.items():
        body = {"apiVersion": names.API_VERSION, "kind": kind, "metadata": {"name": name}, "spec": spec}
        runs.kube.create(runs.path(plural), body)
    yield
    for plural in made:
        runs.kube.delete(runs.path(plural, name))


def test_every_query_of_dashboard_and_alerts_works_on_what_the_operator_says(
    runs: Runs, standing: None, prometheus: Prometheus
) -> None:
    """Each query is accepted, and the ones about what was made here have an answer."""
    runs.ended(runs.start("add", {"x": 1}))
    runs.ended(runs.start("sell", {"item": "tea"}))
    prometheus.wait('towpath_flowruns_finished_total{flow="sell",state="FAILED",reason="FlowFailed"}')
    prometheus.wait('towpath_flowruns_finished_total{flow="add",state="COMPLETED"}')
    prometheus.wait('towpath_automation_deliveries_total{outcome="unreachable"}')
    prometheus.wait('towpath_automation_actions_total{outcome="done"}')
    time.sleep(2.5)  # a rate needs two scrapes

    answers = {query: prometheus.query(query.expr) for query in dashboard.queries()}

    empty_when_all_is_well = re.compile(r"pending|infra_retries|error|up\b|absent|ALERTS|rate\(|changes", re.IGNORECASE)
    unanswered = [q.where for q, answer in answers.items() if not answer and not empty_when_all_is_well.search(q.expr)]
    assert len(answers) > 10
    assert unanswered == []


def test_the_chart_s_alerts_are_loaded_as_they_are(prometheus: Prometheus) -> None:
    """A real Prometheus takes the rules file and evaluates each rule without an error."""
    deadline = time.monotonic() + 30
    while True:
        groups = prometheus.http.get("/api/v1/rules").json()["data"]["groups"]
        rules = [rule for group in groups for rule in group["rules"]]
        if rules and all(rule["health"] == "ok" for rule in rules):
            break
        assert time.monotonic() < deadline, rules
        time.sleep(0.5)
    assert "TowpathFlowRunsFailing" in [rule["name"] for rule in rules]


def test_run_names_are_never_labels(runs: Runs, prometheus: Prometheus) -> None:
    """The number of series is bounded: no label holds the name of a run."""
    name = runs.start("add", {"x": 1})
    runs.ended(name)

    series = prometheus.http.get("/api/v1/series", params={"match[]": '{__name__=~"towpath_.*"}'}).json()["data"]

    assert series
    assert not [one for one in series if name in one.values()]
