"""Command-line parsing whose errors are one line, like all others."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any, NoReturn

from instglow.errors import ConfigError


class Parser(argparse.ArgumentParser):
    """An ArgumentParser that raises a ConfigError instead of printing the usage and leaving."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.register("type", Path, _path)

    def error(self, message: str) -> NoReturn:
        """Called by argparse with what is wrong."""
        raise ConfigError(f"{message}; see `{self.prog} --help`")

    def add_registry(self) -> None:
        """The option `--registry DIR`."""
        self.add_argument(
            "--registry",
            type=Path,
            metavar="DIR",
            help="a folder of priors to look into before all others",
        )

    def add_device(self) -> None:
        """The option `-d`, `--device`, for `instglow.devices.resolve`."""
        self.add_argument(
            "-d",
            "--device",
            default="auto",
            metavar="D",
            help="auto, cpu, cuda, cuda:N or mps (default: auto)",
        )

    def add_search(self) -> None:
        """The options --steps, --learning-rate, --latent-weight and --seed."""
        search = self.add_argument_group("the search, where the preset's should not do")
        search.add_argument("--steps", type=int, metavar="N", help="iterations")
        search.add_argument("--learning-rate", type=float, metavar="X")
        search.add_argument("--latent-weight", type=float, metavar="X", help="γ of the objective")
        search.add_argument("--seed", type=int, metavar="N")

    def add_json(self) -> None:
        """The option `--json`."""
        self.add_argument("--json", action="store_true", help="print JSON")


def _path(text: str) -> Path:
    if not text:  # an unset variable of a script; `Path` would take the working directory
        raise argparse.ArgumentTypeError("is empty; give a path, `.` for this folder")
    return Path(text)
