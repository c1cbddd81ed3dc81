"""The project's own images, tagged by what goes into them: the same sources are built and loaded once."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from tests.cluster import image_builds
from tests.cluster.locks import locked
from tests.cluster.output import say, step
from tests.cluster.settings import REPOSITORY, ClusterError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.cluster.provider import Provider

TARGETS = ("operator", "flow", "demo")
INPUTS = ("pyproject.toml", "README.md", "Dockerfile", ".dockerignore", "sdk", "operator", "examples")
LATEST = "dev"  # what examples/*.yaml name: the images that were built last


def repository(target: str) -> str:
    """Return the name of one of the project's images, without a tag: on the node, or where ``TOWPATH_IMAGES`` says."""
    return f"{os.environ.get('TOWPATH_IMAGES') or 'localhost/towpath'}/{target}"


def reference(target: str, tag: str) -> str:
    """Return the whole name of one of the project's images."""
    return f"{repository(target)}:{tag}"


def published() -> str | None:
    """Return the tag of images that the user has put into a registry, and None if there are none."""
    if not os.environ.get("TOWPATH_IMAGES"):
        return None
    tag = os.environ.get("TOWPATH_IMAGE_TAG")
    if not tag:
        message = "TOWPATH_IMAGES names where the images are; set TOWPATH_IMAGE_TAG to their tag as well"
        raise ClusterError(message)
    return tag


def content_tag(repository: Path) -> str:
    """Return a tag that stands for everything that goes into the images."""
    digest = hashlib.sha256()
    for name in INPUTS:
        top = repository / name
        for file in sorted(top.rglob("*")) if top.is_dir() else [top]:
            inside = file.relative_to(repository)
            if file.is_file() and "__pycache__" not in inside.parts and file.suffix != ".pyc":
                content = hashlib.sha256(file.read_bytes()).hexdigest()
                digest.update(f"{inside} {file.stat().st_mode & 0o111:o} {content}\n".encode())
    return digest.hexdigest()[:12]


def ensure(provider: Provider, targets: Sequence[str] = TARGETS, tag: str | None = None) -> str:
    """Build and load what is missing; return the tag.

    A content tag that the node has is not built again; a ``tag`` that was asked for by name always is, since nothing says
    what it stood for last time.
    """
    if found := published():
        return found
    if provider.kind == "your own cluster":
        message = (
            "your own cluster pulls its images from a registry: build the Dockerfile's targets operator, flow and demo, push "
            "them as REGISTRY/PATH/operator:TAG and so on, and set TOWPATH_IMAGES=REGISTRY/PATH and TOWPATH_IMAGE_TAG=TAG"
        )
        raise ClusterError(message)
    present = set() if tag else provider.images()
    with tempfile.TemporaryDirectory(prefix="towpath-sources-") as folder:
        # A copy, so that the tag stands for what is built even when somebody saves a file meanwhile.
        sources = _snapshot(Path(folder))
        chosen = tag or content_tag(sources)
        missing = [target for target in targets if reference(target, chosen) not in present]
        if missing:
            with locked(provider.instance.cache / "images.lock"):
                _build(provider, sources, missing, chosen)
        else:
            say(f"images {', '.join(targets)} with tag {chosen} are there already")
    return chosen


def _snapshot(folder: Path) -> Path:
    for name in INPUTS:
        source = REPOSITORY / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__", "*.pyc", ".*"))
        elif source.exists():
            shutil.copy2(source, folder / name)
    return folder


def _build(provider: Provider, sources: Path, targets: Sequence[str], tag: str) -> None:
    maker = image_builds.builder(provider)

    def build(target: str) -> None:
        names = (reference(target, tag), reference(target, LATEST))
        maker.build(names, sources / "Dockerfile", sources, target=target)

    first, *others = targets
    with step(f"building {', '.join(targets)} with tag {tag}", lambda: "still going on"), ThreadPoolExecutor() as pool:
        build(first)  # makes the layers that all share
        list(pool.map(build, others))
    with step("loading them into the cluster"):
        image_builds.load(provider, maker, [reference(target, name) for target in targets for name in (tag, LATEST)])
