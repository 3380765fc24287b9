"""The recordings of a source: what cannot be used is left out, a part of the rest is held out."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from lightning.pytorch.utilities import rank_zero_only
from torch import Tensor
from tqdm import tqdm

from instglow.data.cache import Cache
from instglow.data.recording import Decoded, Recording
from instglow.data.segments import Gate, Solo, SoloSegments
from instglow.data.solo import SoloSource, Split
from instglow.errors import AudioError, DataError, DependencyError

_PATIENCE = 3.0  # seconds of decoding before progress is shown
_SHORTEST = 1 / 20  # of a segment; what is shorter is no recording
_NAMED = 3  # recordings left out for one reason; the others are counted
_GROUP = 10  # recordings, of which one is held out


class Loaded(NamedTuple):
    """What became of the recordings of a source.

    Attributes:
        segments: of each split.
        notes: lines for the user: what was left out and why.
    """

    segments: dict[Split, SoloSegments]
    notes: list[str]


def load(
    source: SoloSource,
    splits: Sequence[Split],
    sample_rate: int,
    samples: int,
    gate: Gate,
    cache: Cache | None,
) -> Loaded:
    """The segments of a source, of which none is in two splits.

    A recording that is broken, silent, shorter than a twentieth of a segment or equal to another
    one is left out. Where the source has no held-out recordings of its own, `divide` chooses some.

    Args:
        source: of the recordings.
        splits: wanted; one that is not wanted is not decoded where the source can tell it.
        sample_rate: Hz.
        samples: of a segment.
        gate: which segments are silent.
        cache: where decoded recordings are kept; None decodes them into memory.

    Raises:
        DataError: where nothing is left to train on, or to hold out.
    """
    reader = _Reader(sample_rate, samples, gate, cache)
    solos: dict[Split, list[Solo]] = {}
    trouble = cache.trouble if cache else None
    # first, so that a copy in both splits is left out of the training, whatever splits are wanted
    if held_out := list(source.recordings("held-out", sample_rate)):
        solos["held-out"] = reader.usable(held_out, "held out")
        if "train" in splits:
            train = list(source.recordings("train", sample_rate))
            solos["train"] = reader.usable(train, "to train on")
    else:
        train = list(source.recordings("train", sample_rate))
        solos["train"], solos["held-out"] = divide(
            reader.usable(train, "to train on"), samples, gate
        )
    segments = {split: SoloSegments(solos[split], samples) for split in splits}
    notes = [f"left out {line}" for line in reader.left_out()]
    if notes:
        used = " and ".join(
            f"{counted(found.recordings, found.total / sample_rate)} {_WORDS[split]}"
            for split, found in segments.items()
        )
        notes.append(f"{reader.refused} of {reader.count} recordings are left out; {used}")
    if cache and cache.trouble and not trouble:  # once
        notes.append(
            f"nothing can be kept in the cache {str(cache.folder)!r} ({cache.trouble}), so "
            "recordings are held in memory; make room, or name another with --data.cache"
        )
    return Loaded(segments, notes)


def divide(solos: Sequence[Solo], samples: int, gate: Gate) -> tuple[list[Solo], list[Solo]]:
    """Recordings to train on, and those held out.

    Of every ten recordings that fill a segment, one is held out, of fewer than ten too: the
    shortest, or of equally long ones the last. Where a single recording fills one, its end is held
    out, a tenth or a segment. Shorter recordings count where none fills a segment.

    Args:
        solos: usable ones, at least one.
        samples: of a segment.
        gate: which segments are silent.

    Raises:
        DataError: for a single recording that is too short to be divided.
    """
    lengths = [solo.wave.shape[-1] for solo in solos]
    numbers = range(len(solos))
    filling = [number for number in numbers if lengths[number] >= samples] or list(numbers)
    if len(filling) > 1:
        whole = len(filling) // _GROUP * _GROUP or len(filling)
        groups = [filling[first : first + _GROUP] for first in range(0, whole, _GROUP)]
        chosen = {min(reversed(group), key=lengths.__getitem__) for group in groups}
        return (
            [solos[number] for number in numbers if number not in chosen],
            [solos[number] for number in sorted(chosen)],
        )
    (number,) = filling
    wave, starts = solos[number]
    sounding = wave[:, int(starts[0]) : int(starts[-1]) + samples]
    length = sounding.shape[-1]
    cut = max(length - max(length // _GROUP, samples), length // 2)
    start, end = (Solo.of(part, samples, gate) for part in sounding.tensor_split([cut], -1))
    if not (len(start.starts) and len(end.starts)):
        raise DataError("a single recording is too short to hold its end out; add recordings")
    return [start, *solos[:number], *solos[number + 1 :]], [end]


def counted(recordings: int, seconds: float) -> str:
    """-> "1 recording (2.0 s)"; an unknown length, 0, is left out."""
    lasting = f" ({seconds:.1f} s)" if seconds else ""
    return f"{recordings} recording{'s' * (recordings != 1)}{lasting}"


def say(notes: Iterable[str]) -> None:
    """Lines on stderr; of several processes only the first prints them."""
    for note in notes:
        rank_zero_only(print)(f"instglow: {note}", file=sys.stderr)


_WORDS: dict[Split, str] = {"train": "to train on", "held-out": "held out"}


class _Reader:
    """Decodes recordings, and remembers those that cannot be used.

    Args:
        sample_rate: Hz.
        samples: of a segment.
        gate: which segments are silent.
        cache: see `load`.
    """

    def __init__(self, sample_rate: int, samples: int, gate: Gate, cache: Cache | None) -> None:
        self.sample_rate, self.samples = sample_rate, samples
        self.gate, self.cache = gate, cache
        self.count = self.refused = 0
        self._names: dict[str, str] = {}  # by digest
        self._left_out: dict[str, list[tuple[str, float]]] = {}  # names and seconds, by reason

    def usable(self, recordings: Sequence[Recording | Tensor], what: str) -> list[Solo]:
        """Those that can be used, or a DataError that says what they are."""
        bar = tqdm(
            recordings,
            desc=f"reading recordings {what}",
            unit="recording",
            delay=_PATIENCE,
            leave=False,
            disable=not _is_first(),
            file=sys.stderr,
        )
        solos = [solo for recording in bar if (solo := self._usable(recording))]
        if not solos:
            reasons = list(self.left_out())
            more = f" and {len(reasons) - _NAMED} more" if len(reasons) > _NAMED else ""
            raise DataError(
                f"no recording {what} can be used; add some or replace them; left out: "
                f"{', '.join(reasons[:_NAMED])}{more}"
            )
        return solos

    def left_out(self) -> Iterator[str]:
        """How many recordings and seconds, and which, by reason."""
        for reason, found in self._left_out.items():
            names = [name for name, _ in found if name]
            more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
            named = f" ({', '.join(names[:_NAMED])}{more})" if names else ""
            yield f"{counted(len(found), sum(seconds for _, seconds in found))}: {reason}{named}"

    def _usable(self, recording: Recording | Tensor) -> Solo | None:
        self.count += 1
        if isinstance(recording, Tensor):
            name = f"recording {self.count}"
        else:
            name = str(recording.files[0])
        try:
            decoded = self._decoded(recording)
        except (AudioError, DataError, DependencyError) as error:
            self._leave_out(str(error))  # it names the file; nobody knows its length
            return None
        wave, digest = decoded
        seconds, least = (n / self.sample_rate for n in (wave.shape[-1], _SHORTEST * self.samples))
        if seconds < least:
            self._leave_out(f"shorter than {least:.2f} s", name, seconds)
        elif not len((solo := self._solo(decoded)).starts):
            self._leave_out(f"silent, below {self.gate.floor:g} dBFS", name, seconds)
        elif digest in self._names:
            self._leave_out("the same sound twice", f"{name} is {self._names[digest]}", seconds)
        else:
            self._names[digest] = name
            return solo
        return None

    def _decoded(self, recording: Recording | Tensor) -> Decoded:
        if isinstance(recording, Tensor):
            return Decoded.of(recording)
        if self.cache:
            return self.cache.fetch(recording, self.sample_rate)
        return recording.decoded(self.sample_rate)

    def _solo(self, decoded: Decoded) -> Solo:
        measured = self.cache.levels(decoded, self.samples) if self.cache else None
        return Solo.of(decoded.wave, self.samples, self.gate, measured)

    def _leave_out(self, reason: str, name: str = "", seconds: float = 0.0) -> None:
        self.refused += 1
        self._left_out.setdefault(reason, []).append((name, seconds))


def _is_first() -> bool:
    return getattr(rank_zero_only, "rank", 0) == 0
