"""The resources that `towpath deploy` makes from a flow's code."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.sdk.cli import flows_to_run
from tests.sdk.cli.fake_sender import FakeSender

from towpath import flow
from towpath.api.v1alpha1 import Deployment, Flow
from towpath.cli import deploying
from towpath.cli.__main__ import main
from towpath.cli.exits import Exit
from towpath.cli.manifests import deployment_manifest, flow_manifest
from towpath.cluster.console import Console
from towpath.cluster.plan import Request
from towpath.errors import ConfigurationError

FOLDER = Path(__file__).parent
TOWPATH = "/apis/towpath.dev/v1alpha1/namespaces/data"


@pytest.fixture(autouse=True)
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stand where the flows are."""
    monkeypatch.chdir(FOLDER)


def deploy(*arguments: str) -> int:
    """Type `towpath deploy`."""
    return main(["deploy", *arguments])


def test_a_flow_takes_what_its_code_says() -> None:
    """Schema, description, retries, timeout and resources; a fraction of a second counts as one."""
    made = flow_manifest(flows_to_run.etl, "flows_to_run.py:etl", "registry.test/etl:1")
    assert made["metadata"] == {"name": "nightly-etl"}
    spec = Flow.model_validate(made).spec
    assert (spec.image, spec.entrypoint) == ("registry.test/etl:1", "flows_to_run.py:etl")
    assert spec.description == "Extract, transform and load.\n\nEvery night."
    assert (spec.timeout_seconds, spec.retries, spec.infra_retries) == (61, 2, 1)
    assert spec.parameters is not None
    assert list(spec.parameters["properties"]) == ["day", "label", "factor"]
    assert spec.parameters["required"] == ["day"]
    assert spec.template == {"spec": {"containers": [{"name": "flow", "resources": {"requests": {"memory": "512Mi"}}}]}}


def test_what_the_code_does_not_say_is_left_out() -> None:
    """So that the defaults of the cluster hold; the image may be the flow's own."""

    @flow(image="registry.test/own:1")
    def bare() -> None:
        pass

    spec = flow_manifest(bare, "x.py:bare", None)["spec"]
    assert set(spec) == {"image", "entrypoint", "parameters"}
    assert flow_manifest(bare, "x.py:bare", "other:2")["spec"]["image"] == "other:2"


def test_a_description_is_cut_to_what_a_flow_takes() -> None:
    """The API server would refuse a longer one."""
    made = flow(name="long", description="x" * 5000)(flows_to_run.nothing.fn)
    Flow.model_validate(flow_manifest(made, "x.py:long", "i:1"))


def test_a_flow_without_an_image_is_refused() -> None:
    """The sentence says both ways to name one."""
    with pytest.raises(ConfigurationError, match=r"'child' names no image: say .* with --image .* or @flow\(image=…\)"):
        flow_manifest(flows_to_run.child, "x.py:child", None)


def test_a_deployment_names_its_flow() -> None:
    """Parameters, tags and result storage come along; nothing else is said."""
    made = deployment_manifest(flows_to_run.text, "nightly", {"x": 1}, ["b", "a", "b"])
    spec = Deployment.model_validate(made).spec
    assert (made["metadata"]["name"], spec.flow_ref) == ("nightly", "text")
    assert (spec.parameters, spec.tags, spec.result_storage) == ({"x": 1}, ["a", "b"], "/results")
    bare = deployment_manifest(flows_to_run.etl, None, {}, [])
    assert (bare["metadata"]["name"], bare["spec"]) == ("nightly-etl", {"flowRef": "nightly-etl"})


def test_a_name_that_cannot_be_one_is_refused() -> None:
    """With one that can."""
    with pytest.raises(ConfigurationError, match=r"got 'Nightly Run'\. Use 'nightly-run'"):
        deployment_manifest(flows_to_run.etl, "Nightly Run", {}, [])


@pytest.mark.parametrize(
    ("typed", "in_image"),
    [
        ("flows_to_run.py:etl", "flows_to_run.py:etl"),
        ("./flows_to_run.py:etl", "flows_to_run.py:etl"),
        (f"{FOLDER}/flows_to_run.py:etl", "flows_to_run.py:etl"),
        ("deeper/../flows_to_run.py:Etl.run", "flows_to_run.py:Etl.run"),
        ("company.flows:etl", "company.flows:etl"),
    ],
)
def test_the_image_has_the_file_where_it_is_here(typed: str, in_image: str) -> None:
    """Seen from the working directory, however it was typed."""
    assert deploying.entrypoint_in_image(typed) == in_image


def test_a_file_elsewhere_needs_an_entrypoint() -> None:
    """Where it is in the image cannot be guessed."""
    with pytest.raises(ConfigurationError, match=r"--entrypoint path/in/image.py:etl"):
        deploying.entrypoint_in_image("../elsewhere.py:etl")


def test_yaml_is_what_is_applied(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """On standard output or in a file the same, texts of several lines readable; as JSON for programs."""
    typed = ["flows_to_run.py:etl", "--image", "i:1", "--name", "nightly", "-p", "label=5", "--tag", "a"]
    assert deploy(*typed) == Exit.OK
    written = capsys.readouterr().out
    assert written.startswith("# Made from flows_to_run.py:etl by `towpath deploy`.\n---\n")
    assert "  description: |-\n    Extract, transform and load.\n\n    Every night.\n" in written
    made = list(yaml.safe_load_all(written))
    assert [document["kind"] for document in made] == ["Flow", "Deployment"]
    assert made[1]["spec"] == {"flowRef": "nightly-etl", "parameters": {"label": "5"}, "tags": ["a"]}

    file = tmp_path / "new folder" / "etl.yaml"
    assert deploy(*typed, "-o", str(file)) == Exit.OK
    assert file.read_text() == written
    assert [found.name for found in file.parent.iterdir()] == ["etl.yaml"]
    assert "kubectl apply -f" in capsys.readouterr().err

    assert deploy(*typed, "--json") == Exit.OK
    assert json.loads(capsys.readouterr().out) == made
    assert deploy(*typed, "--entrypoint", "src/etl.py:etl", "--json") == Exit.OK
    assert json.loads(capsys.readouterr().out)[0]["spec"]["entrypoint"] == "src/etl.py:etl"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["-p", "other=1"], "other=1 is not a parameter of the flow"),
        (["-p", "day=2026-01-31", "-p", "factor=much"], "factor='much' must be a number"),
        (["--name", "A"], "got 'A'"),
    ],
)
def test_parameters_and_names_are_checked_before_anything_is_written(
    arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is missing each run may give; what is wrong is refused in the words of the flow."""
    assert deploy("flows_to_run.py:etl", "--image", "i:1", *arguments) == Exit.USAGE
    out, err = capsys.readouterr()
    assert out == ""
    assert sentence in err


def test_a_file_that_cannot_be_written_is_a_sentence(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Nothing is left behind."""
    (tmp_path / "file").touch()
    assert deploy("flows_to_run.py:text", "-o", str(tmp_path / "file" / "x.yaml")) == Exit.USAGE
    assert "cannot be written" in capsys.readouterr().err
    assert [found.name for found in tmp_path.iterdir()] == ["file"]


class Cluster:
    """A cluster whose operator looks at what is applied as it is told to."""

    def __init__(self) -> None:
        self.sender = FakeSender()
        self.ready: dict[str, str] = {"flows": "True", "deployments": "True"}
        self.looks = 0
        for plural, name in (("flows", "text"), ("deployments", "text")):
            body = {"kind": plural[:-1].capitalize(), "metadata": {"name": name, "generation": 2}}
            self.sender.tell("PATCH", f"{TOWPATH}/{plural}/{name}", body)
            self.sender.tell("GET", f"{TOWPATH}/{plural}/{name}", lambda _, b=body, p=plural: self._seen(b, p))

    def get_deployment(self, name: str) -> Any:
        """Read the Deployment."""
        return self.sender.send(Request("GET", f"{TOWPATH}/deployments/{name}", "look"))

    def _seen(self, body: dict[str, Any], plural: str) -> dict[str, Any]:
        self.looks += 1
        condition = {"type": "Ready", "status": self.ready[plural], "message": "There is no Flow 'text'."}
        generation = 1 if self.ready[plural] == "old" or self.looks == 1 else 2
        return body | {"status": {"observedGeneration": generation, "conditions": [condition]}}


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Cluster:
    """Let `--apply` meet a cluster of the test's own, in which waiting takes no time."""
    made = Cluster()

    @contextmanager
    def meant(_: object) -> Iterator[tuple[Cluster, Console]]:
        yield made, Console(made.sender, "data")

    monkeypatch.setattr(deploying, "cluster_meant", meant)
    monkeypatch.setattr(deploying, "_PATIENCE_SECONDS", 0.05)
    monkeypatch.setattr(deploying, "_LOOK_SECONDS", 0.0)
    return made


def test_what_is_applied_is_waited_for(cluster: Cluster, capsys: pytest.CaptureFixture[str]) -> None:
    """The operator's word on this very generation counts; then the next step is told."""
    assert deploy("flows_to_run.py:text", "-n", "data", "--apply") == Exit.OK
    out, err = capsys.readouterr()
    assert out == "Flow 'text' is applied in namespace 'data'.\nDeployment 'text' is applied in namespace 'data'.\n"
    assert err == "To run it: towpath deployments run text -n data\n"
    patches = [request for request in cluster.sender.requests if request.method == "PATCH"]
    assert [dict(request.query)["force"] for request in patches] == ["false", "false"]
    assert deploy("flows_to_run.py:text", "-n", "data", "--apply", "--force", "--json") == Exit.OK
    assert [body["kind"] for body in json.loads(capsys.readouterr().out)] == ["Flow", "Deployment"]
    patches = [request for request in cluster.sender.requests if request.method == "PATCH"]
    assert [dict(request.query)["force"] for request in patches] == ["false", "false", "true", "true"]


@pytest.mark.parametrize(
    ("ready", "code", "sentence"),
    [
        ("False", Exit.NOT_COMPLETED, "Deployment 'text' is applied, but cannot be run: There is no Flow 'text'."),
        (
            "old",
            Exit.TIMED_OUT,
            "Deployment 'text' is applied, but the operator has not looked at it: `towpath doctor`",
        ),
    ],
)
def test_what_is_applied_but_cannot_be_run_is_told(
    cluster: Cluster, ready: str, code: Exit, sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """By a sentence and by the exit code."""
    cluster.ready["deployments"] = ready
    assert deploy("flows_to_run.py:text", "-n", "data", "--apply") == code
    assert sentence in capsys.readouterr().err
