"""Invertible layers, each with its inverse and the log-determinants of both."""

from instglow.flows.actnorm import ActNorm
from instglow.flows.amplitude import Amplitude, Linear, Power, SymmetricLog
from instglow.flows.conv1x1 import GroupedConv1x1
from instglow.flows.coupling import AffineCoupling, GatedWaveNet
from instglow.flows.glow import Glow
from instglow.flows.squeeze import Squeeze

__all__ = [
    "ActNorm",
    "AffineCoupling",
    "Amplitude",
    "GatedWaveNet",
    "Glow",
    "GroupedConv1x1",
    "Linear",
    "Power",
    "Squeeze",
    "SymmetricLog",
]
