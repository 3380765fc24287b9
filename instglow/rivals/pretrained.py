"""Networks as their authors trained them, downloaded by the packages that they come in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import metadata
from typing import Any

import torch
from torch import Tensor

from instglow.errors import DependencyError
from instglow.rivals.networks.packages import package

_AT_ONCE = 10.0
"""Seconds that a network separates in one piece, where its package does not say."""


@dataclass(frozen=True)
class Trained:
    """A network with its weights, ready to separate.

    Attributes:
        sources: in the order of its output.
        sample_rate: Hz.
        channels: of its input: 1, or 2 where it wants stereo.
        seconds: that it takes at once.
        run: (batch, channels, samples) full scale ±1 -> (batch, sources, channels, samples).
        origin: which weights they are, as plain values; see `Method.settings`.
    """

    sources: Sequence[str]
    sample_rate: int
    channels: int
    run: Callable[[Tensor], Tensor]
    origin: dict[str, Any]
    seconds: float = _AT_ONCE


def pretrained(name: str, device: torch.device | str) -> Trained:
    """The network of that name with the weights of its authors, downloaded once.

    Raises:
        DependencyError: where the authors offer no weights, or these cannot be had; it says what
            to do instead.
    """
    remedy = (
        f"train it with `instglow fit --config {name}.yaml`, "
        f"or give a checkpoint with --weights {name}=FILE"
    )
    if name not in _LOADERS:
        raise DependencyError(f"no published weights of {name!r}: {remedy}")
    load, module = _LOADERS[name]
    package(module)  # what is not installed is another matter than what cannot be downloaded
    try:
        return load(device)
    except Exception as error:  # each package lets through whatever its download may raise
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise DependencyError(
            f"the published weights of {name!r} cannot be downloaded ({reason}): {remedy}"
        ) from error


def _openunmix(device: torch.device | str) -> Trained:
    separator = package("openunmix").umxl(device=device).eval()
    return Trained(
        sources=list(separator.target_models),
        sample_rate=int(separator.sample_rate),
        channels=2,
        run=separator,
        origin=_origin(
            *("openunmix", "umxl"),
            "a private set of compressed stems, about 400 h",
            "CC BY-NC-SA 4.0: non-commercial",
        ),
    )


def _demucs(device: torch.device | str) -> Trained:
    model = package("demucs.pretrained").get_model("htdemucs")
    apply_model = package("demucs.apply").apply_model
    return Trained(
        sources=list(model.sources),
        sample_rate=int(model.samplerate),
        channels=model.audio_channels,
        # no random shifts: the same mixture has the same stems
        run=lambda mixture: apply_model(model, mixture, shifts=0, device=device),
        origin=_origin(
            *("demucs", "htdemucs"),
            "MUSDB18-HQ and 800 songs that are not published",
            "not stated (of the code: MIT)",
        ),
        seconds=600.0,  # apply_model itself cuts it into what the model was trained on
    )


def _hdemucs(device: torch.device | str) -> Trained:
    # not _PLUS, which was trained on MUSDB18-HQ's test part too
    bundle = package("torchaudio.pipelines").HDEMUCS_HIGH_MUSDB
    model = bundle.get_model().to(device)
    return Trained(
        sources=list(model.sources),
        sample_rate=int(bundle.sample_rate),
        channels=model.audio_channels,
        run=model,
        origin=_origin(
            *("torchaudio", "HDEMUCS_HIGH_MUSDB"),
            "MUSDB18-HQ, its training part",
            "not stated (of the code: BSD-2-Clause)",
        ),
    )


def _origin(distribution: str, weights: str, trained_on: str, licence: str) -> dict[str, Any]:
    """As the packages' own documents have it."""
    return {
        "trained_on": [trained_on],
        "licence": [licence],
        "weights": weights,
        "package": distribution,
        "version": metadata.version(distribution),
    }


_LOADERS: dict[str, tuple[Callable[[torch.device | str], Trained], str]] = {
    "openunmix": (_openunmix, "openunmix"),
    "demucs": (_demucs, "demucs.pretrained"),
    "hdemucs": (_hdemucs, "torchaudio.pipelines"),
}
