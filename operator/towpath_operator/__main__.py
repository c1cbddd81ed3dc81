"""`python -m towpath_operator`, also installed as `towpath-operator`: runs the operator until it is told to stop."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import sys
from collections.abc import Sequence
from importlib import metadata

from towpath.errors import ConfigurationError

_HELP = """\
Runs Towpath's operator: it turns FlowRun resources into Jobs and keeps their status true.

The API server is that of $KUBECONFIG; without it, inside a pod, the one of the pod's service account; else that of
~/.kube/config. Everything else is set by environment variables (docs/reference/operator-settings.md):
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the operator; 0: it was told to stop, 1: it failed, 2: it could not start as it is set."""
    try:
        from towpath_operator import logs, settings
        from towpath_operator.app import Operator
        from towpath_operator.runtime.connection import connect
        from towpath_operator.runtime.lease import LeaseLostError
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("towpath"):
            raise
        return _fail(1, f"The operator needs {error.name}, which is not installed: pip install 'towpath[operator]'")
    _parser(settings.describe()).parse_args(arguments)

    async def operate() -> None:
        operator = Operator(wanted, await connect())
        try:
            await operator.run()
        except ConfigurationError:
            raise
        except Exception as error:
            log = logging.getLogger("towpath_operator")
            if isinstance(error, ExceptionGroup) and (lost := error.subgroup(LeaseLostError)):
                log.error("%s It ends, and begins again as a follower.", lost.exceptions[0])  # noqa: TRY400 nobody's fault
            else:
                log.exception("The operator failed, and ends.")
            logging.shutdown()
            os._exit(1)  # whatever failed may have left tasks behind that do not let themselves be cancelled

    try:
        wanted = settings.load(os.environ)
        logs.configure(wanted.log_level)
        asyncio.run(operate())
    except ConfigurationError as error:
        return _fail(2, f"towpath-operator: {error}")
    return 0


def _fail(code: int, sentence: str) -> int:
    sys.stderr.write(sentence + "\n")
    return code


def _parser(variables: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="towpath-operator",
        description=_HELP,
        epilog=variables,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"towpath {metadata.version('towpath')}")
    return parser


if __name__ == "__main__":
    sys.exit(main())
