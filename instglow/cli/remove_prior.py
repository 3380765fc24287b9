"""`instglow remove-prior NAME`: delete a prior from the registry."""

from __future__ import annotations

from argparse import Namespace

from instglow.registry import Registry


def run(options: Namespace) -> None:
    """Remove, print."""
    removed = Registry.default(options.registry).remove(options.name)
    print(f"removed {removed.path}")
    if removed.hides:
        print(f"prior {removed.name!r} is now {removed.hides[0]}")
