"""The project's own images, tagged by what goes into them: the same sources are built and loaded once."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from tests.cluster import image_builds
from tests.cluster.locks import locked
from tests.cluster.output import say, step
from tests.cluster.settings import REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tests.cluster.provider import Provider

TARGETS = ("operator", "flow", "demo")
INPUTS = ("pyproject.toml", "README.md", "Dockerfile", ".dockerignore", "sdk", "operator", "examples")
REPOSITORY_OF_IMAGES = "localhost/towpath"


def reference(target: str, tag: str) -> str:
    """Return the whole name of one of the project's images."""
    return f"{REPOSITORY_OF_IMAGES}/{target}:{tag}"


def content_tag(repository: Path = REPOSITORY) -> str:
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
    chosen = tag or content_tag()
    present = set() if tag else provider.images()
    missing = [target for target in targets if reference(target, chosen) not in present]
    if not missing:
        say(f"images {', '.join(targets)} with tag {chosen} are there already")
        return chosen
    with locked(provider.instance.cache / "images.lock"):
        maker = image_builds.builder(provider)
        for target in missing:
            with step(f"building {reference(target, chosen)}", lambda: "still going on"):
                maker.build(reference(target, chosen), REPOSITORY / "Dockerfile", REPOSITORY, target=target)
        with step("loading images into the cluster"):
            image_builds.load(provider, maker, [reference(target, chosen) for target in missing])
    return chosen
