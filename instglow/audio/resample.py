"""From one sample rate to another."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as nnf
import torchaudio.functional as F
from torch import Tensor

from instglow.errors import ConfigError

# A Kaiser-windowed sinc of 64 zero crossings. torchaudio's default (Hann, 6 crossings) bends what
# lies just below half the new rate and leaves much of what lies just above; this costs no more.
_CROSSINGS, _ROLLOFF, _BETA = 64, 0.9475937167399596, 14.769656459379492
_MOST_TAPS = 2**20


def resample(wave: Tensor, source_rate: int, target_rate: int) -> Tensor:
    """(..., samples) at source_rate Hz -> (..., ceil(samples * target / source)) at target_rate."""
    if min(source_rate, target_rate) < 1:
        raise ConfigError(f"cannot resample {source_rate} Hz to {target_rate} Hz: not positive")
    if source_rate == target_rate:
        return wave
    samples = wave.shape[-1]
    wanted = -(-samples * target_rate // source_rate)
    if samples == 0:
        return wave.new_empty(wave.shape)
    divisor = math.gcd(source_rate, target_rate)
    down, up = source_rate // divisor, target_rate // divisor
    width = math.ceil(_CROSSINGS * down / (min(down, up) * _ROLLOFF))
    if up * (2 * width + down) > _MOST_TAPS:
        return _resample_odd(wave, down, up)
    # torchaudio rounds the length it cuts to in float32, too short by up to 2^-24 of it:
    # more zeros at the end, which it would assume there anyway, then cut exactly.
    padded = nnf.pad(wave, (0, 1 + samples // 2**20))
    resampled = F.resample(
        padded,
        down,
        up,
        lowpass_filter_width=_CROSSINGS,
        rolloff=_ROLLOFF,
        resampling_method="sinc_interp_kaiser",
        beta=_BETA,
    )
    return resampled[..., :wanted]


def _resample_odd(wave: Tensor, down: int, up: int) -> Tensor:
    """Rates with hardly a common divisor, such as 44101 -> 22050 Hz: the same filter by SciPy.

    torchaudio tabulates every phase of the filter, up × down taps: here gigabytes, in a minute, and
    with the rounding of single-precision phases. SciPy's one table is small and exact.
    """
    from scipy.signal import firwin, resample_poly  # half a second that hardly anyone needs

    most = max(up, down)
    kernel = firwin(2 * _CROSSINGS * most + 1, _ROLLOFF / most, window=("kaiser", _BETA))
    values = wave.detach().cpu().numpy()
    resampled = resample_poly(values, up, down, axis=-1, window=kernel.astype(values.dtype))
    return torch.from_numpy(resampled).to(wave)
