import pytest
import torch
from lightning.pytorch import Callback
from tiny import RATE, Hum, data, read, trainer, training

from instglow.audio.frontend import Frontend
from instglow.errors import ConfigError
from instglow.families.nmf import NMFPrior
from instglow.registry import Registry
from instglow.registry.layer import Layer
from instglow.registry.model_card import confusion
from instglow.training.averaging import WeightAverage
from instglow.training.callbacks import Checkpoints
from instglow.training.discrimination import Discrimination
from instglow.training.module import PriorTraining
from instglow.training.publish import load_checkpoint, publish

LOW, HIGH = Hum(200.0), Hum(2000.0)
BITS = "held-out/bits_per_dim", "held-out-high/bits_per_dim", "held-out/gap"


class Figures(Callback):
    """What was logged after each validation."""

    def __init__(self):
        self.found = []

    def on_train_epoch_end(self, trainer, pl_module):
        self.found.append({k: float(v) for k, v in trainer.callback_metrics.items()})


def fit(folder, epochs=3, others=None, hertz=200.0, **options):
    seen = Figures()
    measuring = Discrimination(others or {"low": LOW, "high": HIGH}, **options)
    callbacks = [measuring, WeightAverage(), seen, Checkpoints(str(folder))]
    runner = trainer(epochs, callbacks)
    runner.fit(training(learning_rate=1e-2), data(hertz))
    return seen.found


def test_the_figures_are_those_that_validation_on_the_other_would_find(tmp_path):
    last = fit(tmp_path, segments=1000)[-1]
    (found,) = trainer(1, []).validate(
        training(), data(2000.0), ckpt_path=tmp_path / "last.ckpt", verbose=False, weights_only=True
    )
    own, other, gap = (last[name] for name in BITS)
    assert other == pytest.approx(found["held-out/bits_per_dim"], rel=1e-5)
    assert gap == pytest.approx(other - own, rel=1e-5)
    assert gap > 0.05  # it has learnt which one it is
    # the own instrument is not another
    assert "held-out-low/bits_per_dim" not in last


def test_the_smallest_of_the_others_makes_the_gap(tmp_path):
    (found,) = fit(tmp_path, 1, {"near": Hum(220.0), "high": HIGH})
    others = [found[f"held-out-{name}/bits_per_dim"] for name in ("near", "high")]
    assert others[0] < others[1]
    assert found["held-out/gap"] == pytest.approx(others[0] - found[BITS[0]], rel=1e-5)


def test_it_measures_every_so_many_validations_and_every_best(tmp_path):
    class Losses(Callback):
        def on_validation_epoch_end(self, trainer, pl_module):
            trainer.callback_metrics["held-out/loss"].fill_(-1.0 if trainer.current_epoch else -9.0)

    seen = Figures()
    callbacks = [
        Losses(),
        Discrimination({"high": HIGH}, every=3),
        seen,
        Checkpoints(str(tmp_path)),
    ]
    runner = trainer(4, callbacks)
    runner.fit(training(), data())
    # the first is the best, the third is due
    assert ["held-out/gap" in found for found in seen.found] == [True, False, True, False]
    assert "held-out/gap" not in read(tmp_path)["instglow"]["scores"]


def test_the_card_has_the_figures_of_all(tmp_path, capsys):
    fit(tmp_path / "run")
    _, about = load_checkpoint(tmp_path / "run" / "best.ckpt")
    registry = Registry([Layer(tmp_path / "priors", "test")])
    folder = publish(tmp_path / "run" / "best.ckpt", registry, "low")
    card = registry.list()[0].require_card()
    assert list(card.bits_per_dim) == ["low", "high"]
    own, other, _ = (about["scores"][name] for name in BITS)
    assert card.bits_per_dim == {"low": own, "high": other}
    assert "tell them apart" not in capsys.readouterr().out
    assert "tell them apart" not in (folder / "README.md").read_text()


def test_a_prior_that_likes_another_better_says_so_and_is_registered(tmp_path, capsys):
    fit(tmp_path / "run")
    checkpoint = read(tmp_path / "run", "best")
    scores = checkpoint["instglow"]["scores"]
    scores.update({"held-out/bits_per_dim": -1.0, "held-out-high/bits_per_dim": -1.5})
    torch.save(checkpoint, tmp_path / "odd.ckpt")
    registry = Registry([Layer(tmp_path / "priors", "test")])
    folder = publish(tmp_path / "odd.ckpt", registry, "low")
    line = "prior 'low' finds high likelier than low: -1.500 against -1.000 bits per dimension"
    (said,) = capsys.readouterr().out.splitlines()
    assert said == f"{line}; it may not tell them apart"
    assert line[1:] in (folder / "README.md").read_text()
    assert registry.list()[0].require_card().bits_per_dim == {"low": -1.0, "high": -1.5}


def test_figures_that_are_no_numbers_are_left_out(tmp_path):
    fit(tmp_path / "run", 1)
    checkpoint = read(tmp_path / "run", "best")
    scores = checkpoint["instglow"]["scores"]
    for own, other, expected in (
        (1.0, float("inf"), {"low": 1.0}),
        (float("nan"), 1.0, {}),
        (1.0, 2.0, {"low": 1.0, "high": 2.0}),
    ):
        scores.update({"held-out/bits_per_dim": own, "held-out-high/bits_per_dim": other})
        torch.save(checkpoint, tmp_path / "odd.ckpt")
        registry = Registry([Layer(tmp_path / "priors", "test")])
        publish(tmp_path / "odd.ckpt", registry, "low", replace=True)
        assert registry.list()[0].require_card().bits_per_dim == expected


@pytest.mark.parametrize(
    ("bits", "said"),
    [
        ({}, None),
        ({"guitar": 1.0}, None),
        ({"guitar": 1.0, "piano": 1.001}, None),
        ({"guitar": 1.0, "piano": 1.0}, "finds piano as likely as guitar: 1.000 against 1.000"),
        (
            {"guitar": 1.0, "bass": 0.9, "drums": 2.0, "piano": 0.5},
            "finds piano and bass likelier than guitar: 0.500 and 0.900 against 1.000",
        ),
    ],
)
def test_what_is_said_of_a_prior(bits, said):
    for name in ("guitar", "my-guitar"):  # registered under another name, the first is its own
        line = confusion(name, bits)
        assert (line is None) == (said is None)
        assert said is None or f"prior {name!r} {said}" in line


def test_a_resumed_run_measures_when_the_whole_one_would():
    whole = Discrimination({"high": HIGH}, every=4)
    whole.validations = 7
    resumed = Discrimination({"high": HIGH}, every=4)
    resumed.load_state_dict(whole.state_dict())
    assert resumed.validations == 7


def test_a_family_without_bits_is_refused(tmp_path):
    prior = NMFPrior(Frontend(RATE, 64, 16), atoms=2)
    with pytest.raises(ConfigError, match="'nmf' tells no bits per dimension; leave out discrim"):
        trainer(1, [Discrimination({"high": HIGH})]).fit(PriorTraining("low", prior), data())


def test_numbers_below_one_are_refused():
    with pytest.raises(ConfigError, match=r"discrimination\.every is 0; give at least 1"):
        Discrimination(every=0)
