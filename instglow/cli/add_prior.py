"""`instglow add-prior NAME`: register a prior, training it first if asked; no other is touched."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

from instglow.cli.parser import Parser
from instglow.errors import ConfigError
from instglow.registry import Registry, Source, validate_name
from instglow.registry.authors import load_authors
from instglow.training.publish import newest_checkpoint, publish

MINUTES = 10.0
"""Of training that give a prior which separates, on two CPU cores; a GPU does more in them."""


def run(argv: list[str], prog: str) -> None:
    """Parse, add, say where."""
    arguments = _parser(prog).parse_args(argv)
    name = validate_name(arguments.name)
    if arguments.data:
        _train(name, arguments)
        return
    if arguments.init or arguments.minutes is not None or arguments.device != "auto":
        raise ConfigError("--init, --minutes and --device are for --data DIR, which is missing")
    registry = Registry.default(arguments.registry)
    sources = [Source(text, None, arguments.licence) for text in arguments.trained_on]
    if arguments.from_authors:
        folder = registry.add(
            name,
            load_authors(arguments.from_authors),
            licence=arguments.licence,
            trained_on=sources,
            training={"imported_from": "authors' checkpoint"},
            replace=arguments.replace,
        )
    else:
        checkpoint = arguments.checkpoint or newest_checkpoint(name, Path.cwd())
        folder = publish(
            checkpoint,
            registry,
            name,
            replace=arguments.replace,
            trained_on=sources,
            licence=arguments.licence,
        )
    print(f"added prior {name!r} in {folder}")


def _train(name: str, arguments: Namespace) -> None:
    # Lightning is slow to import and of no use to the other ways of adding
    from instglow.cli import train
    from instglow.training.recipe import Request, train_prior

    request = Request(
        name,
        arguments.data,
        arguments.init,
        MINUTES if arguments.minutes is None else arguments.minutes,
        arguments.device,
        arguments.registry,
        arguments.licence,
        tuple(arguments.trained_on or [f"recordings in {arguments.data.resolve().name}"]),
        arguments.replace,
    )
    train_prior(request, lambda words: train.run(words, "instglow fit"))


def _parser(prog: str) -> Parser:
    parser = Parser(
        prog=prog,
        description="Register a prior under the name of its instrument. Without an option, the "
        "best of the newest run of `instglow fit` in ./runs/NAME; with --data, a new prior.",
    )
    parser.add_argument("name", metavar="NAME")
    source = parser.add_mutually_exclusive_group()
    source.add_argument(
        "--checkpoint", type=Path, metavar="FILE", help="a checkpoint that `instglow fit` wrote"
    )
    source.add_argument(
        "--data", type=Path, metavar="DIR", help="train on the recordings of the instrument in DIR"
    )
    source.add_argument(
        "--from-authors",
        type=Path,
        metavar="DIR",
        help="G_*.pth and config.json as the paper's authors publish them",
    )
    training = parser.add_argument_group("training (--data)")
    training.add_argument(
        "--init", metavar="PRIOR", help="start from a registered prior: minutes of one player do"
    )
    training.add_argument(
        "--minutes", type=float, metavar="M", help=f"to train for, about (default: {MINUTES:g})"
    )
    parser.add_device()
    parser.add_argument(
        "--replace", action="store_true", help="replace a registered prior of that name"
    )
    parser.add_argument(
        "--trained-on", action="append", default=[], metavar="TEXT", help="recordings, for the card"
    )
    parser.add_argument(
        "--licence", default="unstated", metavar="TEXT", help="of the weights, for the card"
    )
    parser.add_registry()
    return parser
