"""How far what the priors generate is from the mixture."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Divergence = Callable[[Tensor, Tensor], Tensor]
"""(mixture, model), magnitudes of one shape -> the divergence of every element, >= 0."""

_FLOOR = 1e-8


def kullback_leibler(mixture: Tensor, model: Tensor) -> Tensor:
    """m log(m / Σ) − m + Σ: the negative log-likelihood of a Poisson mixture, up to a constant.

    >>> float(kullback_leibler(torch.tensor(2.0), torch.tensor(2.0)))
    0.0
    """
    ratio = (mixture + _FLOOR).log() - (model + _FLOOR).log()
    return mixture * ratio - mixture + model


def squared_error(mixture: Tensor, model: Tensor) -> Tensor:
    """½ (m − Σ)²: the negative log-likelihood of Gaussian noise of variance 1."""
    return 0.5 * torch.square(mixture - model)


def root_squared_error(mixture: Tensor, model: Tensor) -> Tensor:
    """2 (√m − √Σ)²: Gaussian noise on square roots, which a Poisson variable has nearly."""
    return 2 * torch.square((mixture + _FLOOR).sqrt() - (model + _FLOOR).sqrt())


DIVERGENCES: dict[str, Divergence] = {
    "kl": kullback_leibler,
    "l2": squared_error,
    "root-l2": root_squared_error,
}
