"""`instglow show-prior NAME`: the card of a prior and where it is."""

from __future__ import annotations

import json
from argparse import Namespace

from instglow.registry import Registry


def run(options: Namespace) -> None:
    """Find, print."""
    entry = Registry.default(options.registry).find(options.name)
    card = entry.require_card()
    if options.json:
        found = {
            "name": entry.name,
            "path": str(entry.path),
            "layer": entry.layer,
            "hides": [str(path) for path in entry.hides],
            "card": card.to_dict(),
        }
        print(json.dumps(found, indent=2))
        return
    print(f"# {entry.layer}: {entry.path}")
    for path in entry.hides:
        print(f"# hides {path}")
    print(card.to_yaml(), end="")
