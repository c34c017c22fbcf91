"""The group of all commands, in the order in which `--help` lists them."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed_version

import click

from mergelang.cli.check import check
from mergelang.cli.compile import compile_
from mergelang.cli.diff import diff
from mergelang.cli.explain import explain
from mergelang.cli.faults import Faults
from mergelang.cli.fmt import fmt
from mergelang.cli.inspect import inspect
from mergelang.cli.laws import laws
from mergelang.cli.lock import lock
from mergelang.cli.methods import methods
from mergelang.cli.plan import plan
from mergelang.cli.run import run
from mergelang.cli.stats import stats
from mergelang.cli.verify import verify

COMMANDS = (compile_, plan, run, verify, lock, check, fmt, laws, explain, methods, inspect, diff, stats)


class InOrder(Faults):
    """Lists the commands as they are added: those that make a model first."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)


def _version() -> str:
    try:
        return installed_version("mergelang")
    except PackageNotFoundError:  # run from a checkout that is not installed
        from mergelang import __version__

        return __version__


@click.group(cls=InOrder, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(_version(), prog_name="mergelang", message="%(prog)s %(version)s")
@click.option("--debug", is_flag=True, help="Show a traceback where a fault is ours.")
def mergelang(debug: bool) -> None:
    """Merge models by recipes that read like a paper's equations.

    A recipe is checked and planned from the checkpoints' headers alone, then streamed: `compile` shows what would be
    done, `run` does it.
    """


for command in COMMANDS:
    mergelang.add_command(command)
