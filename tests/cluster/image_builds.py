"""Building images: by the Docker engine where there is one, else by buildah as root, without any daemon."""

from __future__ import annotations

import ast
import hashlib
import shutil
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from tests.cluster import archive, base_image, packages
from tests.cluster.locks import locked
from tests.cluster.output import step
from tests.cluster.shell import run

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from collections.abc import Set as AbstractSet

    from tests.cluster.provider import Provider
    from tests.cluster.settings import Instance


RUN_STATE = Path("/run/towpath-cluster")


class Builder(Protocol):
    """What makes images out of Dockerfiles and keeps them between builds."""

    def build(
        self,
        references: Sequence[str],
        dockerfile: Path,
        context: Path,
        *,
        target: str | None = None,
        build_args: Mapping[str, str] | None = None,
    ) -> None:
        """Build one image under some names; layers that did not change are taken from the last build."""
        ...

    def save(self, references: Sequence[str], tar: Path, without: AbstractSet[str]) -> None:
        """Write images as an archive, which may lack blobs whose SHA-256 is in ``without``."""
        ...


class DockerBuilder:
    """The Docker engine."""

    def build(
        self,
        references: Sequence[str],
        dockerfile: Path,
        context: Path,
        *,
        target: str | None = None,
        build_args: Mapping[str, str] | None = None,
    ) -> None:
        """Build one image."""
        run(["docker", "build", *_words(references, dockerfile, target, build_args), context])

    def save(self, references: Sequence[str], tar: Path, without: AbstractSet[str]) -> None:
        """Write images as an archive; a whole one, as kind and k3d want it."""
        run(["docker", "save", "--output", tar, *references])


class BuildahBuilder:
    """buildah, with a store of its own in the cache and the base image made from Debian packages."""

    def __init__(self, instance: Instance) -> None:
        """Get buildah and the base image when they are missing."""
        packages.ensure(packages.IMAGE_PACKAGES, instance.machine_state)
        # In a mount namespace of its own, so that an interrupted build leaves no mount on the machine.
        alone = ["unshare", "--mount", "--propagation", "private"]
        store = instance.cache / "containers"
        run_state = RUN_STATE / hashlib.sha256(str(store).encode()).hexdigest()[:8]
        self.buildah = [*alone, "buildah", f"--root={store}", f"--runroot={run_state}"]
        run([*self.buildah, "rm", "--all"])  # what an interrupted build has left; the caller's lock keeps others out
        base_image.ensure(self.buildah, instance)

    def build(
        self,
        references: Sequence[str],
        dockerfile: Path,
        context: Path,
        *,
        target: str | None = None,
        build_args: Mapping[str, str] | None = None,
    ) -> None:
        """Build one image."""
        with _network_settings() as mounts:
            words = _words(references, dockerfile, target, build_args)
            run([*self.buildah, "build", "--isolation=chroot", "--layers", "--pull=never", *mounts, *words, context])

    def save(self, references: Sequence[str], tar: Path, without: AbstractSet[str]) -> None:
        """Write images as an archive, which may lack blobs whose SHA-256 is in ``without``."""
        with tempfile.TemporaryDirectory(prefix="towpath-images-") as folder, ThreadPoolExecutor() as pool:
            folders = {reference: Path(folder) / str(number) for number, reference in enumerate(references)}

            def export(reference: str) -> None:
                run([*self.buildah, "push", "--quiet", "--disable-compression", reference, f"dir:{folders[reference]}"])

            list(pool.map(export, references))
            archive.write_oci(tar, folders, without)


def prepare(instance: Instance) -> None:
    """Get what builds need, before they need it."""
    with locked(instance.cache / "images.lock"):
        BuildahBuilder(instance)


def builder(provider: Provider) -> Builder:
    """Return what builds images for this cluster."""
    if provider.kind in {"kind", "k3d"}:
        return DockerBuilder()
    return BuildahBuilder(provider.instance)


def build_and_load(
    provider: Provider,
    reference: str,
    dockerfile: Path,
    context: Path,
    build_args: Mapping[str, str],
) -> None:
    """Build one image and put it on the node."""
    with step(f"building {reference}"), locked(provider.instance.cache / "images.lock"):
        maker = builder(provider)
        maker.build([reference], dockerfile, context, build_args=build_args)
        load(provider, maker, [reference])


def load(provider: Provider, maker: Builder, references: Sequence[str]) -> None:
    """Put images that were built on the node."""
    with tempfile.TemporaryDirectory(prefix="towpath-images-") as folder:
        tar = Path(folder) / "images.tar"
        maker.save(references, tar, provider.blobs())
        provider.load_image(tar)


def _words(
    references: Sequence[str],
    dockerfile: Path,
    target: str | None,
    build_args: Mapping[str, str] | None,
) -> list[str]:
    words = ["--file", str(dockerfile)]
    for reference in references:
        words += ["--tag", reference]
    if target:
        words += ["--target", target]
    for name, value in (build_args or {}).items():
        words += ["--build-arg", f"{name}={value}"]
    return words


@contextmanager
def _network_settings() -> Iterator[list[str]]:
    """Let pip inside a build reach the package index that pip on this machine reaches.

    By mounts, which no image keeps and no layer's key depends on, rather than by build arguments.
    """
    with tempfile.TemporaryDirectory() as folder:
        mounts = []
        lines = ["[global]"]
        for name, value in _pip_settings().items():
            if name in {"cert", "client-cert"} and Path(value).is_file():
                inside = f"/etc/ssl/towpath-build-{name}.pem"
                shutil.copyfile(value, Path(folder) / name)
                mounts.append(f"--volume={folder}/{name}:{inside}:ro")
                lines.append(f"{name} = {inside}")
            elif name in {"index-url", "extra-index-url", "trusted-host", "proxy", "default-timeout", "timeout"}:
                lines.append(f"{name.removeprefix('default-')} = {value}")
        (Path(folder) / "pip.conf").write_text("\n".join(lines) + "\n")
        yield [*mounts, f"--volume={folder}/pip.conf:/etc/pip.conf:ro"]


def _pip_settings() -> dict[str, str]:
    """Return pip's settings on this machine, from its files and the environment; the environment wins."""
    settings: dict[str, str] = {}
    said = run([sys.executable, "-m", "pip", "config", "list"], check=False).stdout
    pairs = [line.partition("=") for line in said.splitlines()]
    for key, _, value in sorted(pairs, key=lambda pair: pair[0].startswith(":env:")):
        settings[key.rpartition(".")[2]] = str(ast.literal_eval(value))
    return settings
