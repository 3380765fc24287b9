"""How the options of `instglow fit` are read."""

from __future__ import annotations

import difflib
import re
from typing import Any, NoReturn

from lightning.pytorch.cli import LightningArgumentParser

from instglow.errors import ConfigError
from instglow.training.configs import with_bases
from instglow.training.failures import causes

_CONFIG = ("--config", "-c")
_UNKNOWN = re.compile(
    r"unrecognized arguments: --(?P<typed>[\w.]+)"
    r"|[Oo]ption '(?P<part>[\w.]+)' is not accepted|does not accept option '(?P<group>[\w.]+)'"
)
"""How argparse and jsonargparse say that there is no such option."""


class TrainParser(LightningArgumentParser):
    """Says in one line what is wrong; the arguments of a prior, say, have such a parser too."""

    def parse_args(self, args: list[str], **kwargs: Any) -> Any:  # type: ignore[override]
        """As jsonargparse, which hands the null of an option on to an inner parser as "None"."""
        words = [re.sub(r"^(--[^=]+)=None$", r"\1=null", word) for word in args]
        return super().parse_args(words, **kwargs)

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Raise what the inner parser at fault said; name the option that was probably meant."""
        for cause in causes(ex):
            if isinstance(cause, ConfigError):
                raise cause
        reason = " ".join(str(message).split())
        if unknown := _UNKNOWN.search(reason):
            option = unknown[unknown.lastindex or 0]
            parser = getattr(ex, "subcommand_parser", self)
            known = [name.lstrip("-") for name in parser._option_string_actions]
            near = difflib.get_close_matches(option, known, n=1)
            reason = f"no option {option!r}" + (f", perhaps {near[0]!r} is meant" if near else "")
        raise ConfigError(f"{reason}; see `instglow fit --help`") from ex


def in_order(argv: list[str]) -> list[str]:
    """Configurations first, then whole sections, then single options: each overrides what is before
    it, wherever it was typed. A configuration that the working directory lacks is one of ours."""
    options: list[list[str]] = [[]]
    for word in argv:
        name, equals, value = word.partition("=")
        if name in _CONFIG:
            options.append([name, value] if equals else [name])
        elif name == "--base":
            raise ConfigError("--base is for configuration files; name it as a first --config")
        elif re.match("--|-[a-z]", word):
            options.append([word])
        else:
            options[-1].append(word)

    def rank(option: list[str]) -> int:
        if not option or option[0] in _CONFIG:
            return 0
        return 2 if "." in option[0].partition("=")[0] else 1

    read: set[str] = set()
    for option in options:
        if option and option[0] in _CONFIG:
            files = [file for name in option[1:] for file in with_bases(name)]
            # a base that two of them share is not to undo what the first changes in it
            new = [file for file in files if file not in read or file == files[-1]]
            read.update(files)
            option[1:] = [word for file in new for word in ("--config", file)][1:]
    return [word for option in sorted(options, key=rank) for word in option]
