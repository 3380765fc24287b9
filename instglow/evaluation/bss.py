"""Scores of a separated stem against the true one."""

from __future__ import annotations

import shutil
from dataclasses import dataclass

import torch
from torch import Tensor
from torchmetrics.functional.audio import (
    scale_invariant_signal_distortion_ratio,
    signal_noise_ratio,
)

from instglow.errors import DependencyError


@dataclass(frozen=True)
class Scores:
    """All in dB, higher is better; None where the reference is silent.

    Attributes:
        sdr: global: 10 log₁₀ ‖s‖² / ‖s − ŝ‖² over the whole stem (Mitsufuji et al., 2022), the
            figure of the paper's tables.
        si_sdr: the same after the best gain (Le Roux et al., 2019).
    """

    sdr: float | None
    si_sdr: float | None


def score(reference: Tensor, estimate: Tensor) -> Scores:
    """(channels, samples) true and separated stem, of one rate -> their scores."""
    if reference.shape != estimate.shape:
        raise ValueError(f"a reference of {tuple(reference.shape)}, stem {tuple(estimate.shape)}")
    if float(reference.abs().max()) == 0:
        return Scores(None, None)
    true, found = reference.double().flatten(), estimate.double().flatten()
    return Scores(
        float(signal_noise_ratio(found, true)),
        float(scale_invariant_signal_distortion_ratio(found, true)),
    )


def median_over_frames(reference: Tensor, estimate: Tensor, sample_rate: int) -> float:
    """museval's usual figure: the median SDR of BSSEval v4 over frames of one second.

    Args:
        reference: (stems, channels, samples), all stems of a song: v4 projects on each alone.
        estimate: of that shape.
        sample_rate: Hz.

    Returns:
        The mean over stems of the medians; silent frames do not count.

    Raises:
        DependencyError: without the ffmpeg program, which museval's import looks for.
    """
    if not (shutil.which("ffmpeg") and shutil.which("ffprobe")):
        raise DependencyError("museval needs the programs ffmpeg and ffprobe: install FFmpeg")
    from museval.metrics import bss_eval  # slow to import

    sdr, *_ = bss_eval(
        reference.transpose(1, 2).numpy(),
        estimate.transpose(1, 2).numpy(),
        window=sample_rate,
        hop=sample_rate,
    )
    return float(torch.from_numpy(sdr).nanmedian(1).values.mean())
