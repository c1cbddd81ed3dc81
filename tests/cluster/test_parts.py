"""The parts of the test cluster that need no cluster."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tarfile
from ipaddress import IPv4Network
from itertools import combinations
from pathlib import Path

import pytest
from tests.cluster import addresses, archive, components, processes, project_images, settings
from tests.cluster.addresses import Addresses


def test_no_two_slots_share_an_address() -> None:
    """Whatever instances run side by side, their networks do not overlap."""
    networks = [network for slot in range(addresses.SLOTS) for network in Addresses(slot).networks]
    assert not [pair for pair in combinations(networks, 2) if pair[0].overlaps(pair[1])]


def test_an_instance_prefers_its_own_slot_and_moves_on_from_a_taken_one() -> None:
    """The name decides, unless another instance or a route of the machine is there already."""
    first, second, third = list(addresses.candidates("a-name"))[:3]
    default = IPv4Network("0.0.0.0/0")
    assert addresses.choose("a-name", {}, [default]) == first
    assert addresses.choose("a-name", {first.slot: "a-name"}, []) == first
    assert addresses.choose("a-name", {first.slot: "another"}, []) == second
    assert addresses.choose("a-name", {first.slot: "another"}, [second.pods]) == third


def test_a_machine_full_of_instances_is_told_about() -> None:
    """The error names the instance that got no addresses."""
    taken = {slot: f"other-{slot}" for slot in range(addresses.SLOTS)}
    with pytest.raises(settings.ClusterError, match="a-name"):
        addresses.choose("a-name", taken, [])


def test_two_clones_have_two_names(tmp_path: Path) -> None:
    """The default name comes from the clone's path, and one given by hand is checked."""
    names = {settings.instance({}, tmp_path / clone).name for clone in ("one", "two")}
    assert len(names) == 2
    assert settings.instance({"TOWPATH_CLUSTER_NAME": "mine"}, tmp_path).name == "mine"
    with pytest.raises(settings.ClusterError, match="'Not Mine'"):
        settings.instance({"TOWPATH_CLUSTER_NAME": "Not Mine"}, tmp_path)


@pytest.mark.parametrize(
    ("environ", "has", "lacks"),
    [
        pytest.param({}, "--concurrent-job-syncs=20", "--burst", id="tuned by default"),
        pytest.param(
            {components.CONTROLLER_MANAGER_FLAGS: ""}, "--leader-elect=false", "--kube-api-qps=300", id="stock"
        ),
        pytest.param(
            {components.CONTROLLER_MANAGER_FLAGS: "--v=4 --x=1"}, "--x=1", "--kube-api-qps=300", id="own flags"
        ),
    ],
)
def test_flags_of_the_controller_manager(environ: dict[str, str], has: str, lacks: str) -> None:
    """Benchmarks run on stock and on tuned flags, which the environment chooses."""
    words = components.command("controller-manager", Addresses(0), "node-1", environ)
    assert has in words
    assert lacks not in words


@pytest.mark.parametrize(("environ", "whole"), [({}, 0), ({components.AUDIT: "bodies"}, 1)], ids=["default", "bodies"])
def test_the_audit_log_holds_bodies_when_asked_to(environ: dict[str, str], whole: int) -> None:
    """They are many times what the rest is."""
    levels = [rule["level"] for rule in components.audit_policy(environ)["rules"]]  # type: ignore[attr-defined]
    assert levels.count("RequestResponse") == whole
    assert levels[-1] == "Metadata"


@pytest.mark.parametrize("component", components.COMPONENTS, ids=lambda component: component.name)
def test_every_component_has_a_command_and_a_health_check(component: components.Component) -> None:
    """A component is found again by its program's name, so that is what its command starts."""
    words = components.command(component.name, Addresses(3), "node-1", {})
    assert Path(words[0]).name == component.program
    assert component.socket or component.health_url(Addresses(3)).count("10.104.3.2") == 1


def test_an_archive_of_several_images_holds_shared_layers_once(tmp_path: Path) -> None:
    """And leaves out what its reader has."""
    layer, own = b"shared", [b"one", b"two"]
    images = {}
    for number, content in enumerate(own):
        folder = tmp_path / str(number)
        folder.mkdir()
        for blob in (layer, content):
            (folder / hashlib.sha256(blob).hexdigest()).write_bytes(blob)
        (folder / "manifest.json").write_text(json.dumps({"mediaType": "a manifest", "number": number}))
        images[f"localhost/image:{number}"] = folder
    target = tmp_path / "images.tar"
    archive.write_oci(target, images, without={hashlib.sha256(b"two").hexdigest()})
    with tarfile.open(target) as tar:
        names = tar.getnames()
        index = tar.extractfile("index.json")
        assert index is not None
        references = [entry["annotations"]["io.containerd.image.name"] for entry in json.load(index)["manifests"]]
    assert references == list(images)
    assert len(names) == len(set(names))
    blobs = {Path(name).name for name in names if name.startswith("blobs/")}
    assert {hashlib.sha256(blob).hexdigest() for blob in (layer, b"one")} < blobs
    assert hashlib.sha256(b"two").hexdigest() not in blobs


def test_the_tag_changes_with_what_goes_into_the_images_and_with_nothing_else(tmp_path: Path) -> None:
    """A changed source gives a new tag; compiled files and everything outside the images do not."""
    source = tmp_path / "sdk" / "towpath" / "flows.py"
    source.parent.mkdir(parents=True)
    source.write_text("one")
    for name in project_images.INPUTS:
        if not (tmp_path / name).exists():
            (tmp_path / name).write_text(name)
    before = project_images.content_tag(tmp_path)
    (source.parent / "__pycache__").mkdir()
    (source.parent / "__pycache__" / "flows.pyc").write_text("compiled")
    (tmp_path / "Makefile").write_text("all:")
    assert project_images.content_tag(tmp_path) == before
    source.write_text("two")
    assert project_images.content_tag(tmp_path) != before


def test_a_process_is_more_than_its_number() -> None:
    """A pid that was given to another process is not mistaken for the one remembered."""
    own = processes.find(os.getpid())
    assert own
    assert own.alive
    assert not processes.Process(own.pid, own.start_ticks + 1).alive
    code = "import time; print(flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as child:
        assert child.stdout
        child.stdout.readline()  # until then it may be between fork and exec
        found = processes.find(child.pid)
        assert found
        assert processes.command_line(child.pid)[0] == sys.executable
        assert found.end()
    assert processes.Process(child.pid, found.start_ticks).end()
