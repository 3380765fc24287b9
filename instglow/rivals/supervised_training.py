"""The LightningModule that trains a network to separate random mixtures."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torchmetrics.functional.audio import signal_noise_ratio

from instglow.audio.frontend import Frontend
from instglow.errors import ConfigError
from instglow.rivals.networks.base import Network
from instglow.training.augment import Augmentation
from instglow.training.base import TrainingRun


class SupervisedTraining(TrainingRun):
    """Solo recordings of all the sources at once, their sum in, themselves expected out.

    Trained on `BandData` of the same sources in the same order.

    Args:
        network: to train.
        name: of the run's folder; by default the network's, where evaluation looks for it.
        learning_rate: of Adam, at its highest.
        warmup_steps: in which the learning rate rises from 0; then it falls to 0 as a cosine.
        augmentation: of the solos, before they are mixed.
        seed: of the augmentation and of what the network drops out.
    """

    def __init__(
        self,
        network: Network,
        name: str | None = None,
        learning_rate: float = 1e-3,
        warmup_steps: int = 50,
        augmentation: Augmentation = Augmentation(),  # noqa: B008 - frozen
        seed: int = 0,
    ) -> None:
        super().__init__(name or network.name, learning_rate, warmup_steps, augmentation, seed)
        self.network = network
        # the spectrogram that priors are equalised on, so that all methods see the same changes
        self._equaliser = Frontend(network.sample_rate)

    @property
    def sample_rate(self) -> int:
        """Of the network, Hz."""
        return self.network.sample_rate

    def setup(self, stage: str) -> None:
        """Refuse data of other instruments, or in another order."""
        super().setup(stage)
        data = getattr(self.trainer, "datamodule", None)
        given = list(getattr(data, "sources", ()))
        if data is not None and given != self.network.sources:
            raise ConfigError(
                f"the data has {', '.join(given) or 'one instrument'}, the network separates "
                f"{', '.join(self.network.sources)}; give data.sources (of BandData) and "
                "model.network.sources the same names in the same order"
            )

    def training_step(self, wave: Tensor) -> Tensor:
        """(batch, sources, channels, samples) solos full scale ±1 -> the loss."""
        # dropout draws from the global generator: a resumed run must drop what a whole one would
        torch.manual_seed(self.seed * 1_000_003 + self.draw_number)
        solos = self._augmented(loudest(wave), self.draw(self.draw_number))
        loss = self.network.loss(solos)
        self.log("train/loss", loss, prog_bar=True)
        return loss

    def validation_step(self, wave: Tensor, batch_index: int) -> None:
        """(batch, sources, channels, samples) held-out solos; logs the mean loss and SDR in dB."""
        self._evaluate("held-out", wave)

    def test_step(self, wave: Tensor, batch_index: int) -> None:
        """(batch, sources, channels, samples) held-out solos; logs the mean loss and SDR in dB."""
        self._evaluate("test", wave)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Adds what the network is, as plain values: `weights_only` loads nothing else."""
        checkpoint["network"] = {
            "name": self.network.name,
            "sources": list(self.network.sources),
            "sample_rate": self.network.sample_rate,
            "architecture": dict(self.network.architecture),
        }

    def _augmented(self, wave: Tensor, generator: torch.Generator) -> Tensor:
        solos = self.augmentation.wave(wave.flatten(0, 1), generator, self.sample_rate)
        if self.augmentation.equaliser:
            spectrogram = self._equaliser.spectrogram(solos)
            changed = self.augmentation.magnitude(spectrogram, generator)  # its phase stays
            solos = self._equaliser.waveform(changed, solos.shape[1])
        return solos.unflatten(0, wave.shape[:2])

    def _evaluate(self, stage: str, wave: Tensor) -> None:
        wave = loudest(wave)
        self.log_dict(
            {
                f"{stage}/loss": self.network.loss(wave),
                f"{stage}/sdr": signal_noise_ratio(self.network(wave.sum(1)), wave).mean(),
            },
            prog_bar=True,
            batch_size=len(wave),
            sync_dist=True,
        )


def loudest(wave: Tensor) -> Tensor:
    """(..., channels, samples) -> (..., samples) of the loudest channel; a sum might cancel."""
    index = wave.square().sum(-1).argmax(-1)
    return wave.take_along_dim(index[..., None, None], -2).squeeze(-2)
