"""The rivals as methods that `instglow evaluate` can measure."""

from __future__ import annotations

from collections.abc import Callable

from instglow.evaluation.catalogue import Request, source_only
from instglow.evaluation.method import Method
from instglow.rivals.supervised import supervised


def musicglow(request: Request) -> Method:
    """One Glow for all instruments, by the paper's search."""
    return source_only("musicglow", request, "paper", "musicglow")


def gan_prior(request: Request) -> Method:
    """A GAN for each stem."""
    return source_only("gan-prior", request, "gan-prior", "{stem}-gan")


def lq_vae(request: Request) -> Method:
    """An autoregressive prior over codes for each of two stems."""
    return source_only("lq-vae", request, "lq-vae", "{stem}-lq-vae")


def _network(name: str) -> Callable[[Request], Method]:
    def build(request: Request) -> Method:
        return supervised(name, request.weights.get(name), request.root, request.device)

    return build


wave_u_net = _network("wave-u-net")
conv_tasnet = _network("conv-tasnet")
hdemucs = _network("hdemucs")
openunmix = _network("openunmix")
demucs = _network("demucs")
mask_net = _network("mask-net")
