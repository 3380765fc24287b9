import pytest
import torch
from torch import Tensor
from toys import FRONTEND, low_and_high

from instglow.api import Separator
from instglow.errors import ConfigError
from instglow.prior import Decoded, Prior, Space
from instglow.rivals.code_search import AverageLikelihood, CodeSearch, draw_pairs
from instglow.separation.presets import preset


class CodeToy(Prior):
    """A frame is one of a few loudnesses of one spectrum: 0, 1, 2, … Averages are exact."""

    family = "code-toy"
    stride = 1

    def __init__(self, transition: Tensor, start: Tensor | None = None, gain: float = 1.0) -> None:
        super().__init__(FRONTEND, {})
        self.transition = transition.log()  # (before, after)
        self.start = torch.zeros(len(transition)) if start is None else start.log()
        self.gain = gain
        self.seen = torch.empty(0)

    @property
    def codebooks(self) -> Tensor:
        return self.gain * torch.arange(float(len(self.transition))).view(1, -1, 1)

    def codec_state(self) -> dict[str, Tensor]:
        return {"codebook": self.codebooks}

    def codes(self, magnitude: Tensor) -> Tensor:
        loudness = magnitude.mean(1) / self.gain
        return loudness.round().long().clamp(0, len(self.transition) - 1)[:, :, None]

    def next_logits(self, history: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        steps = history.new_zeros(len(history)) if state is None else state + 1
        assert (steps == history.shape[1]).all()  # a state belongs to its history
        self.seen = history.clone()
        if not history.shape[1]:
            return self.start.expand(len(history), -1), steps
        return self.transition[history[:, -1]], steps

    def decode_codes(self, codes: Tensor, frames: int) -> Tensor:
        loudness = self.gain * codes[:, None, :frames, 0].float()
        return loudness.expand(-1, FRONTEND.bins, -1)

    def initial_latent(
        self, batch: int, frames: int, generator: torch.Generator | None = None
    ) -> Tensor:
        return torch.zeros(batch, 1, frames)

    def decode(self, latent: Tensor, frames: int, energy: Space | None = None) -> Decoded:
        raise NotImplementedError


def moving(entries: int, by: int) -> Tensor:
    """(entries, entries): nearly always `by` further, and round."""
    return 0.01 + (1 - 0.01 * entries) * torch.eye(entries).roll(by, 1)


RISING, STAYING = moving(4, 1), moving(4, 0)


def toys(**changes: float) -> list[Prior]:
    return [CodeToy(RISING, **changes), CodeToy(STAYING, **changes)]


def loudness(*values: float) -> Tensor:
    """-> (1, bins, frames)."""
    return torch.tensor(values, dtype=torch.float32).expand(1, FRONTEND.bins, -1).clone()


def test_pairs_are_drawn_as_often_as_they_are_likely():
    draws = torch.Generator().manual_seed(0)
    one, other = torch.rand(2, 5, generator=draws).double()
    weights = torch.rand(5, 5, generator=draws).double()
    count = 40_000
    pairs = draw_pairs(one.expand(count, 5), other.expand(count, 5), weights, draws)
    found = torch.bincount(5 * pairs[0] + pairs[1], minlength=25).view(5, 5) / count
    expected = torch.empty(5, 5).double()
    for i in range(5):
        for j in range(5):
            expected[i, j] = one[i] * other[j] * weights[i, j]
    expected /= expected.sum()
    deviation = (expected * (1 - expected) / count).sqrt()
    assert ((found - expected).abs() < 4.5 * deviation).all()


def test_what_cannot_be_is_never_drawn():
    one = torch.tensor([[0.0, 1.0, 0.0]]).double().expand(100, 3)
    other = torch.tensor([[0.5, 0.0, 0.5]]).double().expand(100, 3)
    weights = torch.ones(3, 3).double()
    pairs = draw_pairs(one, other, weights, torch.Generator().manual_seed(0))
    assert (pairs[0] == 1).all()
    assert set(pairs[1].tolist()) == {0, 2}


def test_the_likelihood_is_a_gaussian_around_the_average():
    books = 3 + torch.randn(2, 6, 4, generator=torch.Generator().manual_seed(0)).double()
    likelihood = AverageLikelihood(books, sigma=0.7)
    for group, code in ((0, 2), (1, 5)):
        entries = books[group]
        scale = 0.7 * (entries - entries.mean(0)).square().sum(1).mean().sqrt()
        average = (entries[:, None] + entries[None]) / 2
        normal = torch.distributions.Normal(entries[code], scale)
        expected = normal.log_prob(average).sum(-1)
        expected = expected - expected.max()
        torch.testing.assert_close(likelihood.weights(group, code).log(), expected)


def test_sequences_are_drawn_as_often_as_exact_arithmetic_says():
    count, observed = 20_000, (1, 2, 1, 0)  # half the mixture
    priors = toys()
    CodeSearch(samples=count, sigma=0.5, temperature=2.0)(priors, 2 * loudness(*observed))
    # asked for the fourth code, the priors saw the first three of every sample
    pairs = torch.stack([prior.seen for prior in priors])  # (sources, samples, 3)
    found = torch.bincount(4 * pairs[0, :, 2] + pairs[1, :, 2], minlength=16).view(4, 4) / count

    books = torch.arange(4.0).double()
    variance = 0.5**2 * (books - books.mean()).square().mean()
    distance = (books[:, None] + books) / 2 - torch.tensor(observed)[:, None, None]
    likelihood = (-(distance**2) / (2 * variance)).exp()  # (frames, one, other)

    def joint(now: int, one: Tensor, other: Tensor) -> Tensor:
        # a temperature of 2 is a square root; the factor that normalises it cancels
        table = one.double().sqrt()[:, None] * other.double().sqrt() * likelihood[now]
        return table / table.sum()

    expected = joint(0, torch.ones(4), torch.ones(4))
    for now in (1, 2):
        expected = sum(
            expected[i, j] * joint(now, RISING[i], STAYING[j]) for i in range(4) for j in range(4)
        )
    deviation = (expected * (1 - expected) / count).sqrt()
    assert ((found - expected).abs() < 4.5 * deviation).all()


def test_finds_who_rises_and_who_stays():
    even = (torch.arange(8) % 2 == 0).float() + 1e-6
    priors = [CodeToy(moving(8, 2), even), CodeToy(moving(8, 0), even)]
    rising, staying = loudness(0, 2, 4, 6, 0, 2, 4, 6), loudness(*[2] * 8)
    # the first three frames could as well be 2, 4, 6 and 0, 0, 0
    found = CodeSearch(samples=64, sigma=0.1, window=5)(priors, rising + staying)
    torch.testing.assert_close(found.magnitudes, torch.stack([rising, staying], 1))
    assert found.objective.tolist() == [[0.0]]


def test_more_samples_explain_the_mixture_better():
    draws = torch.Generator().manual_seed(0)
    mixture = torch.randint(7, (8, 1, 6), generator=draws).float().expand(-1, FRONTEND.bins, -1)
    few, many = (
        CodeSearch(samples=samples, sigma=1.0)(toys(), mixture).objective.mean()
        for samples in (1, 50)
    )
    assert many < 0.5 * few


def test_the_seed_decides_all():
    mixture = loudness(1, 2, 3, 4, 5, 1)
    one, same, other = (
        CodeSearch(samples=2, sigma=1.0, seed=seed)(toys(), mixture).magnitudes
        for seed in (3, 3, 4)
    )
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def test_a_batch_changes_nothing():
    mixture = torch.cat([loudness(1, 2, 3, 4), loudness(0, 6, 0, 6), loudness(3, 3, 2, 2)])
    search = CodeSearch(samples=4, sigma=0.5)
    together = search(toys(), mixture)
    for index in range(3):
        alone = search(toys(), mixture[index : index + 1])
        assert torch.equal(together.magnitudes[index], alone.magnitudes[0])
        assert torch.equal(together.objective[:, index], alone.objective[:, 0])


def test_progress_is_reported():
    seen = []
    search = CodeSearch(samples=2)
    found = search(toys(), loudness(1, 2), lambda step, value: seen.append((step, value)))
    assert seen == [(1, float(found.objective.mean()))]
    assert search.iterations == len(found.objective) == 1


def test_the_preset_makes_stems_of_the_mixtures_length():
    separator = Separator(dict(zip(("one", "other"), toys(), strict=True)), "lq-vae")
    wave = torch.rand(1000, generator=torch.Generator().manual_seed(0)) - 0.5
    stems = separator.separate(wave, FRONTEND.sample_rate)
    assert {name: stem.shape for name, stem in stems.items()} == {
        "one": wave.shape,
        "other": wave.shape,
    }
    assert isinstance(preset("lq-vae").search, CodeSearch)


@pytest.mark.parametrize("count", [1, 3])
def test_two_sources_only(count):
    with pytest.raises(ConfigError, match=f"exactly two sources, got {count}"):
        CodeSearch()((toys() + toys())[:count], loudness(1, 2))


def test_priors_without_codes_are_refused_by_name():
    with pytest.raises(ConfigError, match="got families 'code-toy' and 'band'"):
        CodeSearch()([toys()[0], low_and_high()["low"]], loudness(1, 2))


def test_codes_of_two_codecs_cannot_be_added():
    with pytest.raises(ConfigError, match="different codecs"):
        CodeSearch()([toys()[0], toys(gain=2.0)[1]], loudness(1, 2))


@pytest.mark.parametrize(
    "wrong", [{"samples": 0}, {"sigma": 0.0}, {"temperature": -1.0}, {"window": 0}, {"seed": -1}]
)
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(ConfigError, match=str(next(iter(wrong.values())))):
        CodeSearch(**wrong)
