"""All recordings of a source, out of the cache; the broken ones named and left out."""

from __future__ import annotations

import sys

from lightning.pytorch.utilities import rank_zero_only
from torch import Tensor
from tqdm import tqdm

from instglow.data.cache import Cache
from instglow.data.recording import Recording, to_int16
from instglow.data.solo import SoloSource, Split
from instglow.errors import AudioError, DataError, DependencyError

_PATIENCE = 3.0  # seconds of decoding before progress is shown


def load(source: SoloSource, split: Split, sample_rate: int, cache: Cache | None) -> list[Tensor]:
    """Every recording of a split, in the order of the source.

    What is broken is left out: a line on stderr for each, and a count at the end. Of several
    processes only the first says so and shows progress.

    Args:
        source: of the recordings.
        split: which of them.
        sample_rate: Hz.
        cache: where decoded recordings are kept; None decodes them into memory.

    Returns:
        Each (samples,) int16 mono, full scale ±32767; mapped from disk if there is a cache.

    Raises:
        DataError: where every recording is broken.
    """
    first = getattr(rank_zero_only, "rank", 0) == 0
    trouble = cache.trouble if cache else None
    found = [
        recording if isinstance(recording, Recording) else to_int16(recording)
        for recording in source.recordings(split, sample_rate)
    ]
    waves: list[Tensor] = []
    broken: list[str] = []
    bar = tqdm(
        found,
        desc=f"reading recordings ({split})",
        unit="recording",
        delay=_PATIENCE,
        leave=False,
        disable=not first,
        file=sys.stderr,
    )
    for recording in bar:
        try:
            waves.append(_int16(recording, sample_rate, cache))
        except (AudioError, DataError, DependencyError) as error:  # noqa: PERF203 - one each
            broken.append(str(error))
    if broken and not waves:
        raise DataError(
            f"none of the {len(broken)} recordings ({split}) can be used, replace or remove them; "
            f"{broken[0]}"
        )
    if first:
        for reason in broken:
            _say(f"left out: {reason}")
        if broken:
            _say(f"{len(broken)} of {len(found)} recordings ({split}) are left out")
        if cache and cache.trouble and not trouble:  # once
            _say(
                f"nothing can be kept in the cache {str(cache.folder)!r} ({cache.trouble}), so "
                "recordings are held in memory; make room, or name another with --data.cache"
            )
    return waves


def _say(what: str) -> None:
    print(f"instglow: {what}", file=sys.stderr)


def _int16(recording: Recording | Tensor, sample_rate: int, cache: Cache | None) -> Tensor:
    if isinstance(recording, Tensor):
        return recording
    if cache:
        return cache.fetch(recording, sample_rate)
    return to_int16(recording.wave(sample_rate))
