"""One contract over every invertible layer: exact return, and log-determinants against autograd."""

import pytest
import torch

from instglow.flows import (
    ActNorm,
    AffineCoupling,
    Glow,
    GroupedConv1x1,
    Linear,
    Power,
    SymmetricLog,
)
from instglow.flows.amplitude import amplitude
from instglow.flows.glow import FlowStep

NETWORK = {"hidden": 5, "layers": 3, "kernel": 3, "dilation_rate": 2}
CHANNELS = 8

LAYERS = {
    "actnorm": lambda: ActNorm(CHANNELS),
    "conv1x1": lambda: GroupedConv1x1(CHANNELS),
    "conv1x1 of 2": lambda: GroupedConv1x1(CHANNELS, groups=2),
    "coupling": lambda: AffineCoupling(CHANNELS, **NETWORK),
    "bounded coupling": lambda: AffineCoupling(CHANNELS, bounded=True, **NETWORK),
    "step": lambda: FlowStep(CHANNELS, groups=4, bounded=False, **NETWORK),
    "linear": Linear,
    "power": lambda: Power(0.4),
    "log": lambda: SymmetricLog(0.3),
}


def randomised(layer: torch.nn.Module) -> torch.nn.Module:
    """A fresh coupling is the identity and a fresh actnorm too: both would hide mistakes."""
    torch.manual_seed(1)
    layer = layer.double()
    for parameter in layer.parameters():
        torch.nn.init.normal_(parameter, std=0.4)
    return layer.eval()


def jacobian_ladj(function, x: torch.Tensor) -> torch.Tensor:
    """(batch,) log|det| of each item's own Jacobian."""
    terms = []
    for item in x:
        jacobian = torch.autograd.functional.jacobian(lambda t: function(t[None])[0][0], item)
        terms.append(torch.linalg.slogdet(jacobian.reshape(item.numel(), -1)).logabsdet)
    return torch.stack(terms)


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("frames", [1, 2, 5])
@pytest.mark.parametrize("batch", [1, 3])
def test_layer(name, frames, batch):
    layer = randomised(LAYERS[name]())
    x = torch.randn(batch, CHANNELS, frames, dtype=torch.float64)
    y, ladj = layer(x)
    back, inverse_ladj = layer.inverse(y)
    torch.testing.assert_close(back, x, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(ladj, jacobian_ladj(layer, x))
    torch.testing.assert_close(inverse_ladj, jacobian_ladj(layer.inverse, y))
    assert ladj.shape == (batch,)


@pytest.mark.parametrize("frames", [2, 6])
def test_glow(frames):
    glow = randomised(Glow(4, steps=3, **NETWORK))
    x = torch.randn(2, 4, frames, dtype=torch.float64)
    z, ladj = glow(x)
    back, inverse_ladj = glow.inverse(z)
    torch.testing.assert_close(back, x, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(ladj, jacobian_ladj(glow, x))
    torch.testing.assert_close(inverse_ladj, jacobian_ladj(glow.inverse, z))


@pytest.mark.parametrize("frames", [1, 7])
def test_glow_gives_an_odd_last_frame_a_partner(frames):
    glow = randomised(Glow(4, steps=3, **NETWORK))
    x = torch.randn(2, 4, frames, dtype=torch.float64)
    z, _ = glow(x)
    assert z.shape == (2, 4, frames + 1)
    torch.testing.assert_close(glow.inverse(z)[0][..., :frames], x, rtol=1e-9, atol=1e-9)


def test_a_fresh_glow_is_linear_and_preserves_volume():
    x = torch.randn(2, 4, 6)
    glow = Glow(4, steps=3, **NETWORK).eval()
    torch.testing.assert_close(glow(2 * x)[0], 2 * glow(x)[0])
    torch.testing.assert_close(glow(x)[1], torch.zeros(2), atol=1e-4, rtol=0)


@pytest.mark.parametrize("spec", ["power:0.5", "log:0.1", "linear"])
def test_amplitudes_are_odd_and_increasing(spec):
    layer = amplitude(spec)
    x = torch.linspace(-3, 3, 101)[None]
    y, _ = layer(x)
    assert (y.diff() > 0).all()
    torch.testing.assert_close(layer(-x)[0], -y)


@pytest.mark.parametrize("spec", ["", "power", "power:2", "log:-1", "cubic:3", "linear:1"])
def test_an_amplitude_that_is_none_is_refused(spec):
    with pytest.raises(ValueError, match="must be"):
        amplitude(spec)


def test_the_kept_half_of_a_coupling_is_kept():
    layer = randomised(AffineCoupling(CHANNELS, **NETWORK))
    x = torch.randn(2, CHANNELS, 3, dtype=torch.float64)
    y, _ = layer(x)
    assert torch.equal(y[:, : CHANNELS // 2], x[:, : CHANNELS // 2])
    assert not torch.isclose(y[:, CHANNELS // 2 :], x[:, CHANNELS // 2 :]).any()
