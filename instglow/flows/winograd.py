"""Winograd's short convolutions along frames: fewer multiplications for the same numbers.

Four neighbouring outputs of a kernel of 5 need 20 multiplications the direct way, 8 this way
(Winograd, "Arithmetic Complexity of Computations", 1980; the construction is Toom and Cook's):
transform the 8 frames they see, transform the kernel, multiply, transform back.

Frames are held in tiles of `TILE`, as (TILE, batch, tiles, channels): frame 4 i + p of an item is
at [p, item, i]. All transforms are then small matrices times one long row, and no number moves.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import torch
import torch.nn.functional as nnf
from torch import Tensor

TILE = 4
KERNELS = (3, 5)
"""Sizes with few enough points that rounding stays at a few units of the last place."""

_POINTS = (0.0, 1.0, -1.0, 2.0, -2.0, 0.5, -0.5)


@dataclass(frozen=True)
class Transforms:
    """output · ((weight · w) ⊙ (window · x)) is the correlation of x with w.

    Attributes:
        window: (points, points), of the frames that a tile's outputs see.
        weight: (points, kernel).
        output: (TILE, points).
    """

    window: Tensor
    weight: Tensor
    output: Tensor


@cache
def transforms(kernel: int, dtype: torch.dtype) -> Transforms:
    """Toom and Cook's matrices for a tile of `TILE` outputs of one kernel size in `KERNELS`."""
    finite = torch.tensor(_POINTS[: TILE + kernel - 2], dtype=torch.float64)
    points = len(finite) + 1
    window = torch.zeros(points, points, dtype=torch.float64)
    weight = torch.zeros(points, kernel, dtype=torch.float64)
    output = torch.zeros(TILE, points, dtype=torch.float64)
    for row, point in enumerate(finite):
        others = torch.cat([finite[:row], finite[row + 1 :]])
        # both sides of the product share its size, so that neither loses digits
        size = (point - others).prod().abs().sqrt()
        window[row, :-1] = _with_roots(others) / size
        weight[row] = point ** torch.arange(kernel) / ((point - others).prod() / size)
        output[:, row] = point ** torch.arange(TILE)
    # the last point lies at infinity
    window[-1] = _with_roots(finite)
    weight[-1, -1] = 1
    output[-1, -1] = 1
    return Transforms(window.to(dtype), weight.to(dtype), output.to(dtype))


def _with_roots(roots: Tensor) -> Tensor:
    """The coefficients of the product of all (x − root), that of 1 first."""
    polynomial = torch.ones(1, dtype=roots.dtype)
    for root in roots:
        polynomial = nnf.pad(polynomial, (1, 0)) - root * nnf.pad(polynomial, (0, 1))
    return polynomial


def to_tiles(x: Tensor) -> Tensor:
    """(batch, channels, frames) -> (TILE, batch, tiles, channels), zeros after the last frame."""
    batch, channels, frames = x.shape
    padded = nnf.pad(x, (0, -frames % TILE))
    return padded.view(batch, channels, -1, TILE).permute(3, 0, 2, 1).contiguous()


def from_tiles(tiles: Tensor, frames: int) -> Tensor:
    """(TILE, batch, tiles, channels) -> (batch, channels, frames)."""
    return tiles.permute(1, 3, 2, 0).flatten(2)[..., :frames]


def silence_after(tiles: Tensor, frames: int) -> None:
    """Set what lies after the last frame to zero, in place."""
    if frames % TILE:
        tiles[frames % TILE :, :, -1] = 0


def windows(tiles: Tensor, kernel: int) -> Tensor:
    """(TILE, batch, tiles, channels) -> (TILE + kernel − 1, batch, tiles, channels).

    The frames that a tile's outputs see: its own and `kernel // 2` of each neighbour, zeros
    outside the item.
    """
    reach = kernel // 2
    seen = tiles.new_empty(TILE + 2 * reach, *tiles.shape[1:])
    seen[:reach, :, 0] = 0
    seen[:reach, :, 1:] = tiles[TILE - reach :, :, :-1]
    seen[reach : reach + TILE] = tiles
    seen[reach + TILE :, :, :-1] = tiles[:reach, :, 1:]
    seen[reach + TILE :, :, -1] = 0
    return seen


def add_windows(tiles: Tensor, seen: Tensor) -> None:
    """The transpose of `windows`: add to each frame, in place, what its windows hold."""
    reach = (len(seen) - TILE) // 2
    tiles += seen[reach : reach + TILE]
    tiles[TILE - reach :, :, :-1] += seen[:reach, :, 1:]
    tiles[:reach, :, 1:] += seen[reach + TILE :, :, :-1]
