"""An evaluation as JSON, as CSV and as a table to read."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

from instglow import __version__
from instglow.evaluation.bss import ACCOMPANIMENT, FIGURES
from instglow.evaluation.method import Method
from instglow.evaluation.results import SongResult
from instglow.evaluation.run import Plan
from instglow.evaluation.summary import ALL, summarise

_COLUMNS = [*FIGURES, *(f"{figure}_i" for figure in FIGURES)]


def report(
    method: Method,
    preset: str | None,
    plan: Plan,
    results: Sequence[SongResult],
    skipped: Mapping[str, str],
) -> dict[str, Any]:
    """One method on one dataset, as plain values; what time a run took is not part of it.

    Args:
        method: that separated.
        preset: of the search; None for a method without one.
        plan: what was measured.
        results: of `evaluate`.
        skipped: song -> why it was left out.
    """
    stems = {song.name: plan.chosen(song) for song in plan.songs.songs}
    settings = [method.settings(stems[result.name]) for result in results]
    priors = {
        stem: about["prior"] for part in settings for stem, about in part.get("priors", {}).items()
    }
    return {
        "dataset": plan.songs.name,
        "preset": preset,
        "method": method.name,
        "priors": priors,
        "instglow": __version__,
        "segment": plan.segment,
        "excerpt": plan.excerpt,
        "remix": plan.remix,
        "songs": [
            {
                "name": result.name,
                "seconds": result.seconds,
                "silent": result.silent,
                "scores": result.scores(),
            }
            for result in results
        ],
        "skipped": dict(skipped),
        "summary": summarise(results),
    }


def to_csv(reports: Sequence[Mapping[str, Any]]) -> str:
    """A line for every method, song and stem; an undefined figure is empty."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["dataset", "method", "preset", "song", "seconds", "stem", *_COLUMNS])
    for one in reports:
        for song in one["songs"]:
            for stem, scores in song["scores"].items():
                about = [one["dataset"], one["method"], one["preset"] or "", song["name"]]
                figures = [scores[column] for column in _COLUMNS]
                writer.writerow([*about, song["seconds"], stem, *figures])
    return text.getvalue()


def table(reports: Sequence[Mapping[str, Any]], figure: str = "mean_sdr") -> str:
    """Methods down, stems across, as Markdown; the interval is that of `mean_sdr` over all."""
    found = {stem for one in reports for stem in one["summary"]}
    stems = [
        *sorted(found - {ALL, ACCOMPANIMENT}),
        *([ACCOMPANIMENT] if ACCOMPANIMENT in found else []),
        ALL,
    ]
    lines = [
        f"| {figure.replace('_', ' ')}, dB | {' | '.join(stems)} |",
        "|---|" + "---:|" * len(stems),
    ]
    for one in reports:
        cells = [_cell(one["summary"].get(stem), figure) for stem in stems]
        interval = one["summary"][ALL]["ci95"]
        if interval and figure == "mean_sdr":
            cells[-1] += f" ({interval[0]:.2f} … {interval[1]:.2f})"
        lines.append(f"| {one['method']} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _cell(row: Mapping[str, Any] | None, figure: str) -> str:
    return "–" if row is None or row[figure] is None else f"{row[figure]:.2f}"
