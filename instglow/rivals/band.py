"""Solo recordings of several instruments, one of each at a time: what mixtures are made of."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import torch
from lightning.pytorch import LightningDataModule
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from instglow.data.cache import USER, Cache
from instglow.data.datamodule import wanted
from instglow.data.loading import load
from instglow.data.segments import Gate, SoloSegments
from instglow.data.solo import SoloSource, Split


class BandData(LightningDataModule):
    """Random segments of several instruments, independent of each other.

    A batch is (batch, instruments, samples), the instruments in the order of `sources`: their sum
    is a random mixture, each alone is a labelled solo.

    Args:
        sources: by instrument.
        seconds: of one segment.
        batch_size: draws a step, on each process.
        draws_per_epoch: of one segment of each instrument.
        held_out_draws: the same in every epoch.
        gate: which segments are silent.
        workers: processes that prepare batches; segments are only cut, so 0 does.
        seed: of the draws; together with the epoch it decides them.
        cache: folder that decoded recordings are kept in, for this run and later ones; "user" is
            the user's cache folder, None decodes them into memory every time.
    """

    def __init__(
        self,
        sources: dict[str, SoloSource],
        seconds: float = 2.0,
        batch_size: int = 8,
        draws_per_epoch: int = 2000,
        held_out_draws: int = 64,
        gate: Gate = Gate(),  # noqa: B008 - frozen
        workers: int = 0,
        seed: int = 0,
        cache: str | None = USER,
    ) -> None:
        super().__init__()
        self.sources = sources
        self.seconds = seconds
        self.batch_size = batch_size
        self.draws_per_epoch = draws_per_epoch
        self.held_out_draws = held_out_draws
        self.gate = gate
        self.workers = workers
        self.seed = seed
        self.cache = cache

    def setup(self, stage: str) -> None:
        """Decode and cut what the stage needs."""
        cache = Cache.named(self.cache)
        if stage == "fit":
            self.train = RandomBand(self._segments("train", cache), self.seed)
        self.held_out = RandomBand(self._segments("held-out", cache), self.seed + 1)

    def train_dataloader(self) -> DataLoader[Tensor]:
        """New draws in every epoch."""
        trainer = self.trainer
        assert trainer is not None
        return self._loader(self.train, Draws(lambda: trainer.current_epoch, self.draws_per_epoch))

    def val_dataloader(self) -> DataLoader[Tensor]:
        """The held-out draws."""
        return self._loader(self.held_out, Draws(lambda: 0, self.held_out_draws))

    def test_dataloader(self) -> DataLoader[Tensor]:
        """The held-out draws."""
        return self.val_dataloader()

    def _segments(self, split: Split, cache: Cache | None) -> dict[str, SoloSegments]:
        sample_rate, samples = wanted(self, self.seconds)
        return {
            name: SoloSegments(load(source, split, sample_rate, cache), samples, self.gate)
            for name, source in self.sources.items()
        }

    def _loader(self, band: RandomBand, draws: Draws) -> DataLoader[Tensor]:
        return DataLoader(
            band,
            self.batch_size,
            sampler=draws,
            num_workers=self.workers,
            persistent_workers=self.workers > 0,
        )


class RandomBand(Dataset[Tensor]):
    """One random segment of each instrument for every number.

    Args:
        segments: by instrument, all of one length.
        seed: together with the number, it decides the draw.
    """

    def __init__(self, segments: Mapping[str, SoloSegments], seed: int = 0) -> None:
        self.segments = list(segments.values())
        self.seed = seed

    def __getitem__(self, number: int) -> Tensor:
        """-> (instruments, samples) full scale ±1."""
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + number)
        draws = [int(torch.randint(len(s), (1,), generator=generator)) for s in self.segments]
        return torch.stack([s[i] for s, i in zip(self.segments, draws, strict=True)])


class Draws(Sampler[int]):
    """The numbers of an epoch's draws, none of which another epoch has.

    Args:
        epoch: asked for its number when an epoch starts.
        count: of an epoch.
    """

    def __init__(self, epoch: Callable[[], int], count: int) -> None:
        self.epoch = epoch
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[int]:
        first = self.epoch() * self.count
        return iter(range(first, first + self.count))
