"""Solo recordings of one instrument as Lightning wants them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sized
from typing import Protocol, cast

import torch
from lightning.pytorch import LightningDataModule
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler, Subset

from instglow.data.cache import USER, Cache
from instglow.data.loading import load, say
from instglow.data.segments import Gate, spread
from instglow.data.solo import SoloSource, Split
from instglow.errors import require, require_seed


class Learner(Protocol):
    """What the module in training says of the segments that it wants."""

    @property
    def sample_rate(self) -> int:
        """Hz."""
        ...

    def segment(self, seconds: float) -> int:
        """-> samples of a segment of about so many seconds."""
        ...


def wanted(data: LightningDataModule, seconds: float) -> tuple[int, int]:
    """-> sample rate and samples of the segments that the module in training wants."""
    assert data.trainer is not None
    learner = cast(Learner, data.trainer.lightning_module)
    return learner.sample_rate, learner.segment(seconds)


def splits_of(stage: str) -> tuple[Split, ...]:
    """-> what a stage of the trainer needs."""
    return ("train", "held-out") if stage == "fit" else ("held-out",)


class SegmentData(LightningDataModule):
    """What data modules that cut segments from recordings share.

    Args:
        seconds: of one segment.
        batch_size: items a step, on each process.
        gate: which segments are silent.
        workers: processes that prepare batches; segments are only cut, so 0 does.
        seed: of the order; together with the epoch it decides it.
        cache: folder that decoded recordings are kept in, for this run and later ones; "user" is
            the user's cache folder, None decodes them into memory every time.

    Raises:
        ConfigError: for a number that is too small, or a seed that is too large.
    """

    def __init__(
        self,
        seconds: float,
        batch_size: int,
        gate: Gate,
        workers: int,
        seed: int,
        cache: str | None,
    ) -> None:
        super().__init__()
        require(seconds > 0, "data.seconds", "above 0", seconds)
        require(batch_size >= 1, "data.batch_size", "at least 1", batch_size)
        require(workers >= 0, "data.workers", "at least 0", workers)
        require_seed("data.seed", seed)
        self.seconds = seconds
        self.batch_size = batch_size
        self.gate = gate
        self.workers = workers
        self.seed = seed
        self.cache = cache

    def _loader(
        self, segments: Dataset[Tensor], sampler: Sampler[int] | None = None
    ) -> DataLoader[Tensor]:
        return DataLoader(
            segments,
            self.batch_size,
            sampler=sampler,
            num_workers=self.workers,
            persistent_workers=self.workers > 0,
        )


class SoloData(SegmentData):
    """Segments at the rate of the prior in training, (batch, channels, samples) full scale ±1.

    Channels are pooled in the spectrogram, as `separate` pools them.

    Args:
        source: where the recordings come from.
        seconds: of one segment.
        batch_size: segments a step, on each process.
        segments_per_epoch: drawn for one epoch; 0 takes every segment once.
        held_out_segments: measured in a validation at most, evenly spread over all that are held
            out; a test measures all.
        gate: which segments are silent.
        workers: processes that prepare batches; segments are only cut, so 0 does.
        seed: of the order of the segments; together with the epoch it decides it.
        cache: folder that decoded recordings are kept in, for this run and later ones; "user" is
            the user's cache folder, None decodes them into memory every time.

    Raises:
        ConfigError: for a number that is too small, or a seed that is too large.
    """

    def __init__(
        self,
        source: SoloSource,
        seconds: float = 2.0,
        batch_size: int = 8,
        segments_per_epoch: int = 0,
        held_out_segments: int = 400,
        gate: Gate = Gate(),  # noqa: B008 - frozen
        workers: int = 0,
        seed: int = 0,
        cache: str | None = USER,
    ) -> None:
        super().__init__(seconds, batch_size, gate, workers, seed, cache)
        for name, count, least in (
            ("segments_per_epoch", segments_per_epoch, 0),
            ("held_out_segments", held_out_segments, 1),
        ):
            require(count >= least, f"data.{name}", f"at least {least}", count)
        self.source = source
        self.segments_per_epoch = segments_per_epoch
        self.held_out_segments = held_out_segments

    def setup(self, stage: str) -> None:
        """Decode and cut what the stage needs; say what cannot be used."""
        sample_rate, samples = wanted(self, self.seconds)
        loaded = load(
            self.source,
            splits_of(stage),
            sample_rate,
            samples,
            self.gate,
            Cache.named(self.cache),
        )
        say(loaded.notes)
        self.segments = loaded.segments

    def train_dataloader(self) -> DataLoader[Tensor]:
        """Shuffled batches."""
        trainer = self.trainer
        assert trainer is not None
        train = self.segments["train"]
        sampler = EpochSampler(
            train, lambda: trainer.current_epoch, self.segments_per_epoch, self.seed
        )
        return self._loader(train, sampler)

    def val_dataloader(self) -> DataLoader[Tensor]:
        """A sample of the held-out segments, in order."""
        held_out = self.segments["held-out"]
        return self._loader(Subset(held_out, spread(len(held_out), self.held_out_segments)))

    def test_dataloader(self) -> DataLoader[Tensor]:
        """All held-out segments, in order."""
        return self._loader(self.segments["held-out"])


class EpochSampler(Sampler[int]):
    """A shuffle that only the seed and the epoch decide, so that a resumed run repeats it.

    Args:
        items: to shuffle.
        epoch: asked for its number when an epoch starts. Lightning also tells samplers a number,
            but after a resume one that is too high by 1.
        count: drawn for an epoch, without replacement until all were drawn; 0 for all once.
        seed: any whole number.
    """

    def __init__(
        self, items: Sized, epoch: Callable[[], int], count: int = 0, seed: int = 0
    ) -> None:
        self.items = items
        self.epoch = epoch
        self.count = count or len(items)
        self.seed = seed

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + self.epoch())
        rounds = -(-self.count // len(self.items))
        order = torch.cat(
            [torch.randperm(len(self.items), generator=generator) for _ in range(rounds)]
        )
        return iter(order[: self.count].tolist())
