"""The README's first command, and its example in the hands of a user."""

from __future__ import annotations

import subprocess
import sys

import pytest
import yaml
from tests.e2e.runs import Runs, result, state
from tests.installation import ROOT, Installation

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300)]


def test_the_demo_shows_the_tree_the_result_and_what_to_type_next(towpath: Installation) -> None:
    """`make demo` ends with a run per file below its parent, the table that the flow returned, and commands that work."""
    demo = subprocess.run([sys.executable, "-m", "tests.demo"], cwd=ROOT, capture_output=True, text=True, check=False)

    assert demo.returncode == 0, demo.stdout + demo.stderr
    tree = [line for line in demo.stdout.splitlines() if "✔ Completed" in line]
    assert len(tree) == 2 + 5 + 2
    assert "wettest month December 2015" in demo.stdout
    logs = next(line.split() for line in demo.stdout.splitlines() if line.strip().startswith("kubectl logs"))
    assert "renewables went from" in towpath.cluster.kubectl(*logs[1:])


def test_each_childs_job_asks_for_its_own_memory(runs: Runs, towpath: Installation) -> None:
    """The larger the file, the more memory its child's pod requests; the parent's own request is untouched."""
    flow = {"image": towpath.demo_image, "entrypoint": "examples/almanac.py:almanac"}
    name = runs.create({"flow": flow, "parameters": {"files": ["airports.csv", "wheat-no-such.csv"]}})
    failed = runs.ended(name)
    assert state(failed)["type"] == "FAILED"
    assert "wheat-no-such.csv" in state(failed)["message"]

    name = runs.create({"flow": flow, "parameters": {"files": ["airports.csv", "iowa-electricity.csv"]}})
    table = result(runs.ended(name))

    assert "AK has the most airports" in table
    asked = {
        child["spec"]["parameters"]["file"]: child["spec"]["template"]["spec"]["containers"][0]["resources"]["requests"]
        for child in runs.children(name)
    }
    assert asked == {"airports.csv": {"memory": "68Mi"}, "iowa-electricity.csv": {"memory": "64Mi"}}
    (pod,) = runs.pods(runs.children(name)[0]["metadata"]["name"])
    assert pod["spec"]["containers"][0]["resources"]["requests"]["memory"] in {"68Mi", "64Mi"}


def test_the_examples_yaml_is_the_examples_python(towpath: Installation) -> None:
    """The schema that the YAML carries is the one that the flow's signature gives."""
    documents = yaml.safe_load_all((ROOT / "examples" / "almanac.yaml").read_text())
    written = next(document for document in documents if document["kind"] == "Flow")["spec"]["parameters"]

    code = "from examples.almanac import almanac; import json; print(json.dumps(almanac.parameter_schema()))"
    schema = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout

    made = yaml.safe_load(schema)
    assert set(made["properties"]) == set(written["properties"])
    assert made.get("required", []) == written.get("required", [])
