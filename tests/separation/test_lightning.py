"""The engine behind `Trainer.predict`."""

import pytest
import torch
from lightning.pytorch import Trainer
from torch.utils.data import DataLoader
from toys import low_and_high, tone

from instglow.api import Separator, _InMemory
from instglow.separation.lightning import SeparationModule, SongChunks
from instglow.separation.presets import Preset
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
    chunks = SongChunks(_InMemory(mixture, 8000), module.engine)
    trainer = Trainer(
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    batches = trainer.predict(module, DataLoader(chunks, batch_size=3))
    pieces = list(module.engine.join(chunks.chunks, batches))
    assert len(batches) == 2
    stems = torch.cat([piece.stems for piece in pieces], -1)
    for stem, name in zip(stems, names, strict=True):
        torch.testing.assert_close(stem, expected[name], rtol=1e-4, atol=1e-5)


def test_its_priors_are_moved_with_it():
    module = SeparationModule(low_and_high(), 8000)
    assert list(module.priors) == list(module.engine.priors.values())
