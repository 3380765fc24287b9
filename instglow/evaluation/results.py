"""What was measured, song by song, in files that outlive the run."""

from __future__ import annotations

import hashlib
import json
import sys
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from statistics import median
from typing import Any

from instglow.errors import AudioError
from instglow.evaluation.bss import FRAMES_LEFT_OUT, Scores
from instglow.files import write_text

_SAMPLE = 2**16  # bytes of a file's start, middle and end that tell it from another
_CODE = ("audio", "flows", "families", "separation", "data", "evaluation")


@dataclass
class SongResult:
    """The scores of one song, segment by segment.

    Attributes:
        name: of the song.
        key: of all that decides the scores; see `key_of`.
        segments: start in seconds -> {"seconds": length, "scores": stem -> scores or None,
            "residual": see `residual`}.
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

    @property
    def residual(self) -> float | None:
        """What the mixture is besides the sum of its stems, dB of the mixture, in the worst
        segment; None for nothing."""
        found = [segment["residual"] for segment in self.segments.values()]
        return max((value for value in found if value is not None), default=None)

    def scores(self) -> dict[str, Scores]:
        """Stem -> figure -> median over the segments; a stem silent in all is left out."""
        return {
            stem: {
                figure: _median([row[figure] for row in found])
                for figure in found[0]
                if figure != FRAMES_LEFT_OUT
            }
            for stem, found in self._rows().items()
        }

    def left_out(self) -> dict[str, dict[str, int]]:
        """Stem -> figure -> segments that have no number, where there are some; frames too."""
        counts: dict[str, Counter[str]] = {}
        for stem, rows in self._rows().items():
            counts[stem] = Counter(f for row in rows for f, value in row.items() if value is None)
            counts[stem]["frames"] = sum(int(row[FRAMES_LEFT_OUT] or 0) for row in rows)
        return {stem: dict(+count) for stem, count in counts.items() if +count}

    def _rows(self) -> dict[str, list[Scores]]:
        """Stem -> scores of the segments in which it sounds."""
        rows: dict[str, list[Scores]] = {}
        for segment in self.segments.values():
            for stem, scores in segment["scores"].items():
                if scores is not None:
                    rows.setdefault(stem, []).append(scores)
        return rows


def key_of(values: dict[str, Any]) -> str:
    """Plain values -> a short digest of them."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:16]


def identity(files: Iterable[Path]) -> list[list[Any]]:
    """What tells files from others, without reading all of them: name, size, time, a sample.

    Raises:
        AudioError: for one that is not there.
    """
    return [_identity(path) for path in files]


@cache
def code(module: str) -> str:
    """A digest of all code that decides scores: ours, and the package that a method's module is in.

    Args:
        module: of the class of the method.
    """
    root = Path(__file__).parents[1]
    own = Path(sys.modules[module].__file__ or "").parent
    digest = hashlib.sha256()
    for folder in sorted({*(root / name for name in _CODE), own}):
        for path in sorted(folder.rglob("*.py")):
            digest.update(f"{path.relative_to(folder)}\0".encode() + path.read_bytes())
    return digest.hexdigest()


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
    text = json.dumps(
        {"name": result.name, "key": result.key, "segments": segments}, indent=1, allow_nan=False
    )
    write_text(path, text + "\n")


def _identity(path: Path) -> list[Any]:
    try:
        status = path.stat()
        digest = hashlib.sha256()
        with path.open("rb") as file:
            for start in (0, status.st_size // 2, status.st_size - _SAMPLE):
                file.seek(max(0, start))
                digest.update(file.read(_SAMPLE))
    except OSError as error:
        raise AudioError(f"{path}: {error.strerror}; check the path") from None
    return [path.name, status.st_size, status.st_mtime_ns, digest.hexdigest()]


def _median(values: list[float | None]) -> float | None:
    numbers = [value for value in values if value is not None]
    return median(numbers) if numbers else None
