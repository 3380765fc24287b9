"""The command `instglow`: picks a command, imports its module, and turns errors into one line."""

from __future__ import annotations

import difflib
import importlib
import io
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import FrameType
from typing import NoReturn

from instglow import __version__
from instglow.cli import parsers
from instglow.cli.parser import Parser
from instglow.errors import ConfigError, InstGlowError


@dataclass(frozen=True)
class Command:
    """What the command line offers.

    Attributes:
        module: imported when the command is called, and not before. Its `run` takes the arguments,
            or, where there is no parser, the words and the name of the program.
        text: what the command does.
        parser: built from the name of the program, without torch.
    """

    module: str
    text: str
    parser: Callable[[str], Parser] | None = None


COMMANDS = {
    "separate": Command("instglow.cli.separate", "separate songs into stems", parsers.separate),
    "evaluate": Command(
        "instglow.cli.evaluate",
        "separate songs with known stems and score the result",
        parsers.evaluate,
    ),
    "list-priors": Command(
        "instglow.cli.list_priors",
        "list the priors, where they are, what they hide",
        parsers.list_priors,
    ),
    "show-prior": Command(
        "instglow.cli.show_prior", "print the card of a prior", parsers.show_prior
    ),
    "add-prior": Command(
        "instglow.cli.add_prior",
        "register a trained prior, or train one from a folder",
        parsers.add_prior,
    ),
    "remove-prior": Command(
        "instglow.cli.remove_prior", "delete a prior from the registry", parsers.remove_prior
    ),
    "likelihood": Command(
        "instglow.cli.likelihood",
        "measure how likely each prior finds each instrument's solos",
        parsers.likelihood,
    ),
    "fit": Command("instglow.cli.train", "train a prior"),
    "validate": Command("instglow.cli.train", "measure a trained prior on validation data"),
    "test": Command("instglow.cli.train", "measure a trained prior on test data"),
}


class _Terminated(BaseException):
    """SIGTERM arrived; `finally` blocks run, `except Exception` does not catch it."""


def main(argv: list[str] | None = None) -> int:
    """Run one command -> exit status."""
    arguments = sys.argv[1:] if argv is None else argv
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # no path is so odd that it cannot be printed
            stream.reconfigure(errors="backslashreplace")
    try:
        with _sigterm_raises():
            status = _run(arguments)
            sys.stdout.flush()
            return status
    except InstGlowError as error:
        print("instglow:", " ".join(str(error).splitlines()), file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("instglow: interrupted", file=sys.stderr)
        return 130
    except _Terminated:
        return 143
    except BrokenPipeError:
        with suppress(OSError):  # the interpreter flushes again as it leaves
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + 13  # as a shell reports SIGPIPE
    except SystemExit as leaving:  # --help of a command, or a parser of another library
        if leaving.code is None or isinstance(leaving.code, int):
            return leaving.code or 0
        print(leaving.code, file=sys.stderr)
        return 1


def _run(arguments: list[str]) -> int:
    try:
        os.getcwd()  # noqa: PTH109
    except FileNotFoundError:
        raise ConfigError("the working directory has been deleted; change to another") from None
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(_overview())
        return 0
    if arguments[0] == "--version":
        print(f"instglow {__version__}")
        return 0
    name, *words = arguments
    if name not in COMMANDS:
        near = difflib.get_close_matches(name, COMMANDS, n=1)
        hint = f"did you mean {near[0]}?" if near else "see `instglow --help`"
        raise ConfigError(f"no command {name!r}; {hint}")
    command, prog = COMMANDS[name], f"instglow {name}"
    if command.parser:
        parsed = command.parser(prog).parse_args(words)
        status = importlib.import_module(command.module).run(parsed)
    elif words in (["-h"], ["--help"]):
        print(parsers.training_help(prog, command.text))
        status = 0
    else:
        words = ["--help"] if words in (["--help", "full"], ["--help=full"]) else words
        status = importlib.import_module(command.module).run(words, prog)
    return status or 0


def _overview() -> str:
    width = max(map(len, COMMANDS))
    lines = [f"  {name:{width}}  {command.text}" for name, command in COMMANDS.items()]
    return "\n".join(
        (
            "usage: instglow COMMAND ...",
            "",
            "Music source separation with independent, per-instrument generative priors.",
            "",
            *lines,
            "",
            "`instglow COMMAND --help` explains a command; `instglow --version` tells the version.",
        )
    )


@contextmanager
def _sigterm_raises() -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may install a handler
        return

    terminated = False

    def stop(_number: int, _frame: FrameType | None) -> NoReturn:
        nonlocal terminated
        terminated = True
        raise _Terminated

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    except SystemExit:
        if not terminated:
            raise
    finally:
        signal.signal(signal.SIGTERM, before)
    if terminated:  # and the exception lost: see `instglow.training.interrupt`
        raise _Terminated


if __name__ == "__main__":
    sys.exit(main())
