"""What a command can write besides its figures: pages, plots, dashboards of installed packages."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence
from typing import Any, Protocol

from instglow import plugins
from instglow.cli.parser import Parser

GROUP = "instglow.outputs"


class Output(Protocol):
    """One kind of output, an object named by an entry point of the group `instglow.outputs`."""

    command: str
    """That it belongs to: "evaluate" or "likelihood"."""

    def add_options(self, parser: Parser) -> None:
        """The options that ask for it."""
        ...

    def check(self, arguments: Namespace) -> bool:
        """Whether it is asked for; an OutputError for what could not be written, before any work.

        `instglow evaluate` then keeps the first segment of every song to listen to.
        """
        ...

    def write(self, arguments: Namespace, result: Any) -> None:
        """Write it, if it is asked for.

        Args:
            arguments: of the command.
            result: an `Evaluated`; of a likelihood, the name of the dataset and its
                `LikelihoodTable`.
        """
        ...


def outputs(command: str) -> Sequence[Output]:
    """Those of a command, sorted by name."""
    found: list[Output] = [one for _, one in plugins.available(GROUP)]
    return [one for one in found if one.command == command]
