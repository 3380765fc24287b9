"""Searches of the rivals' priors."""

from __future__ import annotations

from instglow.rivals.code_search import CodeSearch
from instglow.separation.presets import Preset
from instglow.separation.refine import MixturePhase
from instglow.separation.search import LatentSearch

# Zhu et al. (2022), section IV, for "GAN-prior": projected gradient descent on the
# reconstruction objective. A cube takes larger steps than a flow; 100 nearly converge
GAN_PRIOR = Preset(LatentSearch("kl", steps=150, learning_rate=0.05), MixturePhase())

# Mancusi et al. (2021): two sources, priors of one codec
LQ_VAE = Preset(CodeSearch(), MixturePhase())
