"""Stems and the priors that they come from."""

import pytest
import torch

from instglow.api import Separator, load_priors, parse_priors
from instglow.audio.frontend import Frontend
from instglow.errors import ConfigError, InvalidName, PriorNotFound
from instglow.families.glow import GlowPrior
from instglow.families.nmf import NMFPrior
from instglow.registry import Layer, Registry
from instglow.rivals.families.conditional_glow import ConditionalGlowPrior
from instglow.separation.presets import Preset
from instglow.separation.refine import RatioMask
from instglow.separation.search import LatentSearch

FRONTEND = Frontend(8000, 64, 16)
QUICK = Preset(LatentSearch(steps=3), RatioMask())


@pytest.fixture
def registry(tmp_path) -> Registry:
    torch.manual_seed(0)
    registry = Registry([Layer(tmp_path, "")])
    size = {"steps": 1, "hidden": 4, "layers": 1}
    band = ConditionalGlowPrior(FRONTEND, ["bass", "drums"], embedding=3, **size)
    for parameter in band.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    registry.add("band", band, licence="CC0")
    registry.add("bass", NMFPrior(FRONTEND, atoms=2), licence="CC0")
    registry.add("guitar", GlowPrior(FRONTEND, **size), licence="CC0")
    return registry


@pytest.fixture
def loads(registry, monkeypatch) -> list[str]:
    """Names of the priors loaded so far."""
    loaded, load = [], registry.load

    def counted(name: str):
        loaded.append(name)
        return load(name)

    monkeypatch.setattr(registry, "load", counted)
    return loaded


def test_a_stem_comes_from_the_prior_of_its_name_or_from_another(registry, loads):
    priors = load_priors(["low=bass", "guitar", "bass", "guitar=guitar", "guitar"], registry)
    assert list(priors) == ["low", "guitar", "bass"]
    assert [prior.family for prior in priors.values()] == ["nmf", "glow", "nmf"]
    assert loads == ["bass", "guitar"]


def test_stems_of_one_model_are_its_instruments_and_share_its_weights(registry, loads):
    priors = load_priors("bass=band,drums=band", registry)
    assert loads == ["band"]
    assert next(priors["bass"].parameters()) is next(priors["drums"].parameters())
    latent = priors["bass"].initial_latent(1, 4) + 0.5
    bass, drums = (priors[name].decode(latent, 4).magnitude for name in ("bass", "drums"))
    whole = registry.load("band")
    torch.testing.assert_close(drums, whole.of("drums").decode(latent, 4).magnitude)
    assert not torch.allclose(bass, drums)


@pytest.mark.parametrize("names", ["lead=bass,rhythm=bass", "lead=guitar,rhythm=guitar,bass=band"])
def test_one_prior_serves_two_stems(registry, names):
    mixture = 0.1 * torch.randn(2, 1500, generator=torch.Generator().manual_seed(0))
    stems = Separator(load_priors(names, registry), QUICK, segment=0.1, overlap=0.02).separate(
        mixture, 8000
    )
    assert list(stems) == list(parse_priors(names))
    torch.testing.assert_close(sum(stems.values()), mixture, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(
    ("names", "error", "message"),
    [
        (
            ["bass", "bass=band"],
            ConfigError,
            "stem 'bass' is to come from prior 'bass' and ",
        ),
        (["band"], ConfigError, "unknown instrument 'band': this prior knows bass, drums; "),
        (["harp=band"], ConfigError, "unknown instrument 'harp': this prior knows bass, drums; "),
        (["bass=bras"], PriorNotFound, "no prior 'bras'; near: bass"),
        (["../x=bass"], InvalidName, "'../x' is no name"),
        (["=bass"], InvalidName, "'' is no name"),
        (["bass="], InvalidName, "'' is no name"),
        (["a=b=c"], InvalidName, "'b=c' is no name"),
    ],
)
def test_names_that_make_no_stems(registry, names, error, message):
    with pytest.raises(error, match=message):
        load_priors(names, registry)


def test_one_text_is_split_at_its_commas():
    assert parse_priors(" a=x, b,, a=x") == parse_priors(["a=x", "b"]) == {"a": "x", "b": "b"}
