"""`instglow add-prior NAME`: register a trained prior; no other is touched or retrained."""

from __future__ import annotations

from pathlib import Path

from instglow.cli.parser import Parser
from instglow.families.authors import load_authors
from instglow.registry import Registry, Source, validate_name
from instglow.training.publish import newest_checkpoint, publish


def run(argv: list[str], prog: str) -> None:
    """Parse, add, say where."""
    arguments = _parser(prog).parse_args(argv)
    name = validate_name(arguments.name)
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


def _parser(prog: str) -> Parser:
    parser = Parser(
        prog=prog,
        description="Register a trained prior under the name of its instrument. Without an option: "
        "the best checkpoint of the newest run of `instglow fit` in ./runs/NAME.",
    )
    parser.add_argument("name", metavar="NAME")
    source = parser.add_mutually_exclusive_group()
    source.add_argument(
        "--checkpoint", type=Path, metavar="FILE", help="a checkpoint that `instglow fit` wrote"
    )
    source.add_argument(
        "--from-authors",
        type=Path,
        metavar="DIR",
        help="G_*.pth and config.json as the paper's authors publish them",
    )
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
