"""The gated layers in one operation are the layers one by one, forth and back."""

import pytest
import torch
import torch.nn.functional as nnf

from instglow.flows import GatedWaveNet
from instglow.flows.winograd import TILE, transforms

HIDDEN, BATCH = 6, 2


def network(kernel: int, condition: int = 0, **options) -> GatedWaveNet:
    torch.manual_seed(0)
    made = GatedWaveNet(4, 5, HIDDEN, 3, kernel, condition=condition, **options).double()
    for parameter in made.parameters():
        torch.nn.init.normal_(parameter, std=0.4)
    return made


def one_by_one(made: GatedWaveNet, x: torch.Tensor, condition: torch.Tensor | None):
    """WaveGlow's network from its definition, on autograd alone."""
    stream, skips = made.start(x), 0
    for layer, (gate, mix) in enumerate(zip(made.gates, made.mixes, strict=True)):
        both = nnf.conv1d(
            stream, gate.weight, gate.bias, padding=gate.padding, dilation=gate.dilation
        )
        if condition is not None:
            told = made.conditioning(condition).unflatten(1, (len(made.gates), -1))
            both = both + told[:, layer, :, None]
        mixed = mix(both[:, :HIDDEN].tanh() * both[:, HIDDEN:].sigmoid())
        skips = skips + mixed[:, -HIDDEN:]
        if layer < len(made.gates) - 1:
            stream = stream + mixed[:, :HIDDEN]
    return made.end(skips)


def value_and_gradients(function, made, x, condition):
    y = function(x, condition)
    upstream = torch.randn(
        y.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(3)
    ).to(y)
    wanted = [x, *made.parameters()] + ([] if condition is None else [condition])
    return [y, *torch.autograd.grad(y, wanted, upstream)]


@pytest.mark.parametrize("frames", [1, 3, 4, 5, 11])
@pytest.mark.parametrize("kernel", [3, 5, 7])
@pytest.mark.parametrize("condition", [0, 2])
@pytest.mark.parametrize("dilation_rate", [1, 2])
def test_values_and_gradients_are_those_of_the_definition(frames, kernel, condition, dilation_rate):
    made = network(kernel, condition, dilation_rate=dilation_rate)
    x = torch.randn(BATCH, 4, frames, dtype=torch.float64, requires_grad=True)
    told = torch.randn(BATCH, condition, dtype=torch.float64, requires_grad=True)
    told = told if condition else None
    found = value_and_gradients(made, made, x, told)
    expected = value_and_gradients(
        lambda x, condition: one_by_one(made, x, condition), made, x, told
    )
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)


def test_single_precision_loses_no_more_than_a_few_last_places():
    torch.manual_seed(1)
    made = GatedWaveNet(4, 5, HIDDEN, 4, 5)
    torch.nn.init.normal_(made.end.weight)
    x = torch.randn(BATCH, 4, 43, requires_grad=True)
    found = value_and_gradients(made, made, x, None)
    exact = x.detach().double().requires_grad_()
    expected = value_and_gradients(
        lambda x, condition: one_by_one(made, x, condition), made.double(), exact, None
    )
    for ours, theirs in zip(found, expected, strict=True):
        assert (ours - theirs).norm() < 1e-5 * theirs.norm()


def test_learning_and_frozen_networks_answer_alike():
    made, x = network(5), torch.randn(BATCH, 4, 9, dtype=torch.float64)
    learning = made(x)
    with torch.no_grad():
        torch.testing.assert_close(made(x), learning)
    made.requires_grad_(False)
    torch.testing.assert_close(made(x), learning)


def test_half_precision_is_left_to_the_convolutions():
    made, x = network(5).float(), torch.randn(BATCH, 4, 9)
    expected = made(x)
    with torch.autocast("cpu", torch.bfloat16):
        found = made(x)
    assert found.dtype == torch.bfloat16
    assert (found - expected).norm() < 0.05 * expected.norm()


@pytest.mark.parametrize("kernel", [3, 5])
def test_transforms_multiply_to_a_correlation(kernel):
    toom = transforms(kernel, torch.float64)
    frames = torch.randn(TILE + kernel - 1, dtype=torch.float64)
    taps = torch.randn(kernel, dtype=torch.float64)
    found = toom.output @ ((toom.weight @ taps) * (toom.window @ frames))
    torch.testing.assert_close(found, frames.unfold(0, kernel, 1) @ taps)
    # what the gradient of a bias is read from
    assert torch.equal(toom.output[:, 1], torch.ones(TILE, dtype=torch.float64))
