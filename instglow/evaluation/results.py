"""What was measured, song by song, in files that outlive the run."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from instglow.evaluation.bss import Scores
from instglow.files import write_text


@dataclass
class SongResult:
    """The scores of one song, segment by segment.

    Attributes:
        name: of the song.
        key: of all that decides the scores; see `key_of`.
        segments: start in seconds -> {"seconds": length, "scores": stem -> scores or None}.
    """

    name: str
    key: str
    segments: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def seconds(self) -> float:
        """How much of the song was scored."""
        return sum(segment["seconds"] for segment in self.segments.values())

    @property
    def silent(self) -> int:
        """Stems of segments that were left out, because the true stem is silent there."""
        return sum(
            scores is None
            for segment in self.segments.values()
            for scores in segment["scores"].values()
        )

    def scores(self) -> dict[str, Scores]:
        """Stem -> figure -> median over the segments; a stem silent in all is left out."""
        rows: dict[str, list[Scores]] = {}
        for segment in self.segments.values():
            for stem, scores in segment["scores"].items():
                if scores is not None:
                    rows.setdefault(stem, []).append(scores)
        return {
            stem: {figure: _median([row[figure] for row in found]) for figure in found[0]}
            for stem, found in rows.items()
        }


def key_of(values: dict[str, Any]) -> str:
    """Plain values -> a short digest of them."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:16]


def load(path: Path, name: str, key: str) -> SongResult:
    """What an earlier run with the same key has scored; without one, a result yet empty."""
    try:
        values = json.loads(path.read_text())
        if values["key"] == key:
            return SongResult(name, key, values["segments"])
    except (OSError, ValueError, KeyError, TypeError):
        pass  # none, half-written by another program, or of something else: measure anew
    return SongResult(name, key)


def save(path: Path, result: SongResult) -> None:
    """Write the scores, or, where that fails, leave what was there."""
    segments = {start: result.segments[start] for start in sorted(result.segments, key=float)}
    text = json.dumps({"name": result.name, "key": result.key, "segments": segments}, indent=1)
    write_text(path, text + "\n")


def _median(values: list[float | None]) -> float | None:
    numbers = [value for value in values if value is not None]
    return median(numbers) if numbers else None
