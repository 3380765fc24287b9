"""`instglow remove-prior NAME`: delete a prior from the registry."""

from __future__ import annotations

from instglow.cli.parser import Parser
from instglow.registry import Registry


def run(argv: list[str], prog: str) -> None:
    """Parse, remove, print."""
    parser = Parser(prog=prog, description="Delete a prior from the first folder that has it.")
    parser.add_argument("name", metavar="NAME")
    parser.add_registry()
    options = parser.parse_args(argv)
    removed = Registry.default(options.registry).remove(options.name)
    print(f"removed {removed.path}")
    if removed.hides:
        print(f"prior {removed.name!r} is now {removed.hides[0]}")
