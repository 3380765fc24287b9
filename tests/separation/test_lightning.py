"""The engine behind `Trainer.predict`."""

from dataclasses import replace

import pytest
import torch
from lightning.pytorch import Trainer
from torch.utils.data import DataLoader
from toys import low_and_high, tone

from instglow.api import Separator, _InMemory, load_priors
from instglow.registry import Registry
from instglow.separation.lightning import SeparationModule, SongChunks
from instglow.separation.presets import PRESETS, Preset
from instglow.separation.refine import MixturePhase
from instglow.separation.search import LatentSearch

# that of the paper, but for a few large steps
QUICK = Preset(LatentSearch(steps=30, learning_rate=0.1), MixturePhase(), match_level=False)


@pytest.mark.parametrize("names", [("low", "high"), ("high",), ("keys", "items"), ("type", "half")])
def test_a_trainer_predicts_what_the_engine_separates(names):
    priors = dict(zip(names, low_and_high().values(), strict=False))
    samples = 3 * 8000
    mixture = torch.stack([tone(500, samples, 8000) + tone(3000, samples, 8000)] * 2)
    expected = Separator(priors, QUICK, segment=1.0).separate(mixture, 8000)

    module = SeparationModule(priors, 8000, QUICK, segment=1.0)
    stems = predicted(module, mixture, 8000, batches=2)
    for stem, name in zip(stems, names, strict=True):
        torch.testing.assert_close(stem, expected[name], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("names", ["bass", "drums,guitar"])
def test_any_subset_of_registered_priors_is_loaded_and_gives_the_mixtures_phase(names):
    registry = Registry.default()
    song = 0.1 * torch.randn(1, 11025, generator=torch.Generator().manual_seed(0))
    paper = PRESETS["paper"]
    few = replace(paper, search=replace(paper.search, steps=3))
    module = SeparationModule(load_priors(names, registry), 22050, few, segment=60.0)
    stems = predicted(module, song, 22050, batches=1)
    expected = Separator(load_priors(names, registry), few).separate(song, 22050)
    assert len(stems) == len(expected)
    frontend = module.engine.frontend
    for stem, same in zip(stems, expected.values(), strict=True):
        torch.testing.assert_close(stem, same, rtol=1e-4, atol=1e-5)
    # one chunk, one inverse transform: where a stem sounds, it has the phase of the mixture
    angle = torch.angle(frontend.spectrogram(sum(stems)) / frontend.spectrogram(song))
    loud = frontend.magnitude(sum(stems)) > 0.5 * frontend.magnitude(sum(stems)).mean()
    assert angle[loud].abs().median() < 0.3


def predicted(module: SeparationModule, song: torch.Tensor, rate: int, batches: int):
    """-> (sources, channels, samples) by way of a trainer."""
    chunks = SongChunks(_InMemory(song, rate), module.engine)
    trainer = Trainer(
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    found = trainer.predict(module, DataLoader(chunks, batch_size=3))
    assert len(found) == batches
    return torch.cat([piece.stems for piece in module.engine.join(chunks.chunks, found)], -1)


def test_its_priors_are_moved_with_it():
    module = SeparationModule(low_and_high(), 8000)
    assert list(module.priors) == list(module.engine.priors.values())
