import pytest
import torch

from instglow.audio.frontend import Frontend
from instglow.errors import ConfigError
from instglow.families.denoiser import Denoiser
from instglow.families.glow import GlowPrior
from instglow.prior import can_denoise
from instglow.registry import Layer, Registry
from instglow.rivals.families.conditional_glow import ConditionalGlowPrior
from instglow.training.module import PriorTraining

FRONTEND = Frontend(8000, 64, 16)
TINY = {"hidden": 4, "layers": 2, "kernel": 3}


def random_signal(batch: int = 64, channels: int = 4) -> torch.Tensor:
    return 0.3 * torch.randn(batch, channels, 10, generator=torch.Generator().manual_seed(0))


def test_knowing_nothing_but_the_size_it_is_the_wiener_filter():
    denoiser = Denoiser(4, **TINY)
    denoiser.scale.fill_(0.3)
    noisy, noise = random_signal(3), torch.tensor([0.1, 1.0, 3.0])
    expected = noisy / (1 + noise.square())[:, None, None]
    torch.testing.assert_close(denoiser(noisy, noise), expected)


def test_the_wiener_filter_of_a_normal_signal_has_loss_one():
    # what an optimal linear estimate misses is the unit of the loss, at every level of noise
    denoiser = Denoiser(4, **TINY).train()
    with torch.no_grad():
        loss = denoiser.loss(random_signal(4000), torch.Generator().manual_seed(1))
    assert float(denoiser.scale) == pytest.approx(0.3, rel=0.02)
    assert float(loss) == pytest.approx(1.0, rel=0.02)


def test_the_first_batch_alone_sets_the_size():
    denoiser = Denoiser(4, **TINY).train()
    denoiser.loss(random_signal())
    first = float(denoiser.scale)
    denoiser.loss(10 * random_signal())
    assert float(denoiser.scale) == first
    again = Denoiser(4, **TINY)
    again.load_state_dict(denoiser.state_dict())
    assert float(again.scale) == first


def test_learns_the_posterior_mean_of_a_signal_that_is_known():
    # every item is +1 or -1 throughout: E[x | y] = tanh(sum of y / noise²)
    torch.manual_seed(0)
    denoiser = Denoiser(1, hidden=16, layers=2, kernel=3).train()
    optimizer = torch.optim.Adam(denoiser.parameters(), 0.01)
    generator = torch.Generator().manual_seed(0)

    def signs(count: int) -> torch.Tensor:
        drawn = torch.randint(2, (count, 1, 1), generator=generator)
        return (2.0 * drawn - 1).expand(-1, 1, 3)

    for _ in range(400):
        optimizer.zero_grad()
        denoiser.loss(signs(64), generator).backward()
        optimizer.step()
    for level in (1.0, 2.0):
        clean = signs(500)
        noisy = clean + level * torch.randn(clean.shape, generator=generator)
        optimal = torch.tanh(noisy.sum(2, keepdim=True) / level**2).expand_as(clean)
        with torch.no_grad():
            found = denoiser(noisy, torch.full((500,), level))
        wiener = noisy / (1 + level**2)
        assert (found - optimal).square().mean() < 0.25 * (wiener - optimal).square().mean()


def prior(**changes) -> GlowPrior:
    torch.manual_seed(0)
    options = {"steps": 1, "hidden": 4, "layers": 1, "amplitude": "power:0.5", "denoiser": TINY}
    return GlowPrior(FRONTEND, **{**options, **changes})


def magnitudes(batch: int = 4) -> torch.Tensor:
    return torch.rand(batch, 33, 8, generator=torch.Generator().manual_seed(0))


def test_the_loss_of_a_prior_is_that_of_its_flow_and_of_its_denoiser():
    with_one = prior().train()
    terms = with_one.loss(magnitudes(), torch.Generator().manual_seed(1))
    torch.testing.assert_close(terms["loss"], terms["nats_per_dim"] + terms["denoising"])
    without = prior(denoiser=None).train()
    without.flow.load_state_dict(with_one.flow.state_dict())
    alone = without.loss(magnitudes(), torch.Generator().manual_seed(1))
    torch.testing.assert_close(alone["loss"], terms["nats_per_dim"])
    assert can_denoise(with_one)
    assert not can_denoise(without)


def test_noise_of_a_batch_is_the_same_for_each_item_and_none_is_added_if_none_is_asked_for():
    one = prior().train()
    one.loss(magnitudes())
    one.eval().requires_grad_(False)
    torch.nn.init.normal_(one.denoiser.network.end.weight, std=0.1)
    answers = [
        one.denoise(magnitudes(), 0.5, added, torch.Generator().manual_seed(seed))
        for added, seed in ((1.0, 0), (1.0, 1), (0.0, 0), (0.0, 1))
    ]
    assert all((answer >= 0).all() and answer.shape == (4, 33, 8) for answer in answers)
    assert not torch.equal(answers[0], answers[1])
    assert torch.equal(answers[2], answers[3])
    alone = one.denoise(magnitudes()[2:3], 0.5, 1.0, torch.Generator().manual_seed(0))
    torch.testing.assert_close(alone, answers[0][2:3])


def test_a_denoiser_is_taught_to_a_prior_that_had_none_and_its_flow_stays(tmp_path):
    registry = Registry([Layer(tmp_path, "")])
    old = prior(denoiser=None).train()
    old.loss(magnitudes())
    registry.add("violin", old, licence="CC0")
    learner = prior().train()
    run = PriorTraining("violin", learner, init="violin", registry=str(tmp_path), frozen=["flow"])
    terms = learner.loss(magnitudes())
    assert "nats_per_dim" not in terms  # costs nothing
    terms["loss"].backward()
    assert all(parameter.grad is None for parameter in learner.flow.parameters())
    assert any(parameter.grad is not None for parameter in learner.denoiser.parameters())
    assert {id(p) for p in run.learned()} == {id(p) for p in learner.denoiser.parameters()}
    for name, value in old.flow.state_dict().items():
        assert torch.equal(learner.flow.state_dict()[name], value)
    assert "nats_per_dim" in learner.eval().loss(magnitudes())  # but is measured
    started = {"init": "violin", "registry": str(tmp_path)}
    for frozen, options, reason in (
        (["head"], started, "no part 'head' of the prior to freeze: flow, denoiser"),
        (["flow", "denoiser"], started, "nothing is left to learn"),
        (["flow"], {}, "at random weights nothing can be learnt"),
    ):
        with pytest.raises(ConfigError, match=reason):
            PriorTraining("violin", prior(), frozen=frozen, **options)
    with pytest.raises(ConfigError, match="nothing is left to learn"):
        PriorTraining("violin", prior(denoiser=None), frozen=["flow"], **started)
    with pytest.raises(ConfigError, match="make them equal"):
        PriorTraining("violin", prior(amplitude="linear"), **started)
    with pytest.raises(ConfigError, match="make them equal"):
        PriorTraining("violin", prior(hidden=6), init="violin", registry=str(tmp_path))


@pytest.mark.parametrize(
    ("sizes", "said"),
    [
        ({"hiden": 8}, "denoiser has no setting 'hiden'; it has hidden, layers"),
        ({"channels": 4}, "denoiser has no setting 'channels'"),
        ({"hidden": 0}, "denoiser: hidden must be a whole number above 0, got 0"),
        ({"layers": 1.5}, "denoiser: layers must be a whole number above 0, got 1.5"),
    ],
)
def test_sizes_that_a_denoiser_lacks_are_refused(sizes, said):
    with pytest.raises(ConfigError, match=said):
        prior(denoiser=sizes)
    with pytest.raises(ConfigError, match="cannot tell instruments apart"):
        ConditionalGlowPrior(FRONTEND, ["bass", "drums"], denoiser=TINY)
