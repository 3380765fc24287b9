import sys

import pytest
import torch

from instglow.errors import ConfigError, DependencyError
from instglow.rivals.networks import NETWORKS, network
from instglow.rivals.networks.base import SHORTEST, Network

SOURCES = ["bass", "drums", "guitar"]
SMALL = {
    "wave-u-net": {"depth": 3, "channels": 4},
    "conv-tasnet": {"filters": 16, "channels": 8, "hidden": 8, "layers": 2, "stacks": 1},
    "hdemucs": {"channels": 4},
    "openunmix": {"n_fft": 512, "hop_length": 128, "hidden": 16, "layers": 1},
    "demucs": {"channels": 4, "depth": 5},
    "mask-net": {"n_fft": 256, "hop_length": 64, "hidden": 8, "layers": 2},
}
PACKAGES = {"openunmix": "openunmix", "demucs": "demucs"}


@pytest.fixture(params=NETWORKS)
def small(request) -> Network:
    if request.param in PACKAGES:
        pytest.importorskip(PACKAGES[request.param])
    torch.manual_seed(0)
    return network(request.param)(SOURCES, 8000, **SMALL[request.param]).eval()


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return 0.1 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_a_network_is_all_that_it_says_of_itself(small):
    assert (small.sources, small.sample_rate) == (SOURCES, 8000)
    assert small.architecture.items() >= SMALL[small.name].items()
    twin = network(small.name)(small.sources, small.sample_rate, **small.architecture).eval()
    twin.load_state_dict(small.state_dict())
    mixture = noise(1, 4000)
    assert torch.equal(twin(mixture), small(mixture))


@torch.inference_mode()
@pytest.mark.parametrize("samples", [1, 192, 257, 320, 700, 4096, 4097, 9001])
def test_stems_are_as_long_as_their_mixture(small, samples):
    stems = small(noise(2, samples))
    assert stems.shape == (2, len(SOURCES), samples)
    assert stems.isfinite().all()


@torch.inference_mode()
@pytest.mark.parametrize("n_fft", [2048, 4096])
def test_hybrid_demucs_of_long_windows_takes_short_mixtures(n_fft):
    small = network("hdemucs")(SOURCES, 8000, channels=4, n_fft=n_fft, depth=6).eval()
    for samples in (1, 513, 1280, SHORTEST + 1):
        assert small(noise(1, samples)).shape == (1, len(SOURCES), samples)


def test_every_parameter_learns(small):
    loss = (small(noise(2, 8192)) - noise(2, len(SOURCES), 8192, seed=1)).abs().mean()
    loss.backward()
    idle = [n for n, p in small.named_parameters() if p.grad is None or not p.grad.any()]
    assert idle == []


@torch.inference_mode()
def test_mixtures_of_a_batch_do_not_touch_each_other(small):
    mixture = noise(3, 5000)
    mixture[1] *= 20
    alone = torch.cat([small(item[None]) for item in mixture])
    torch.testing.assert_close(small(mixture), alone, rtol=1e-3, atol=1e-5)


def test_the_difference_output_leaves_nothing_out():
    small = network("wave-u-net")(SOURCES, 8000, difference=True, **SMALL["wave-u-net"])
    mixture = noise(2, 1001)
    torch.testing.assert_close(small(mixture).sum(1), mixture)


def test_a_wave_u_net_interpolates_where_it_decimated():
    # one level whose convolutions copy: the path through the bottom is decimation and linear
    # interpolation alone, which keep a straight line as it is
    line = torch.linspace(0, 0.1, 101)[None]
    small = network("wave-u-net")(["all"], 8000, depth=1, channels=1)
    for parameter in small.parameters():
        torch.nn.init.zeros_(parameter)
    with torch.no_grad():
        small.down[0][0].weight[0, 0, 7] = 1
        small.bottom[0].weight[0, 0, 7] = 1
        small.up[0][0].weight[0, 0, 2] = 1  # of (below, skip): below
        small.output.weight[0, 0, 0] = 1
    torch.testing.assert_close(small.stems(line)[0].atanh(), line)


def test_the_loss_of_a_network_is_that_of_its_stems(small):
    solos = noise(2, 3, 4000)
    loss = small.loss(solos)
    loss.backward()
    assert all(torch.isfinite(p.grad).all() for p in small.parameters() if p.grad is not None)
    if small.name != "mask-net":
        torch.testing.assert_close(loss, (small(solos.sum(1)) - solos).abs().mean())


def test_the_loss_of_masks_is_relative_to_the_mixture_and_bears_silence():
    masks = network("mask-net")(SOURCES, 8000, **SMALL["mask-net"])
    solos = noise(2, 3, 4000)
    torch.testing.assert_close(masks.loss(0.1 * solos), masks.loss(solos), rtol=1e-3, atol=0)
    loss = masks.loss(torch.zeros(1, 3, 4000))
    loss.backward()
    assert torch.isfinite(loss)
    assert all(torch.isfinite(p.grad).all() for p in masks.parameters())
    # one source alone, two silent: a network that gives it all errs less than one that shares
    alone = solos * torch.tensor([1.0, 0.0, 0.0])[:, None]
    with torch.no_grad():
        shared = masks.loss(alone)
        masks.body.end.weight.zero_()
        bins = masks.frontend.bins
        masks.body.end.bias.copy_(torch.tensor([9.0, 0.0, 0.0]).repeat_interleave(bins))
        assert masks.loss(alone) < 0.1 * shared


@pytest.mark.parametrize(("sources", "rate"), [([], 8000), (["bass", "bass"], 8000), (["bass"], 0)])
def test_sources_that_make_no_network_are_refused(sources, rate):
    with pytest.raises(
        ConfigError, match="sources must be distinct names and sample_rate above 0, got "
    ):
        network("wave-u-net")(sources, rate)


def test_an_unknown_network_is_answered_with_the_known():
    with pytest.raises(
        ConfigError, match=f"unknown network 'u-net'; choose one of {', '.join(NETWORKS)}"
    ):
        network("u-net")


def test_a_network_without_its_package_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "openunmix.model", None)
    with pytest.raises(DependencyError, match=r'pip install "instglow\[baselines\]"'):
        network("openunmix")(SOURCES, 8000)
