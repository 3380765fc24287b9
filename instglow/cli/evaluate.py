"""`instglow evaluate DATASET --priors a,b,c`: separate songs whose stems are known, and score."""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from instglow.api import parse_priors
from instglow.cli.outputs import outputs
from instglow.cli.search_options import adapted
from instglow.cli.stem_files import stem_files
from instglow.data.datasets import open_dataset
from instglow.devices import resolve, use_idle_cores
from instglow.errors import ConfigError, DataError
from instglow.evaluation.bss import MUSEVAL
from instglow.evaluation.catalogue import Request, method
from instglow.evaluation.method import Method
from instglow.evaluation.report import report, table, to_csv
from instglow.evaluation.results import SongResult
from instglow.evaluation.run import Plan, evaluate
from instglow.evaluation.source_only import SourceOnly
from instglow.files import check_writable, write_text
from instglow.names import OWN
from instglow.registry import Registry


@dataclass(frozen=True)
class Evaluated:
    """What was measured.

    Attributes:
        plan: of the evaluation.
        reports: of `report`, one for each method.
        songs: by method.
    """

    plan: Plan
    reports: list[dict[str, Any]]
    songs: dict[str, list[SongResult]]


_MUSEVAL = tuple(f"median_{figure}" for figure in MUSEVAL)
_SUM = -20.0  # dB; below it, what lossy encoding does to a mixture


def run(arguments: Namespace) -> None:
    """Measure method by method, write and print the figures."""
    device = resolve(arguments.device)
    if device.type == "cpu":
        use_idle_cores()
    keep_audio = _check_targets(arguments)
    names = stem_files(arguments.stems) if arguments.stems else None
    songs = open_dataset(arguments.dataset, arguments.split, names, arguments.align)
    chosen = parse_priors(arguments.priors) if arguments.priors is not None else {}
    out = arguments.out or Path("evaluations") / arguments.dataset.resolve().name
    check_writable(out / "scores")
    plan = Plan(
        songs,
        out,
        tuple(chosen) or None,
        arguments.segment,
        arguments.seconds,
        arguments.remix,
        keep_audio,
        arguments.museval or arguments.figure in _MUSEVAL,
    )
    wanted = list(dict.fromkeys(arguments.method or [OWN]))
    request = Request(
        Registry.default(arguments.registry),
        chosen,
        arguments.preset,
        lambda preset: adapted(preset, arguments),
        _weights(arguments.weights, wanted),
        Path.cwd(),
        device,
    )
    methods = [method(name, request) for name in wanted]
    absent = [stem for stem in chosen if all(stem not in song.stems for song in songs.songs)]
    if 0 < len(absent) < len(chosen):  # of none at all, that there is nothing to score is said
        print(f"instglow: no song of {songs.name} has {', '.join(absent)}", file=sys.stderr)
    for name, reason in songs.skipped.items():
        print(f"instglow: {name} is left out: {reason}", file=sys.stderr)
    for song in songs.songs:
        if song.note:
            print(f"instglow: {song.name}: {song.note}", file=sys.stderr)
    results = {one.name: _measure(one, plan, arguments.quiet) for one in methods}
    reports = [report(one, _preset(one), plan, *results[one.name]) for one in methods]
    for name, level in _residuals(reports).items():
        print(
            f"instglow: {name}: its mixture is not the sum of its stems (the rest is at "
            f"{level:.1f} dB of the mixture); --remix separates the sum of the stems instead",
            file=sys.stderr,
        )
    print(table(reports, arguments.figure))
    by_method = {name: found for name, (found, _) in results.items()}
    _write(arguments, Evaluated(plan, reports, by_method))


def _measure(one: Method, plan: Plan, quiet: bool) -> tuple[list[SongResult], dict[str, str]]:
    total = sum(len(plan.cuts(song)) for song in plan.songs.songs if plan.chosen(song))
    with tqdm(
        total=total, desc=one.name, unit="segment", disable=quiet, file=sys.stderr, leave=False
    ) as bar:

        def scored(song: str) -> None:
            bar.set_postfix(song=song, refresh=False)
            bar.update()

        results, skipped = evaluate(one, plan, scored)
    if not any(result.scores() for result in results):
        reasons = dict.fromkeys(skipped.values())  # each once, in order
        raise DataError(
            f"{one.name}: nothing to score in {plan.songs.name}: "
            + ("; ".join(reasons) or "no stem sounds")
        )
    for song, reason in skipped.items():
        if song not in plan.songs.skipped:
            print(f"instglow: {song} is left out of {one.name}: {reason}", file=sys.stderr)
    return results, skipped


def _residuals(reports: list[dict[str, Any]]) -> dict[str, float]:
    """Song -> how far its mixture is from the sum of its stems, in dB, where it is worth saying."""
    levels = {song["name"]: song["residual_db"] for one in reports for song in one["songs"]}
    return {song: dB for song, dB in levels.items() if dB is not None and dB > _SUM}


def _check_targets(arguments: Namespace) -> bool:
    """Refuse what could not be written before hours of separation, not after.

    Returns:
        Whether something is to be heard of every song.
    """
    if arguments.json and arguments.json == arguments.csv:
        raise ConfigError(f"--json and --csv both name {arguments.json}; give them a file each")
    for path in (arguments.json, arguments.csv):
        if path:
            check_writable(path)
    return any([output.check(arguments) for output in outputs("evaluate")])


def _write(arguments: Namespace, result: Evaluated) -> None:
    reports = result.reports
    if arguments.json:
        # one method is what most ask for: no list around it
        what = reports if len(reports) > 1 else reports[0]
        text = json.dumps(what, indent=2, allow_nan=False)
        write_text(arguments.json, text + "\n")
    if arguments.csv:
        write_text(arguments.csv, to_csv(reports))
    for output in outputs("evaluate"):
        output.write(arguments, result)


def _preset(one: Method) -> str | None:
    return one.preset_name if isinstance(one, SourceOnly) else None


def _weights(pairs: list[str], methods: list[str]) -> dict[str, Path]:
    weights = {}
    for pair in pairs:
        name, equals, path = pair.partition("=")
        if not equals or name not in methods:
            raise ConfigError(
                f"--weights {pair!r} is not METHOD=FILE with a method that is measured, which are: "
                f"{', '.join(methods)}"
            )
        weights[name] = Path(path)
    return weights
