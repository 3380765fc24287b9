"""`instglow list-priors`: every prior, where it is, what it hides."""

from __future__ import annotations

import json
from argparse import Namespace
from typing import Any

from tabulate import tabulate

from instglow.registry import Entry, Registry


def run(options: Namespace) -> None:
    """Look, print."""
    entries = Registry.default(options.registry).list()
    print(json.dumps([as_json(e) for e in entries], indent=2) if options.json else table(entries))


def as_json(entry: Entry) -> dict[str, Any]:
    """Plain values; the keys are the same for every prior, sound or broken."""
    card = entry.card
    return {
        "name": entry.name,
        "family": card and card.family,
        "bytes": size(entry),
        "parameters": card and card.parameters,
        "frontend": card and card.frontend.to_dict(),
        "path": str(entry.path),
        "layer": entry.layer,
        "hides": [str(path) for path in entry.hides],
        "problem": entry.problem,
    }


def table(entries: list[Entry]) -> str:
    """Columns, and below them a line for every broken prior."""
    if not entries:
        return "no priors yet; `instglow fit` trains one, `instglow add-prior` registers one"
    head = ("name", "family", "MB", "parameters", "frontend", "where", "hides")
    alignment = ["right" if column in ("MB", "parameters") else "left" for column in head]
    rows = [_row(entry) for entry in entries]
    text = tabulate(rows, head, "plain", disable_numparse=True, colalign=alignment)
    problems = [f"{entry.name}: {entry.problem}" for entry in entries if entry.problem]
    return "\n".join([text, *([""] if problems else []), *problems])


def size(entry: Entry) -> int | None:
    """Bytes of the weights file, None where there is none to speak of."""
    try:
        return (entry.path / entry.card.weights).stat().st_size if entry.card else None
    except OSError:
        return None


def _row(entry: Entry) -> tuple[str, ...]:
    where = f"{entry.layer}: {entry.path}"
    hides = ", ".join(map(str, entry.hides)) or "-"
    card, bytes_ = entry.card, size(entry)
    if card is None:
        return (entry.name, "broken", "-", "-", "-", where, hides)
    frontend = card.frontend
    return (
        entry.name,
        card.family,
        "-" if bytes_ is None else f"{bytes_ / 1e6:.1f}",
        f"{card.parameters:,}",
        f"{frontend.sample_rate} Hz, {frontend.n_fft}/{frontend.hop_length}",
        where,
        hides,
    )
