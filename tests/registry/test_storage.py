"""What is stored in fewer bits separates as what was trained does."""

import copy

import pytest
import torch

from instglow import Frontend, Separator
from instglow.families.glow import GlowPrior
from instglow.registry.weights import digest, fill, pack, unpack
from instglow.separation.presets import PRESETS


def prior(seed: int) -> GlowPrior:
    torch.manual_seed(seed)
    sizes = {"hidden": 32, "layers": 2, "amplitude": "power:0.5"}
    made = GlowPrior(Frontend(8000, 256, 64), 2, **sizes, denoiser={"hidden": 32, "layers": 2})
    for weight in made.parameters():
        weight.data += 0.02 * torch.randn_like(weight)
    return made.eval()


def stored(original: GlowPrior, storage) -> GlowPrior:
    content, again = pack(original, "bass", storage), copy.deepcopy(original)
    fill(again, unpack(content, digest(content), "weights"), "weights")
    return again


@pytest.mark.parametrize(("storage", "decibels"), [("float16", -60), ("int7", -30)])
@pytest.mark.parametrize("preset", ["fast", "default"])
def test_stems_are_those_of_float32(storage, decibels, preset):
    wave = 0.1 * torch.randn(4000, generator=torch.Generator().manual_seed(0))
    priors = {"bass": prior(0), "drums": prior(1)}
    narrow = {name: stored(one, storage) for name, one in priors.items()}
    assert any(
        not torch.equal(a, b)
        for a, b in zip(priors["bass"].parameters(), narrow["bass"].parameters(), strict=True)
    )
    expected = Separator(priors, PRESETS[preset]).separate(wave, 8000)
    found = Separator(narrow, PRESETS[preset]).separate(wave, 8000)
    for name, stem in expected.items():
        difference = (found[name] - stem).square().sum() / stem.square().sum()
        assert 10 * difference.log10() < decibels, name
