"""The search of an LQ-VAE: two sequences of codes, drawn so that they average to the mixture's."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from instglow.errors import ConfigError, require
from instglow.prior import Prior
from instglow.separation.objective import root_squared_error
from instglow.separation.search import OnStep, SearchResult, require_seed

_IMPOSSIBLE = -300.0
"""Log-weights end here, so that a product of three is still a number in double precision."""


@runtime_checkable
class CodePrior(Protocol):
    """A prior over sequences of codes: `groups` codes for each position of `stride` frames."""

    @property
    def stride(self) -> int:
        """Frames of one position."""
        ...

    @property
    def codebooks(self) -> Tensor:
        """(groups, entries, channels): what the codes of each group stand for."""
        ...

    def codec_state(self) -> dict[str, Tensor]:
        """What two priors must have in common for their codes to mean the same."""
        ...

    def codes(self, magnitude: Tensor) -> Tensor:
        """(batch, bins, frames) linear amplitude -> (batch, positions, groups) codes."""
        ...

    def next_logits(self, history: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Of n codes, (samples, n), and the state after n − 1 -> (samples, entries) and the state.

        The logits are log-probabilities up to a constant; the state is (samples, ...).
        """
        ...

    def decode_codes(self, codes: Tensor, frames: int) -> Tensor:
        """(batch, positions, groups) codes -> (batch, bins, frames) linear amplitude, >= 0."""
        ...


@dataclass(frozen=True)
class CodeSearch:
    """Draws pairs of codes from p₁(k₁|past) p₂(k₂|past) exp(−‖(e_k₁ + e_k₂)/2 − e_m‖² / 2σ²).

    e_m is what half the mixture is encoded as: Mancusi et al. (2021). They draw many pieces of
    three seconds and keep the best. Here all samples of a longer mixture go on from the best one
    after each window. A draw is exact, over every pair of codes: the weights of the pairs are one
    matrix for all samples, so that nothing has to be left out.

    Args:
        samples: drawn side by side, of which one is kept.
        temperature: that the priors' log-probabilities are divided by.
        sigma: σ, in units of the root mean square distance of a codebook's entries from their mean.
        window: positions after which the best sample is chosen: whose decoded sum is nearest to the
            mixture in square roots of magnitude.
        seed: of the draws; every mixture of a batch is given the same.
    """

    samples: int = 32
    temperature: float = 1.0
    sigma: float = 0.1
    window: int = 128
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("samples", "window", "temperature", "sigma"):
            value = getattr(self, name)
            require(0 < value < math.inf, name, "above 0 and finite", value)
        require_seed(self.seed)

    @property
    def iterations(self) -> int:
        """One: the codes of a mixture are drawn once."""
        return 1

    @torch.no_grad()
    def __call__(
        self, priors: Sequence[Prior], mixture: Tensor, on_step: OnStep | None = None
    ) -> SearchResult:
        """Search; see `LatentSearch`.

        The objective, (1, batch), is how far the decoded sum is from the mixture.

        Raises:
            ConfigError: for other than two priors, of a family without codes, or of two codecs.
        """
        pair = _pair(priors)
        # one by one: in a batch, a last bit that is rounded otherwise would change a draw, and with
        # it all that follow
        found = torch.cat([self._separate(pair, alone[None]) for alone in mixture])
        objective = root_squared_error(mixture, found.sum(1)).mean((1, 2))[None]
        if on_step:
            on_step(1, objective[-1])
        return SearchResult(found, objective)

    def _separate(self, pair: tuple[CodePrior, CodePrior], mixture: Tensor) -> Tensor:
        """(1, bins, frames) -> (1, 2, bins, frames)."""
        frames, stride = mixture.shape[-1], pair[0].stride
        observed = pair[0].codes(mixture / 2)[0]  # (positions, groups)
        positions, groups = observed.shape
        likelihood = AverageLikelihood(pair[0].codebooks, self.sigma)
        generator = torch.Generator().manual_seed(self.seed)
        # (sources, samples, codes)
        history = observed.new_zeros(2, self.samples, positions * groups)
        states: list[Tensor | None] = [None, None]
        for start in range(0, positions, self.window):
            stop = min(positions, start + self.window)
            for now in range(start * groups, stop * groups):
                probabilities = []
                for source, prior in enumerate(pair):
                    logits, states[source] = prior.next_logits(
                        history[source, :, :now], states[source]
                    )
                    probabilities.append(self._probabilities(logits))
                group = now % groups
                weights = likelihood.weights(group, int(observed[now // groups, group]))
                drawn = draw_pairs(probabilities[0], probabilities[1], weights, generator)
                history[:, :, now] = drawn.to(history)
            # every sample goes on from the best one
            heard = slice(start * stride, min(frames, stop * stride))
            recent = history[:, :, start * groups : stop * groups].unflatten(2, (-1, groups))
            best = self._best(pair[0], recent, mixture[..., heard])
            history = history[:, best : best + 1].expand(-1, self.samples, -1).clone()
            states = [
                None if state is None else state[best : best + 1].expand_as(state).contiguous()
                for state in states
            ]
        kept = history[:, 0].unflatten(1, (-1, groups))
        return pair[0].decode_codes(kept, frames)[None]

    def _probabilities(self, logits: Tensor) -> Tensor:
        # on the CPU in double precision: few numbers, and the same draws on every device
        log = (logits.cpu().double() / self.temperature).log_softmax(-1)
        return log.clamp(min=_IMPOSSIBLE / 2).exp()

    def _best(self, prior: CodePrior, codes: Tensor, mixture: Tensor) -> int:
        """(2, samples, positions, groups) and (1, bins, frames) -> number of a sample."""
        one, other = (prior.decode_codes(source, mixture.shape[-1]) for source in codes)
        return int(root_squared_error(mixture, one + other).mean((1, 2)).argmin())


class AverageLikelihood:
    """How well each pair of codes explains a code of the mixture: their average lies near it.

    Args:
        codebooks: (groups, entries, channels).
        sigma: see `CodeSearch`.
    """

    def __init__(self, codebooks: Tensor, sigma: float) -> None:
        # relative to the mean, which cancels: less is lost in the differences below
        entries = codebooks.cpu().double()
        entries = entries - entries.mean(1, keepdim=True)
        squares = entries.square().sum(-1)  # (groups, entries)
        self.products = entries @ entries.transpose(1, 2)  # (groups, entries, entries)
        self.averages = (squares[:, :, None] + squares[:, None, :] + 2 * self.products) / 4
        self.variance = sigma**2 * squares.mean(1).clamp(min=1e-12)

    def weights(self, group: int, code: int) -> Tensor:
        """-> (entries, entries) in double precision, > 0: 1 for the pair that explains it best."""
        near = self.products[group, code]
        # ‖(a + b)/2 − m‖² = ‖(a + b)/2‖² − a·m − b·m + ‖m‖², of which the last is the same for all
        distance = self.averages[group] - near[:, None] - near[None, :]
        log = -(distance - distance.min()) / (2 * self.variance[group])
        return log.clamp(min=_IMPOSSIBLE).exp()


def draw_pairs(one: Tensor, other: Tensor, weights: Tensor, generator: torch.Generator) -> Tensor:
    """Pairs with probability in proportion to one[i] · other[j] · weights[i, j].

    Args:
        one, other: (samples, entries), >= 0.
        weights: (entries, entries), > 0.
        generator: on the CPU, as all of these.

    Returns:
        (2, samples).
    """
    uniform = torch.rand(2, len(one), 1, dtype=one.dtype, generator=generator)
    first = _invert(one * (other @ weights.T), uniform[0])
    second = _invert(other * weights[first], uniform[1])
    return torch.stack([first, second])


def _invert(mass: Tensor, uniform: Tensor) -> Tensor:
    """(samples, entries) up to a factor, (samples, 1) in [0, 1) -> (samples,) entries."""
    cumulative = mass.cumsum(-1)
    found = torch.searchsorted(cumulative, uniform * cumulative[:, -1:], right=True)
    return found[:, 0].clamp(max=mass.shape[-1] - 1)


def _pair(priors: Sequence[Prior]) -> tuple[CodePrior, CodePrior]:
    if len(priors) != 2:
        raise ConfigError(
            f"a code search separates exactly two sources, got {len(priors)}; name two priors, or "
            "use another preset"
        )
    one, other = priors
    if not (isinstance(one, CodePrior) and isinstance(other, CodePrior)):
        raise ConfigError(
            f"a code search needs two priors over codes, got families {one.family!r} and "
            f"{other.family!r}; name two of family 'lq-vae', or use another preset"
        )
    codec, second = one.codec_state(), other.codec_state()
    if codec.keys() != second.keys() or not all(
        torch.equal(tensor, second[key]) for key, tensor in codec.items()
    ):
        raise ConfigError(
            "the two priors have different codecs, so their codes cannot be added; train both from "
            "one codec (model.init)"
        )
    return one, other
