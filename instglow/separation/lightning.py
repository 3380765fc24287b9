"""The engine for `Trainer.predict`: a LightningModule that takes batches of chunks apart."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from lightning.pytorch import LightningModule
from torch import Tensor
from torch.utils.data import Dataset

from instglow.prior import Prior
from instglow.separation.engine import Recording, Separated, SeparationEngine
from instglow.separation.presets import Preset


class SeparationModule(LightningModule):
    """Any subset of priors, the batched search over chunks of up to a minute, and their stems.

        song = AudioFile("song.flac")
        module = SeparationModule(load_priors("bass,drums", Registry.default()), song.sample_rate)
        chunks = SongChunks(song, module.engine)
        batches = Trainer(accelerator="gpu").predict(module, DataLoader(chunks, batch_size=4))
        for piece in module.engine.join(chunks.chunks, batches):
            ...  # piece.stems: (sources, channels, samples), what follows in the song

    Preset "paper" reconstructs through the inverse STFT with the mixture's phase.

    Args:
        priors: by the name of the stem, as `instglow.api.load_priors` loads them.
        sample_rate: of the song, Hz.
        preset, segment, overlap: see `SeparationEngine`.

    Raises:
        ConfigError: see `SeparationEngine`.
        FrontendMismatch: where two priors were trained on different spectrograms.
    """

    def __init__(
        self,
        priors: Mapping[str, Prior],
        sample_rate: int,
        preset: Preset | str = "default",
        segment: float = 60.0,
        overlap: float | None = None,
    ) -> None:
        super().__init__()
        self.engine = SeparationEngine(priors, preset, segment, overlap)
        self.sample_rate = sample_rate
        # registered, so that the trainer moves them to its device; in a list, because a stem may
        # be called like a method of a module
        self.priors = torch.nn.ModuleList(self.engine.priors.values())

    def predict_step(self, batch: Tensor) -> Separated:
        """(batch, channels, samples) full scale ±1 -> their stems."""
        return self.engine.separate_batch(batch, self.sample_rate)


class SongChunks(Dataset[Tensor]):
    """The chunks of a recording, each (channels, samples), read when asked for.

    Args:
        song: an open `AudioFile`, for instance.
        engine: whose segment and overlap count.
    """

    def __init__(self, song: Recording, engine: SeparationEngine) -> None:
        self.song = song
        self.chunks = engine.chunks(song.samples, song.sample_rate)

    def __len__(self) -> int:
        return len(self.chunks)

    def __getitem__(self, index: int) -> Tensor:
        """-> (channels, samples) full scale ±1."""
        chunk = self.chunks[index]
        return self.song.read(chunk.start, chunk.samples)
