"""Solo recordings of several instruments, one of each at a time: what mixtures are made of."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from instglow.data.cache import USER, Cache
from instglow.data.datamodule import SegmentData, splits_of, wanted
from instglow.data.loading import load, say
from instglow.data.segments import Gate, SoloSegments
from instglow.data.solo import SoloSource, Split
from instglow.errors import require


class BandData(SegmentData):
    """Random segments of several instruments, independent of each other.

    A batch is (batch, instruments, channels, samples), the instruments in the order of `sources`:
    their sum is a random mixture, each alone is a labelled solo.

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

    Raises:
        ConfigError: for a number that is too small, or a seed that is too large.
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
        super().__init__(seconds, batch_size, gate, workers, seed, cache)
        for name, count in (
            ("draws_per_epoch", draws_per_epoch),
            ("held_out_draws", held_out_draws),
        ):
            require(count >= 1, f"data.{name}", "at least 1", count)
        self.sources = sources
        self.draws_per_epoch = draws_per_epoch
        self.held_out_draws = held_out_draws

    def setup(self, stage: str) -> None:
        """Decode and cut what the stage needs; say what cannot be used."""
        cache = Cache.named(self.cache)
        sample_rate, samples = wanted(self, self.seconds)
        found: dict[Split, dict[str, SoloSegments]] = {split: {} for split in splits_of(stage)}
        for name, source in self.sources.items():
            loaded = load(source, splits_of(stage), sample_rate, samples, self.gate, cache)
            say(f"{name}: {note}" for note in loaded.notes)
            for split, segments in loaded.segments.items():
                found[split][name] = segments
        self.bands = {
            split: RandomBand(segments, self.seed + (split == "held-out"))
            for split, segments in found.items()
        }

    def train_dataloader(self) -> DataLoader[Tensor]:
        """New draws in every epoch."""
        trainer = self.trainer
        assert trainer is not None
        return self._loader(
            self.bands["train"], Draws(lambda: trainer.current_epoch, self.draws_per_epoch)
        )

    def val_dataloader(self) -> DataLoader[Tensor]:
        """The held-out draws."""
        return self._loader(self.bands["held-out"], Draws(lambda: 0, self.held_out_draws))

    def test_dataloader(self) -> DataLoader[Tensor]:
        """The held-out draws."""
        return self.val_dataloader()


class RandomBand(Dataset[Tensor]):
    """One random segment of each instrument for every number.

    Args:
        segments: by instrument, all of one length.
        seed: together with the number, it decides the draw.
    """

    def __init__(self, segments: Mapping[str, SoloSegments], seed: int = 0) -> None:
        self.segments = list(segments.values())
        self.channels = math.lcm(*(one.channels for one in self.segments))
        self.seed = seed

    def __getitem__(self, number: int) -> Tensor:
        """-> (instruments, channels, samples) full scale ±1."""
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + number)
        draws = [int(torch.randint(len(s), (1,), generator=generator)) for s in self.segments]
        return torch.stack(
            [
                s[i].repeat(self.channels // s.channels, 1)
                for s, i in zip(self.segments, draws, strict=True)
            ]
        )


class Draws(Sampler[int]):
    """The numbers of an epoch's draws, none of which another epoch has.

    Args:
        epoch: returns the number of the current epoch; called when one starts.
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
