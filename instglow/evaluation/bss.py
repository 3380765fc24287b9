"""Scores of separated stems against the true ones."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from instglow.audio.io import SILENCE

Scores = dict[str, "float | None"]
"""Figure -> dB, higher is better; None where the ratio is infinite or undefined. The figures:

sdr: global, 10 log₁₀ ‖s‖² / ‖s − ŝ‖² over the whole segment (Mitsufuji et al., 2022), the figure of
    the paper's tables; museval's (v4) for one frame as long as the segment.
sdr_frames: museval's usual figure, the median of that over frames of one second.
si_sdr: after the best gain (Le Roux et al., 2019).
sdr_i, sdr_frames_i, si_sdr_i: the improvement over the mixture as the estimate of each stem.
frames_left_out: not in dB, the frames that do not count in sdr_frames: some stem or estimate is
    silent there, or the estimate is exact.
isr, sir, sar: of museval (v4), where asked for; medians over frames of one second. Those of the
    accompaniment are against the vocals, as museval has it.
"""

FIGURES = ("sdr", "sdr_frames", "si_sdr")
COLUMNS = (*FIGURES, *(f"{figure}_i" for figure in FIGURES))
MUSEVAL = ("isr", "sir", "sar")
FRAMES_LEFT_OUT = "frames_left_out"
ACCOMPANIMENT = "accompaniment"
_VOCALS = "vocals"
_INFINITE = -20 * math.log10(SILENCE)  # dB, what rounding leaves of an infinite ratio


def score(
    truth: Mapping[str, Tensor],
    estimates: Mapping[str, Tensor],
    mixture: Tensor,
    sample_rate: int,
    museval: bool = False,
) -> dict[str, Scores | None]:
    """Score every estimated stem; with vocals among them, also the sum of all others.

    Args:
        truth: (channels, samples) by stem; those without an estimate do not count.
        estimates: of that shape; figures of one that is not finite are None.
        mixture: of that shape.
        sample_rate: Hz.
        museval: add ISR, SIR and SAR, which take museval minutes for a minute of stereo. What it
            cannot compute (equal channels make its matrices singular) is None.

    Returns:
        Stem -> scores, or None where the true stem is silent and no ratio is defined.
    """
    true, found = {name: truth[name] for name in estimates}, dict(estimates)
    groups = [list(true)]
    others = [name for name in true if name != _VOCALS]
    if _VOCALS in true and others and ACCOMPANIMENT not in true:
        for stems in (true, found):
            stems[ACCOMPANIMENT] = torch.stack([stems[name] for name in others]).sum(0)
        groups.append([_VOCALS, ACCOMPANIMENT])
    rows: dict[str, Scores] = {}
    window = min(sample_rate, mixture.shape[-1])
    for names in groups:
        group = [name for name in names if not _silent(true[name].flatten())]
        new = [name for name in group if name not in rows]
        if not new:
            continue
        both = [true[name] for name in group], [found[name] for name in group]
        counted = _counted(*both, window)
        measured = dict(zip(group, _museval(*both, window), strict=True)) if museval else {}
        for name in new:
            figures = _figures(true[name], found[name], mixture, counted, window)
            rows[name] = figures | measured.get(name, {})
    return {name: rows.get(name) for name in true}


@cache
def bss_eval() -> Callable[..., Any]:
    """museval's function of that name, out of its one file.

    The package imports musdb, which cannot be imported without programs that no score needs.
    """
    package = find_spec("museval")
    assert package is not None, "museval is a dependency"
    assert package.submodule_search_locations is not None
    file = Path(package.submodule_search_locations[0]) / "metrics.py"
    found = spec_from_file_location("instglow_museval_metrics", file)
    assert found is not None, file
    assert found.loader is not None, file
    metrics = module_from_spec(found)
    found.loader.exec_module(metrics)
    function: Callable[..., Any] = metrics.bss_eval
    return function


def _counted(true: Sequence[Tensor], found: Sequence[Tensor], window: int) -> Tensor:
    """(channels, samples) each -> (frames,) bool: as in museval, those in which all stems sound.

    An estimate that is silent throughout has no frames, and does not cost the others theirs.
    """
    sounding = [estimate for estimate in found if not _silent(estimate.flatten())]
    return torch.stack([~_silent(_frames(stem, window)) for stem in [*true, *sounding]]).all(0)


def _figures(true: Tensor, found: Tensor, mixture: Tensor, counted: Tensor, window: int) -> Scores:
    """(channels, samples) of one stem, its estimate and the mixture; (frames,) that count."""
    s, estimate, before = true.double(), found.double(), mixture.double()
    s_frames, counted = _frames(s, window), counted & ~_silent(estimate.flatten())
    frames, frames_before = (
        _sdr(s_frames, _frames(wave, window)).where(counted, torch.nan)
        for wave in (estimate, before)
    )
    both = (frames + frames_before).isfinite()
    gains = _median(frames[both]) - _median(frames_before[both])
    s, estimate, before = s.flatten(), estimate.flatten(), before.flatten()
    sdr, si_sdr = _sdr(s, estimate), _si_sdr(s, estimate)
    return {
        "sdr": _number(sdr),
        "sdr_frames": _number(_median(frames)),
        "si_sdr": _number(si_sdr),
        "sdr_i": _number(sdr - _sdr(s, before)),
        "sdr_frames_i": _number(gains),
        "si_sdr_i": _number(si_sdr - _si_sdr(s, before)),
        FRAMES_LEFT_OUT: int(frames.isnan().sum()),
    }


def _ratio(signal: Tensor, error: Tensor) -> Tensor:
    """(..., samples) twice -> (...) dB; NaN where it is infinite or undefined."""
    decibels = 10 * (signal.square().sum(-1) / error.square().sum(-1)).log10()
    defined = decibels.isfinite() & ~_silent(signal) & ~_silent(error)
    return decibels.where(defined, torch.nan)


def _sdr(s: Tensor, estimate: Tensor) -> Tensor:
    return _ratio(s, s - estimate)


def _si_sdr(s: Tensor, estimate: Tensor) -> Tensor:
    # at the level of the stem first, as what is silent is said of full scale
    estimate = estimate * s.norm(dim=-1, keepdim=True) / estimate.norm(dim=-1, keepdim=True)
    gain = (estimate * s).sum(-1, keepdim=True) / s.square().sum(-1, keepdim=True)
    return _ratio(gain * s, estimate - gain * s)


def _museval(true: Sequence[Tensor], found: Sequence[Tensor], window: int) -> list[Scores]:
    """(channels, samples) each -> ISR, SIR and SAR of each stem."""
    rows: list[Scores] = [dict.fromkeys(MUSEVAL) for _ in true]
    usable = [
        number
        for number, estimate in enumerate(found)
        if estimate.isfinite().all() and not _silent(estimate.flatten())
    ]
    try:
        s, estimates = (
            torch.stack([stems[number] for number in usable]).transpose(1, 2).double().numpy()
            for stems in (true, found)
        )
        _, *figures, _ = bss_eval()(s, estimates, window=window, hop=window)
    except Exception:  # singular matrices, and with NumPy 2.4 what its own handler of them raises
        return rows
    for figure, by_stem in zip(MUSEVAL, figures, strict=True):
        for number, frames in zip(usable, by_stem, strict=True):
            values = torch.from_numpy(frames)
            rows[number][figure] = _number(_median(values[values.abs() < _INFINITE]))
    return rows


def _frames(wave: Tensor, window: int) -> Tensor:
    """(channels, samples) -> (frames, channels · window), without the rest at the end."""
    return wave.unfold(-1, window, window).transpose(0, 1).flatten(1)


def _median(values: Tensor) -> Tensor:
    """Of those that are numbers; NaN of none."""
    return values.nanquantile(0.5) if len(values) else values.new_tensor(torch.nan)


def _number(value: Tensor) -> float | None:
    return float(value) if value.isfinite() else None


def _silent(wave: Tensor) -> Tensor:
    """(..., samples) -> (...), whether nothing is above the noise of any converter."""
    return wave.abs().amax(-1) <= SILENCE
