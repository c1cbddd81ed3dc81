"""``python3 -m tests.cluster VERB``: a real Kubernetes for tests and for the demo."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tests.cluster import image_builds, project_images, tools
from tests.cluster.components import COMPONENTS
from tests.cluster.provider import choose
from tests.cluster.settings import ClusterError, ClusterUnavailable, in_ci, instance

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

NODES = ("get", "nodes", "--output=wide", "--request-timeout=5s")
EXIT_FAILED = 1
EXIT_UNAVAILABLE = 3  # callers skip


def up(_: argparse.Namespace) -> None:
    provider = choose()
    provider.up()
    print(provider.kubeconfig)


def down(_: argparse.Namespace) -> None:
    choose().down()


def status(_: argparse.Namespace) -> None:
    provider = choose()
    print(f"cluster {provider.instance.name} ({provider.kind}): {'up' if provider.running else 'not up'}")
    for component, pid, health in provider.status() if provider.running else ():
        print(f"  {component:20} {pid:>8}  {health}")
    if provider.running:
        nodes = tools.kubectl(provider.instance, provider.kubeconfig, *NODES, check=False)
        print(nodes.rstrip())
        print(f"kubeconfig {provider.kubeconfig}")


def kubeconfig(_: argparse.Namespace) -> None:
    provider = choose()
    if not provider.running:
        raise ClusterError(f"cluster {provider.instance.name!r} is not up; start it with: python3 -m tests.cluster up")
    print(provider.kubeconfig)


def images(arguments: argparse.Namespace) -> None:
    tag = project_images.ensure(choose(), tuple(arguments.target) or project_images.TARGETS, arguments.tag)
    print(f"TAG={tag}")


def image_load(arguments: argparse.Namespace) -> None:
    choose().load_image(arguments.tar)


def image_build(arguments: argparse.Namespace) -> None:
    build_args = dict(pair.split("=", 1) for pair in arguments.build_arg)
    file = arguments.file or arguments.context / "Dockerfile"
    image_builds.build_and_load(choose(), arguments.tag, file, arguments.context, build_args)


def restart(arguments: argparse.Namespace) -> None:
    choose().restart(arguments.component)


def kill(arguments: argparse.Namespace) -> None:
    choose().kill(arguments.component)


def print_tools(_: argparse.Namespace) -> None:
    print(tools.ensure(instance()))


def exec_node(arguments: argparse.Namespace) -> None:
    words = arguments.command[1:] if arguments.command[:1] == ["--"] else arguments.command
    if not words:
        raise ClusterError("name the command that is to run: exec-node -- COMMAND …")
    command = choose().node_command(words)
    sys.stdout.flush()
    os.execvp(command[0], command)


def parser() -> argparse.ArgumentParser:
    """Return the command line's grammar."""
    top = argparse.ArgumentParser(prog="python3 -m tests.cluster", description=__doc__)
    verbs = top.add_subparsers(required=True, metavar="VERB")

    def verb(name: str, run: Callable[[argparse.Namespace], None], what: str) -> argparse.ArgumentParser:
        added = verbs.add_parser(name, help=what, description=what)
        added.set_defaults(run=run)
        return added

    verb("up", up, "make the cluster, or mend it; prints the path of its kubeconfig")
    verb("down", down, "remove the cluster")
    verb("status", status, "show components, node and kubeconfig")
    verb("kubeconfig", kubeconfig, "print the path of the kubeconfig and nothing else")
    verb("tools", print_tools, "build the programs only and print their folder")
    built = verb("images", images, "build the project's images and load them; the last line is TAG=<tag>")
    built.add_argument("--tag", help="default: a hash of what goes into the images")
    built.add_argument("target", nargs="*", choices=[[], *project_images.TARGETS], help="default: all")
    loaded = verb("image-load", image_load, "load a docker or OCI archive")
    loaded.add_argument("tar", type=Path)
    own = verb("image-build", image_build, "build an image of your own and load it")
    own.add_argument("--file", type=Path, help="default: CONTEXT/Dockerfile")
    own.add_argument("--tag", required=True, help="the image's whole name, such as localhost/my-flow:1")
    own.add_argument("--build-arg", action="append", default=[], metavar="NAME=VALUE")
    own.add_argument("context", type=Path)
    names = [*(component.name for component in COMPONENTS), "coredns"]
    verb("restart", restart, "end a component as a crash would and start it again").add_argument(
        "component", choices=names
    )
    verb("kill", kill, "end a component as a crash would and leave it down").add_argument("component", choices=names)
    inside = verb("exec-node", exec_node, "run a command in the node's network: exec-node -- COMMAND …")
    inside.add_argument("command", nargs=argparse.REMAINDER)
    return top


def main(words: Sequence[str] | None = None) -> int:
    """Carry out one verb and return the exit code."""
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # so that `… status | head` ends quietly
    arguments = parser().parse_args(words)
    try:
        arguments.run(arguments)
    except ClusterUnavailable as unavailable:
        print(f"towpath: {unavailable}", file=sys.stderr)
        return EXIT_FAILED if in_ci() else EXIT_UNAVAILABLE
    except ClusterError as error:
        print(f"towpath: {error}", file=sys.stderr)
        return EXIT_FAILED
    except KeyboardInterrupt:
        print("towpath: interrupted; run it again to go on", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
