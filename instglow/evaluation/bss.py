"""Scores of separated stems against the true ones."""

from __future__ import annotations

import shutil
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor
from torchmetrics.functional.audio import (
    scale_invariant_signal_distortion_ratio,
    signal_noise_ratio,
)

from instglow.audio.io import SILENCE
from instglow.errors import DependencyError

Scores = dict[str, "float | None"]
"""Figure -> dB, higher is better; None where it is undefined. The figures:

sdr: global, 10 log₁₀ ‖s‖² / ‖s − ŝ‖² over the whole segment (Mitsufuji et al., 2022), the figure of
    the paper's tables; museval's (v4) for one frame as long as the segment.
sdr_frames: museval's usual figure, the median of that over frames of one second.
si_sdr: after the best gain (Le Roux et al., 2019).
sdr_i, sdr_frames_i, si_sdr_i: the improvement over the mixture as the estimate of each stem.
"""

FIGURES = ("sdr", "sdr_frames", "si_sdr")
ACCOMPANIMENT = "accompaniment"


def score(
    truth: Mapping[str, Tensor], estimates: Mapping[str, Tensor], mixture: Tensor, sample_rate: int
) -> dict[str, Scores | None]:
    """Score every estimated stem; with vocals among them, also the accompaniment.

    Args:
        truth: (channels, samples) by stem; those without an estimate do not count.
        estimates: of that shape.
        mixture: of that shape.
        sample_rate: Hz.

    Returns:
        Stem -> scores, or None where the true stem is silent and no ratio is defined.

    Raises:
        DependencyError: see `require_ffmpeg`.
    """
    true, found = _with_accompaniment({name: truth[name] for name in estimates}, estimates)
    heard = [name for name, stem in true.items() if not _silent(stem)]
    rows = {name: _scores(true[name], found[name], mixture) for name in heard}
    stems = [name for name in heard if name != ACCOMPANIMENT]
    for group in (stems, [ACCOMPANIMENT] if ACCOMPANIMENT in heard else []):
        frames = _median_over_frames(true, {n: found[n] for n in group}, sample_rate)
        before = _median_over_frames(true, dict.fromkeys(group, mixture), sample_rate)
        for name in group:
            rows[name] |= _improved("sdr_frames", frames[name], before[name])
    return {name: rows.get(name) for name in true}


def require_ffmpeg() -> None:
    """A DependencyError without the programs that museval's import looks for."""
    if not (shutil.which("ffmpeg") and shutil.which("ffprobe")):
        raise DependencyError("museval needs the programs ffmpeg and ffprobe: install FFmpeg")


def _scores(true: Tensor, found: Tensor, mixture: Tensor) -> Scores:
    return {
        **_improved("sdr", _sdr(found, true), _sdr(mixture, true)),
        **_improved("si_sdr", _si_sdr(found, true), _si_sdr(mixture, true)),
    }


def _sdr(estimate: Tensor, true: Tensor) -> float:
    return float(signal_noise_ratio(estimate.double().flatten(), true.double().flatten()))


def _si_sdr(estimate: Tensor, true: Tensor) -> float | None:
    if _silent(estimate):
        return None  # no gain makes anything of silence
    return float(
        scale_invariant_signal_distortion_ratio(
            estimate.double().flatten(), true.double().flatten()
        )
    )


def _improved(figure: str, value: float | None, before: float | None) -> Scores:
    gain = None if value is None or before is None else value - before
    return {figure: value, f"{figure}_i": gain}


def _median_over_frames(
    truth: Mapping[str, Tensor], estimates: Mapping[str, Tensor], sample_rate: int
) -> Scores:
    """museval's medians; a frame in which any stem or estimate is silent does not count."""
    names = [name for name, stem in estimates.items() if not _silent(stem)]
    medians: Scores = dict.fromkeys(estimates)
    if not names:
        return medians
    require_ffmpeg()
    from museval.metrics import bss_eval  # slow to import

    true, found = (
        torch.stack([stems[name] for name in names]).transpose(1, 2).double().numpy()
        for stems in (truth, estimates)
    )
    window = min(sample_rate, true.shape[1])
    # the ratio of v4 does not depend on the distortion filters, which only split its error into
    # parts: the shortest, solved frame by frame, give the same figure in a tenth of the time
    sdr, *_ = bss_eval(
        true, found, window=window, hop=window, filters_len=1, framewise_filters=True
    )
    for name, frames in zip(names, sdr, strict=True):
        counted = frames[np.isfinite(frames)]
        medians[name] = float(np.median(counted)) if len(counted) else None
    return medians


def _with_accompaniment(
    truth: Mapping[str, Tensor], estimates: Mapping[str, Tensor]
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Add the sum of all but the vocals, where there are vocals and at least one other stem."""
    both = dict(truth), dict(estimates)
    others = [name for name in estimates if name != "vocals"]
    if "vocals" in estimates and others:
        for stems in both:
            stems[ACCOMPANIMENT] = torch.stack([stems[name] for name in others]).sum(0)
    return both


def _silent(wave: Tensor) -> bool:
    return float(wave.abs().max()) <= SILENCE
