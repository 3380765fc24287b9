"""Solo recordings of one instrument as Lightning wants them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sized
from typing import Protocol, cast

import torch
from lightning.pytorch import LightningDataModule
from torch import Tensor
from torch.utils.data import DataLoader, Sampler

from instglow.data.cache import USER, Cache
from instglow.data.loading import load
from instglow.data.segments import Gate, SoloSegments
from instglow.data.solo import SoloSource, Split


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


class SoloData(LightningDataModule):
    """Mono segments at the rate of the prior in training, (batch, samples).

    Args:
        source: where the recordings come from.
        seconds: of one segment.
        batch_size: segments a step, on each process.
        segments_per_epoch: drawn for one epoch; 0 takes every segment once.
        gate: which segments are silent.
        workers: processes that prepare batches; segments are only cut, so 0 does.
        seed: of the order of the segments; together with the epoch it decides it.
        cache: folder that decoded recordings are kept in, for this run and later ones; "user" is
            the user's cache folder, None decodes them into memory every time.
    """

    def __init__(
        self,
        source: SoloSource,
        seconds: float = 2.0,
        batch_size: int = 8,
        segments_per_epoch: int = 0,
        gate: Gate = Gate(),  # noqa: B008 - frozen
        workers: int = 0,
        seed: int = 0,
        cache: str | None = USER,
    ) -> None:
        super().__init__()
        self.source = source
        self.seconds = seconds
        self.batch_size = batch_size
        self.segments_per_epoch = segments_per_epoch
        self.gate = gate
        self.workers = workers
        self.seed = seed
        self.cache = cache

    def setup(self, stage: str) -> None:
        """Decode and cut what the stage needs."""
        cache = Cache.named(self.cache)
        if stage == "fit":
            self.train = self._segments("train", cache)
        self.held_out = self._segments("held-out", cache)

    def train_dataloader(self) -> DataLoader[Tensor]:
        """Shuffled batches (batch, samples)."""
        trainer = self.trainer
        assert trainer is not None
        sampler = EpochSampler(
            self.train, lambda: trainer.current_epoch, self.segments_per_epoch, self.seed
        )
        return self._loader(self.train, sampler)

    def val_dataloader(self) -> DataLoader[Tensor]:
        """The held-out segments in order."""
        return self._loader(self.held_out)

    def test_dataloader(self) -> DataLoader[Tensor]:
        """The held-out segments in order."""
        return self._loader(self.held_out)

    def _segments(self, split: Split, cache: Cache | None) -> SoloSegments:
        sample_rate, samples = wanted(self, self.seconds)
        recordings = load(self.source, split, sample_rate, cache)
        return SoloSegments(recordings, samples, self.gate)

    def _loader(
        self, segments: SoloSegments, sampler: Sampler[int] | None = None
    ) -> DataLoader[Tensor]:
        return DataLoader(
            segments,
            self.batch_size,
            sampler=sampler,
            num_workers=self.workers,
            persistent_workers=self.workers > 0,
        )


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
