"""Two frames and two bins folded into channels."""

from __future__ import annotations

import torch.nn.functional as nnf
from einops import rearrange
from torch import Tensor


class Squeeze:
    """(batch, bins, frames) ◀▶ (batch, 2 · bins, frames / 2); a permutation, so its ladj is 0.

    The channels of the result are, in this order: even bins of the even frame, odd bins of the
    even frame, even bins of the odd frame, odd bins of the odd frame. So the halves that
    `AffineCoupling` takes are the two frames, and the four quarters are what `GroupedConv1x1`
    mixes. GlowTTS interleaves the bins instead and permutes inside every 1×1 convolution; the maps
    are the same.
    """

    def __call__(self, x: Tensor) -> Tensor:
        """(batch, bins, frames) -> (batch, 2 · bins, ceil(frames / 2)); bins even.

        An odd last frame is given a copy of itself as its partner.
        """
        even = nnf.pad(x, (0, x.shape[-1] % 2), mode="replicate")
        return rearrange(even, "b (c pair) (t two) -> b (two pair c) t", two=2, pair=2)

    def inverse(self, y: Tensor, frames: int) -> Tensor:
        """(batch, 2 · bins, ceil(frames / 2)) -> (batch, bins, frames); an odd partner is cut."""
        wide = rearrange(y, "b (two pair c) t -> b (c pair) (t two)", two=2, pair=2)
        return wide[..., :frames]
