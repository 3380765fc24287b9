"""An evaluation as JSON, as CSV and as a table to read."""

from __future__ import annotations

import csv
import io
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from tabulate import tabulate

from instglow import __version__
from instglow.evaluation.bss import ACCOMPANIMENT
from instglow.evaluation.method import Method
from instglow.evaluation.results import SongResult
from instglow.evaluation.run import Plan
from instglow.evaluation.summary import ALL, figures, summarise

_LONGEST = 60  # characters of a cell


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
        "trained_on": _every(settings, "trained_on"),
        "licence": _every(settings, "licence"),
        "instglow": __version__,
        "segment": plan.segment,
        "excerpt": plan.excerpt,
        "remix": plan.remix,
        "songs": [
            {
                "name": result.name,
                "seconds": result.seconds,
                "silent": result.silent,
                "residual_db": result.residual,
                "scores": result.scores(),
                "left_out": result.left_out(),
            }
            for result in results
        ],
        "skipped": dict(skipped),
        "summary": summarise(results),
    }


def _every(settings: Sequence[Mapping[str, Any]], key: str) -> list[str]:
    """What a method's weights, or those of its priors, say of themselves, once each."""
    weights = [w for one in settings for w in (one, *one.get("priors", {}).values())]
    return list(dict.fromkeys(value for one in weights for value in one.get(key, ())))


def columns(reports: Sequence[Mapping[str, Any]]) -> list[str]:
    """The figures that some method has."""
    return figures(
        row for one in reports for song in one["songs"] for row in song["scores"].values()
    )


def rows(reports: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """One for every method, song and stem; None for a figure that is infinite or undefined."""
    return [
        {
            **{key: one[key] for key in ("dataset", "method", "preset")},
            "trained_on": "; ".join(one["trained_on"]),
            "licence": "; ".join(one["licence"]),
            "song": song["name"],
            "seconds": song["seconds"],
            "residual_db": song["residual_db"],
            "stem": stem,
            **{figure: scores.get(figure) for figure in columns(reports)},
            "left_out": "; ".join(f"{f} {n}" for f, n in song["left_out"].get(stem, {}).items()),
        }
        for one in reports
        for song in one["songs"]
        for stem, scores in song["scores"].items()
    ]


def to_csv(reports: Sequence[Mapping[str, Any]]) -> str:
    """`rows`; None is empty."""
    lines = rows(reports)
    text = io.StringIO()
    writer = csv.DictWriter(text, lines[0], lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    return text.getvalue()


def table(reports: Sequence[Mapping[str, Any]], figure: str = "mean_sdr") -> str:
    """Methods down, stems across, as Markdown; the interval is that of `mean_sdr` over all."""
    found = {stem for one in reports for stem in one["summary"]}
    stems = [
        *sorted(found - {ALL, ACCOMPANIMENT}),
        *([ACCOMPANIMENT] if ACCOMPANIMENT in found else []),
        ALL,
    ]
    head = [f"{figure.replace('_', ' ')}, dB", *stems, "trained on", "licence"]
    lines, notes = [], []
    for one in reports:
        cells = [_cell(one["summary"].get(stem), figure) for stem in stems]
        interval = one["summary"][ALL]["ci95"]
        if interval and figure == "mean_sdr":
            cells[-1] += f" ({interval[0]:.2f} … {interval[1]:.2f})"
        about = (_short("; ".join(one[key])) or "–" for key in ("trained_on", "licence"))
        lines.append([one["method"], *cells, *about])
        if count := one["summary"][ALL]["left_out"].get(_ratio_of(figure)):
            notes.append(f"{one['method']} {count}")
    alignment = ["left", *["right"] * len(stems), "left", "left"]
    text = tabulate(lines, head, "github", disable_numparse=True, colalign=alignment)
    if notes:
        what = "frames" if "frames" in figure else "segments of stems"
        text += f"\n\nleft out, as infinite or undefined ({what}): {', '.join(notes)}"
    return text


def _ratio_of(figure: str) -> str:
    """median_si_sdr -> si_sdr, as `SongResult.left_out` counts it."""
    ratio = figure.partition("_")[2]
    return "frames" if ratio == "sdr_frames" else ratio


def _cell(row: Mapping[str, Any] | None, figure: str) -> str:
    value = row.get(figure) if row else None
    return "–" if value is None else f"{round(value, 2) + 0.0:.2f}"  # no -0.00


def _short(text: str) -> str:
    return textwrap.shorten(text, _LONGEST, placeholder=" …")
