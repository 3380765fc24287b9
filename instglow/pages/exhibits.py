"""What an evaluation kept to listen to, song by song, for the page and the dashboard."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from instglow.audio.io import read
from instglow.evaluation.results import SongResult
from instglow.evaluation.run import Plan
from instglow.pages.listening import Estimates, Exhibit


def exhibits(plan: Plan, results: Mapping[str, Sequence[SongResult]]) -> Iterator[Exhibit]:
    """The first segment of every song, by every method that scored it.

    Args:
        plan: with `keep_audio`.
        results: by method.
    """
    for song in plan.songs.songs:
        estimates = []
        for method, rows in results.items():
            row = next((row for row in rows if row.name == song.name), None)
            if row is None or not row.segments:
                continue
            paths = plan.audio(method, song, plan.chosen(song))
            stems = {name: read(path)[0] for name, path in paths.items() if path.exists()}
            scores = row.segments[min(row.segments, key=float)]["scores"]
            shown = {stem: one for stem, one in scores.items() if one is not None}
            estimates.append(Estimates(method, stems, shown))
        if estimates:
            start, count = plan.cuts(song)[0]
            excerpt = plan.read(song, start, count)
            truth = {name: excerpt.stems[name] for name in plan.chosen(song)}
            yield Exhibit(song.name, song.sample_rate, excerpt.mixture, truth, estimates)
