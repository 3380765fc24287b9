"""`instglow add-prior NAME`: register a prior, training it first if asked; no other is touched."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

from instglow.cli.parsers import MINUTES
from instglow.errors import ConfigError
from instglow.registry import Registry, Source, validate_name
from instglow.registry.authors import load_authors
from instglow.training.publish import newest_checkpoint, publish


def run(arguments: Namespace) -> None:
    """Add, say where."""
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
