"""What LQ-VAE is made of: a codec with vector-quantised latents, and a model of code sequences."""

from __future__ import annotations

import torch
import torch.nn.functional as nnf
from torch import Tensor, nn

_DECAY = 0.99
"""Of the moving averages that the codebooks follow."""
_DEAD = 0.1
"""Used less often than this share of the average, an entry starts anew from a latent at hand."""


class Codec(nn.Module):
    """Compressed magnitudes (batch, bins, frames) ◀▶ codes (batch, positions, groups).

    The latent between them is (batch, embedding, positions).
    """

    codebook: Tensor
    usage: Tensor

    def __init__(self, bins: int, codebook: int, embedding: int, hidden: int, groups: int) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Conv1d(bins, hidden, 1),
            nn.GELU(),
            nn.Conv1d(hidden, hidden, 4, stride=2, padding=1),
            nn.GELU(),
            nn.Conv1d(hidden, embedding, 3, padding=1),
            # a latent of variance 1: otherwise smaller codes would be more linear ones, until none
            # said anything
            nn.BatchNorm1d(embedding, affine=False),
        )
        self.decoder = nn.Sequential(
            nn.Conv1d(embedding, hidden, 3, padding=1),
            nn.GELU(),
            nn.ConvTranspose1d(hidden, hidden, 4, stride=2, padding=1),
            nn.GELU(),
            nn.Conv1d(hidden, bins, 1),
            nn.Softplus(),
        )
        self.register_buffer("codebook", torch.randn(groups, codebook, embedding // groups))
        # how many latents of a batch are nearest to each entry; all 0 before any training
        self.register_buffer("usage", torch.zeros(groups, codebook))

    def encode(self, data: Tensor) -> Tensor:
        """(batch, bins, frames) -> latent; an odd last frame counts twice."""
        return self.encoder(nnf.pad(data, (0, data.shape[-1] % 2), mode="replicate"))

    def decode(self, latent: Tensor, frames: int) -> Tensor:
        """Latent -> (batch, bins, frames), >= 0."""
        return self.decoder(latent)[..., :frames]

    def nearest(self, latent: Tensor) -> Tensor:
        """Latent -> the codes of the nearest entries."""
        codes = torch.cdist(self._vectors(latent), self.codebook).argmin(-1)
        return codes.view(len(self.codebook), len(latent), -1).permute(1, 2, 0)

    def embed(self, codes: Tensor) -> Tensor:
        """Codes -> latent."""
        groups = torch.arange(len(self.codebook), device=codes.device)
        return self.codebook[groups, codes].flatten(2).transpose(1, 2)

    def energy(self, latent: Tensor) -> Tensor:
        """Latent -> (batch,): −log Σ exp(−½ distance² / variance), over groups and positions."""
        vectors = self._vectors(latent)  # (groups, batch · positions, channels)
        variance = self.codebook.var(1, unbiased=False).mean(1).clamp(min=1e-6)[:, None, None]
        # not cdist, whose gradient is none at an entry itself
        squares = vectors.square().sum(-1, keepdim=True) + self.codebook.square().sum(-1)[:, None]
        distance = squares - 2 * vectors @ self.codebook.transpose(1, 2)
        cost = -(-0.5 * distance / variance).logsumexp(-1)  # (groups, batch · positions)
        return cost.view(len(cost), len(latent), -1).sum((0, 2))

    @torch.no_grad()
    def revive(self, latent: Tensor, generator: torch.Generator | None) -> None:
        """Move the entries that hardly anything is near to onto latents of this batch."""
        vectors = self._vectors(latent)
        average = vectors.shape[1] / self.usage.shape[1]
        dead = self.usage < _DEAD * average
        drawn = torch.randint(
            vectors.shape[1], self.usage.shape, generator=generator, device=vectors.device
        )
        fresh = vectors.gather(1, drawn[:, :, None].expand(-1, -1, vectors.shape[2]))
        self.codebook.copy_(torch.where(dead[:, :, None], fresh, self.codebook))
        self.usage.masked_fill_(dead, average)

    @torch.no_grad()
    def follow(self, latent: Tensor, codes: Tensor) -> None:
        """Move each entry towards the mean of the latents nearest to it (van den Oord, 2017)."""
        chosen = nnf.one_hot(codes.flatten(0, 1).T, self.usage.shape[1]).to(latent)
        sums = chosen.transpose(1, 2) @ self._vectors(latent)
        weighted = _DECAY * self.usage[:, :, None] * self.codebook + (1 - _DECAY) * sums
        self.usage.copy_(_DECAY * self.usage + (1 - _DECAY) * chosen.sum(1))
        self.codebook.copy_(weighted / self.usage.clamp(min=1e-8)[:, :, None])

    def _vectors(self, latent: Tensor) -> Tensor:
        """(batch, embedding, positions) -> (groups, batch · positions, channels of a group)."""
        split = latent.unflatten(1, (len(self.codebook), -1))
        return split.permute(1, 0, 3, 2).flatten(1, 2)


class CodeSequence(nn.Module):
    """Predicts each code from all before it: a gated recurrent network over the groups in turn."""

    def __init__(self, codebook: int, embedding: int, hidden: int, groups: int) -> None:
        super().__init__()
        self.codebook = codebook
        # the last is what stands before the first code
        self.tokens = nn.Embedding(groups * codebook + 1, embedding)
        self.network = nn.GRU(embedding, hidden, batch_first=True)
        self.heads = nn.ModuleList(nn.Linear(hidden, codebook) for _ in range(groups))

    def loss(self, codes: Tensor) -> Tensor:
        """(batch, positions, groups) -> the mean cross-entropy of a code in nats."""
        groups = len(self.heads)
        tokens = codes + self.codebook * torch.arange(groups, device=codes.device)
        before = nnf.pad(tokens.flatten(1)[:, :-1], (1, 0), value=groups * self.codebook)
        hidden = self.network(self.tokens(before))[0].unflatten(1, (-1, groups))
        logits = torch.stack([head(hidden[:, :, g]) for g, head in enumerate(self.heads)], 2)
        return nnf.cross_entropy(logits.flatten(0, 2), codes.flatten())

    def step(self, history: Tensor, state: Tensor | None) -> tuple[Tensor, Tensor]:
        """See `LQVAEPrior.next_logits`."""
        known, groups = history.shape[1], len(self.heads)
        if known:
            token = history[:, -1] + self.codebook * ((known - 1) % groups)
        else:
            token = history.new_full((len(history),), groups * self.codebook)
        _, hidden = self.network(
            self.tokens(token)[:, None], None if state is None else state[None]
        )
        return self.heads[known % groups](hidden[0]), hidden[0]
