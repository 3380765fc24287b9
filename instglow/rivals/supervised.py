"""Networks that were trained on mixtures and their stems, as methods to compare with."""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from instglow.audio.chunks import CrossFade, plan
from instglow.audio.resample import resample
from instglow.errors import ConfigError, DependencyError, WeightsError
from instglow.evaluation.method import Segment
from instglow.registry.runs import newest_run
from instglow.rivals.networks import NETWORKS, network
from instglow.rivals.networks.base import Network, of_any_length
from instglow.rivals.pretrained import Trained, pretrained

OVERLAP = 1.0
"""Seconds that neighbouring pieces of a long mixture share."""


class SupervisedMethod:
    """A trained network as a `Method`.

    Args:
        name: of the network.
        trained: it, with its weights.
        device: that it is on.
    """

    def __init__(self, name: str, trained: Trained, device: torch.device | str = "cpu") -> None:
        self.name = name
        self.trained = trained
        self.device = device

    def settings(self, stems: Sequence[str]) -> dict[str, Any]:
        """Which weights, and how long mixtures are cut; the same for all stems."""
        return {
            "network": self.name,
            **self.trained.origin,
            "sources": list(self.trained.sources),
            "seconds": self.trained.seconds,
            "overlap": OVERLAP,
        }

    @torch.inference_mode()
    def separate(self, segment: Segment, stems: Sequence[str]) -> dict[str, Tensor]:
        """Those of the stems that the network knows, each of the mixture's shape."""
        mixture = segment.mixture
        wave = resample(mixture, segment.sample_rate, self.trained.sample_rate)
        stereo = self.trained.channels == len(wave) == 2
        # to a mono network each channel is a mixture of its own; to a stereo one what is not
        # stereo is mono on both sides
        batch = wave[None] if stereo else wave[:, None].expand(-1, self.trained.channels, -1)
        separated = self._in_chunks(batch.to(self.device))  # (batch, sources, channels, samples)
        sources = separated[0] if stereo else separated.mean(2).transpose(0, 1)
        sources = resample(sources.to(mixture), self.trained.sample_rate, segment.sample_rate)
        found = dict(zip(self.trained.sources, sources[..., : mixture.shape[1]], strict=True))
        return {stem: found[stem] for stem in stems if stem in found}

    def _in_chunks(self, batch: Tensor) -> Tensor:
        rate = self.trained.sample_rate
        chunks = plan(batch.shape[-1], round(self.trained.seconds * rate), round(OVERLAP * rate))
        fade = CrossFade(chunks)
        pieces = (
            of_any_length(self.trained.run, batch[..., chunk.start : chunk.stop])
            for chunk in chunks
        )
        return torch.cat([fade.add(index, piece) for index, piece in enumerate(pieces)], -1)


def supervised(
    name: str, checkpoint: Path | None, root: Path, device: torch.device | str = "cpu"
) -> SupervisedMethod:
    """A network with the best weights at hand.

    Args:
        name: of the network, among `NETWORKS`.
        checkpoint: of `instglow fit`; by default the best of the newest run below root, then what
            the network's authors offer for download.
        root: folder that has `runs/`.
        device: to separate on.

    Raises:
        ConfigError: for a name that is no network's.
        WeightsError: for a file that is no checkpoint of that network.
        DependencyError: without weights, or without the package that the network needs.
    """
    if name not in NETWORKS:
        raise ConfigError(f"unknown network {name!r}; choose one of {', '.join(NETWORKS)}")
    file = checkpoint or newest_run(name, root)
    trained = load(name, file, device) if file else pretrained(name, device)
    return SupervisedMethod(name, trained, device)


def load(name: str, checkpoint: Path, device: torch.device | str = "cpu") -> Trained:
    """A checkpoint of `SupervisedTraining` -> its network, ready to separate.

    Read with `weights_only`, so nothing in it is executed; what class it is, `NETWORKS` says.

    Raises:
        WeightsError: for another file.
    """
    if not checkpoint.is_file():
        raise WeightsError(
            f"no checkpoint {str(checkpoint)!r}; `instglow fit --config {name}.yaml` writes one"
        )
    try:
        model = _restored(checkpoint)
    except DependencyError:  # the package of the network
        raise
    except Exception as error:  # torch raises a dozen types for a damaged file
        reason = (str(error).strip() or type(error).__name__).split("\n")[0]
        if isinstance(error, pickle.UnpicklingError):  # it advises to execute what the file says
            reason = "it holds more than weights, or is damaged"
        raise WeightsError(
            f"{checkpoint} is not a checkpoint of `instglow fit --config {name}.yaml` "
            f"({reason}); choose another file"
        ) from error
    if model.name != name:
        raise WeightsError(
            f"{checkpoint} is a checkpoint of {model.name!r}, not of {name!r}; choose another file"
        )
    model = model.to(device).eval()
    return Trained(
        sources=model.sources,
        sample_rate=model.sample_rate,
        channels=1,
        run=lambda mixture: model(mixture[:, 0])[:, :, None],
        origin={
            "sha256": hashlib.sha256(checkpoint.read_bytes()).hexdigest(),
            "trained_on": [f"what `instglow fit --config {name}.yaml` was given"],
            "licence": ["that of these recordings"],
        },
    )


def _restored(checkpoint: Path) -> Network:
    loaded = torch.load(checkpoint, map_location="cpu", weights_only=True)
    about = loaded["network"]
    model = network(about["name"])(about["sources"], about["sample_rate"], **about["architecture"])
    prefix = "network."
    model.load_state_dict(
        {
            key.removeprefix(prefix): tensor
            for key, tensor in loaded["state_dict"].items()
            if key.startswith(prefix)
        }
    )
    return model
