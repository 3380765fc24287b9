"""The LightningModule that takes a song apart, chunk by chunk, through `Trainer.predict`.

Memory is bounded by a batch of chunks, not by the song: chunks are read as they are needed, and
stems are written as they are finished.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import BasePredictionWriter
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from instglow.audio.chunks import Chunk, CrossFade
from instglow.audio.io import AudioFile
from instglow.audio.stems import StemWriter
from instglow.devices import trainer_options
from instglow.errors import ConfigError
from instglow.separation.engine import SeparatedChunk, SeparationEngine
from instglow.separation.search import OnStep

OnChunkStep = Callable[[int, int, float], None]
"""Told of progress: chunks finished before this batch, iteration, mean objective."""


class SongChunks(Dataset[tuple[int, Tensor]]):
    """The chunks of a recording, each (channels, samples), read from the file when asked for.

    Args:
        song: open.
        chunks: of equal length, as `plan` makes them.
    """

    def __init__(self, song: AudioFile, chunks: Sequence[Chunk]) -> None:
        self.song = song
        self.chunks = chunks

    def __len__(self) -> int:
        return len(self.chunks)

    def __getitem__(self, index: int) -> tuple[int, Tensor]:
        """-> the chunk's number and (channels, samples) full scale ±1."""
        chunk = self.chunks[index]
        return index, self.song.read(chunk.start, chunk.stop - chunk.start)


class SeparationModule(LightningModule):
    """Runs the engine on batches of chunks.

    Args:
        engine: priors, search and refinement.
        sample_rate: of the song, Hz.
        on_step: told of progress.
    """

    def __init__(
        self, engine: SeparationEngine, sample_rate: int, on_step: OnChunkStep | None = None
    ) -> None:
        super().__init__()
        self.engine = engine
        self.sample_rate = sample_rate
        self.on_step = on_step
        # registered, so that the trainer moves them to its device
        self.priors = torch.nn.ModuleDict(engine.priors)

    def predict_step(self, batch: tuple[Tensor, Tensor]) -> SeparatedChunk:
        """Numbers (batch,) and chunks (batch, channels, samples) -> their stems."""
        numbers, chunks = batch
        on_step: OnStep | None = None
        if self.on_step:
            report, first = self.on_step, int(numbers[0])

            def on_step(step: int, objective: float) -> None:
                report(first, step, objective)

        return self.engine.separate_chunk(chunks, self.sample_rate, on_step)


class StemFiles(BasePredictionWriter):
    """Cross-fades the stems of successive chunks and appends them to their files.

    Args:
        writer: open.
        names: of the stems, in the engine's order.
        chunks: of the song.
    """

    def __init__(self, writer: StemWriter, names: Sequence[str], chunks: Sequence[Chunk]) -> None:
        super().__init__("batch")
        self.writer = writer
        self.names = names
        self.fade = CrossFade(chunks)
        self.objectives: list[float] = []
        """Mean objective of each chunk's last iteration; nothing for a silent chunk."""

    def write_on_batch_end(
        self,
        trainer: Trainer,
        pl_module: SeparationModule,  # type: ignore[override]
        prediction: SeparatedChunk,
        batch_indices: Sequence[int] | None,
        batch: tuple[Tensor, Tensor],
        batch_idx: int,
        dataloader_idx: int,
    ) -> None:
        """Called by Lightning after each batch, in order."""
        if not prediction.stems.isfinite().all():
            raise ConfigError(
                "the search left the range of numbers; lower its learning rate: "
                f"{pl_module.engine.how.search}"
            )
        self.objectives += prediction.objective[-1:].flatten().tolist()
        for number, stems in zip(batch[0].tolist(), prediction.stems.cpu(), strict=True):
            finished = self.fade.add(number, stems)
            self.writer.write(dict(zip(self.names, finished, strict=True)))


def predict_song(
    engine: SeparationEngine,
    song: AudioFile,
    writer: StemWriter,
    *,
    batch_size: int = 1,
    device: torch.device | None = None,
    on_step: OnChunkStep | None = None,
) -> list[float]:
    """Take an open recording apart into open files -> the last objective of each chunk.

    Args:
        engine: of the priors to use.
        song: to read.
        writer: of the engine's stems, at the song's rate and with its channels.
        batch_size: chunks searched side by side; the stems do not depend on it.
        device: where to search; None for the CPU.
        on_step: told of progress.

    Raises:
        ConfigError: for a search that diverged.
    """
    chunks = engine.chunks(song.samples, song.sample_rate)
    files = StemFiles(writer, engine.stems, chunks)
    loader = DataLoader(SongChunks(song, chunks), batch_size=batch_size)
    module = SeparationModule(engine, song.sample_rate, on_step)
    with _quiet():
        Trainer(
            callbacks=[files],
            inference_mode=False,  # a search needs gradients
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            **trainer_options(device or torch.device("cpu")),
        ).predict(module, loader, return_predictions=False)
    return files.objectives


@contextmanager
def _quiet() -> Iterator[None]:
    """Tips, device lines and warnings are for those who train."""
    names = ("lightning.pytorch", "lightning.fabric")
    before = {name: logging.getLogger(name).level for name in names}
    try:
        for name in names:
            logging.getLogger(name).setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for name, level in before.items():
            logging.getLogger(name).setLevel(level)
