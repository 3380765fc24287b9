"""`instglow likelihood PRIORS DATASET`: how likely each prior finds each instrument's solos."""

from __future__ import annotations

import json
import sys
from argparse import Namespace

from tabulate import tabulate
from tqdm import tqdm

from instglow.api import load_priors
from instglow.cli.outputs import outputs
from instglow.devices import resolve
from instglow.errors import OutputError, require
from instglow.evaluation.likelihood import LikelihoodTable, measure
from instglow.evaluation.solos import SoloSet, open_solos
from instglow.files import check_writable, write_text
from instglow.registry import Registry


def run(arguments: Namespace) -> None:
    """Measure, print, write."""
    _check(arguments)
    device = resolve(arguments.device)
    loaded = load_priors(arguments.priors, Registry.default(arguments.registry))
    priors = {name: prior.to(device) for name, prior in loaded.items()}
    solos = open_solos(arguments.dataset, list(priors), arguments.split)
    total = len(priors) * len(solos.instruments) * arguments.segments or None
    with tqdm(
        total=total,
        desc=solos.name,
        unit="segment",
        disable=arguments.quiet,
        file=sys.stderr,
        leave=False,
    ) as bar:
        table = measure(
            priors,
            solos,
            arguments.seconds,
            arguments.segments,
            seed=arguments.seed,
            on_segment=bar.update,
            device=device,
        )
    for what, reason in solos.skipped.items():
        print(f"instglow: {what} is left out: {reason}", file=sys.stderr)
    print(as_text(table))
    print()
    print("\n".join(findings(table, solos)))
    _write(arguments, table, solos)


def as_text(table: LikelihoodTable) -> str:
    """Medians: a row for each prior, a column for each instrument; own ones with a star."""
    names = table.instruments
    rows = [
        [
            prior,
            *(
                f"{table.median(prior, n):.3f}{'*' * (n == prior)}" if n in row else "-"
                for n in names
            ),
        ]
        for prior, row in table.values.items()
    ]
    rows.append(["likeliest", *map(table.likeliest, names)])
    rows.append(["segments", *(str(len(table.values[table.likeliest(n)][n])) for n in names)])
    alignment = ["left", *["right"] * len(names)]
    text = tabulate(rows, ["prior", *names], "plain", disable_numparse=True, colalign=alignment)
    return f"median bits per dimension, lower is likelier; * own instrument\n{text}"


def findings(table: LikelihoodTable, solos: SoloSet) -> list[str]:
    """A sentence for each prior that is not discriminative, or one that all are."""
    rivals: dict[str, list[str]] = {}
    for prior, instrument, gap in table.not_discriminative():
        rivals.setdefault(prior, []).append(f"{instrument} (by {gap:.3f} bits)")
    sentences = [
        f"prior {prior!r} is not discriminative: it finds solos of {_listed(rivals[prior])} "
        f"at least as likely as those of {prior}"
        for prior in table.values
        if prior in rivals
    ]
    without = table.without_own()
    if not rivals and len(without) < len(table.values) and len(table.instruments) > 1:
        sentences.append(
            "every prior is discriminative: the solos of its own instrument are its likeliest"
        )
    sentences += [
        f"prior {prior!r} was measured without solos of its own: {solos.name} has none of {prior}"
        for prior in without
    ]
    missing = [name for name in solos.instruments if name not in table.instruments]
    sentences += [f"no segment of {name} is loud and long enough: left out" for name in missing]
    return sentences


def _listed(items: list[str]) -> str:
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}"


def _write(arguments: Namespace, table: LikelihoodTable, solos: SoloSet) -> None:
    if arguments.json:
        about = {
            "dataset": solos.name,
            "seconds": arguments.seconds,
            "segments": arguments.segments,
            "seed": arguments.seed,
        }
        write_text(arguments.json, json.dumps({**about, **table.to_dict()}, indent=2) + "\n")
    for output in outputs("likelihood"):
        output.write(arguments, (solos.name, table))


def _check(arguments: Namespace) -> None:
    """Refuse what makes no sense, or could not be written, before anything is measured."""
    seconds, segments, seed = arguments.seconds, arguments.segments, arguments.seed
    require(0 < seconds <= 60, "seconds", "above 0 and at most 60", seconds)
    require(segments >= 0, "segments", "at least 1, or 0 for all", segments)
    require(0 <= seed < 2**32, "seed", "between 0 and 2^32 - 1", seed)
    for output in outputs("likelihood"):
        output.check(arguments)
    if arguments.json:
        check_writable(arguments.json)
    if arguments.json and arguments.json.exists() and not arguments.overwrite:
        raise OutputError(
            f"{arguments.json} exists already; pass --overwrite, or name another file"
        )
