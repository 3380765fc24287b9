"""From the scores of songs to the figures of a table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from statistics import fmean, median
from typing import Any

import numpy as np

from instglow.evaluation.bss import ACCOMPANIMENT, COLUMNS, MUSEVAL, Scores
from instglow.evaluation.results import SongResult

ALL = "all"
_RESAMPLES = 2000
_SEED = 0


def summarise(songs: Iterable[SongResult]) -> dict[str, dict[str, Any]]:
    """Stem -> figures over songs; "all" pools every stem of every song, not the sum of all others.

    For each figure F of the scores: median_F, mean_F, and of the improvements mean_F_i and
    median_F_i. `ci95` is the bootstrap interval of mean_sdr, drawn over songs; None of one song.
    `left_out`: figure -> segments without a number, which no mean or median holds; frames too.
    """
    songs = list(songs)
    per_song = [song.scores() for song in songs]
    counts = [song.left_out() for song in songs]
    found = {stem for scores in per_song for stem in scores}
    stems = sorted(found - {ACCOMPANIMENT})
    groups = {stem: [stem] for stem in [*stems, *sorted(found & {ACCOMPANIMENT})]}
    a_sum = len(stems) > 1 and "vocals" in stems  # of other stems, not a stem by itself
    groups[ALL] = stems if a_sum else sorted(found)
    return {
        name: _figures([[scores[stem] for stem in group if stem in scores] for scores in per_song])
        | {"left_out": dict(sum((Counter(c.get(s)) for c in counts for s in group), Counter()))}
        for name, group in groups.items()
    }


def _figures(per_song: Sequence[Sequence[dict[str, float | None]]]) -> dict[str, Any]:
    """One list of scores for each song."""
    row: dict[str, Any] = {"songs": sum(bool(scores) for scores in per_song)}
    for figure in figures(row for song in per_song for row in song):
        values = [v for song in per_song for v in _values(song, figure)]
        row[f"median_{figure}"] = median(values) if values else None
        row[f"mean_{figure}"] = fmean(values) if values else None
    row["ci95"] = _interval([_values(song, "sdr") for song in per_song])
    return row


def figures(rows: Iterable[Scores]) -> list[str]:
    """The columns of a table of scores: those of museval only where they were asked for."""
    return [*COLUMNS, *(MUSEVAL if any(MUSEVAL[0] in row for row in rows) else ())]


def _values(scores: Sequence[dict[str, float | None]], figure: str) -> list[float]:
    return [value for row in scores if (value := row[figure]) is not None]


def _interval(per_song: Sequence[Sequence[float]]) -> list[float] | None:
    """95 % of the means that as many songs, drawn with replacement, have."""
    from scipy.stats import bootstrap  # a second that only a summary needs

    songs = [values for values in per_song if values]
    if len(songs) < 2:
        return None
    totals, counts = np.array([(sum(values), len(values)) for values in songs], float).T
    found = bootstrap(
        (totals, counts),
        lambda total, count, axis: total.sum(axis) / count.sum(axis),
        paired=True,
        n_resamples=_RESAMPLES,
        method="percentile",
        rng=np.random.default_rng(_SEED),
    ).confidence_interval
    return [float(found.low), float(found.high)]
