import itertools
import math

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from toys import FRONTEND, BandPrior, low_and_high, tone

from instglow.api import Separator, _InMemory
from instglow.audio.chunks import CrossFade, plan
from instglow.audio.frontend import Frontend
from instglow.errors import AudioError, ConfigError, FrontendMismatch, OutOfMemory
from instglow.families.nmf import NMFPrior
from instglow.separation.engine import Piece, SeparationEngine
from instglow.separation.presets import PRESETS, Preset
from instglow.separation.refine import MixturePhase, RatioMask, _interpolate
from instglow.separation.search import LatentSearch

QUICK = Preset(LatentSearch(steps=60, learning_rate=0.1, relative=True), RatioMask())


def level(wave: torch.Tensor) -> float:
    return 10 * math.log10(float(wave.double().square().mean()) + 1e-30)


@pytest.mark.parametrize("rate", [8000, 22050, 44100, 48000])
@pytest.mark.parametrize("channels", [1, 2])
def test_stems_have_the_mixtures_rate_channels_and_length_and_sum_to_it(rate, channels):
    samples = rate + 137
    mixture = (tone(500, samples, rate) + tone(3000, samples, rate)).repeat(channels, 1)
    mixture[1:] *= 0.5
    stems = Separator(low_and_high(), QUICK).separate(mixture, rate)
    assert [stem.shape for stem in stems.values()] == [mixture.shape] * 2
    assert level(sum(stems.values()) - mixture) < level(mixture) - 60
    assert level(stems["low"][0] - tone(500, samples, rate)) < level(mixture[0]) - 15


def test_a_mono_array_comes_back_as_one():
    mixture = tone(500, 4000, 8000).numpy()
    stems = Separator(low_and_high(), QUICK).separate(mixture, 8000)
    assert all(isinstance(stem, np.ndarray) and stem.shape == (4000,) for stem in stems.values())


@pytest.mark.parametrize("kind", ["reversed", ">f4", "g", "f2"])
def test_arrays_that_torch_does_not_take(kind):
    wave = np.sin(np.arange(4000))
    mixture = wave[::-1] if kind == "reversed" else wave.astype(kind)
    mixture.flags.writeable = False
    stems = Separator(low_and_high(), QUICK).separate(mixture, np.float64(8000))
    np.testing.assert_allclose(sum(stems.values()), mixture.astype("f4"), atol=1e-5)


def test_a_search_within_inference_mode():
    with torch.inference_mode():
        mixture = tone(500, 4000, 8000)
        stems = Separator(low_and_high(), QUICK).separate(mixture, 8000)
    torch.testing.assert_close(sum(stems.values()), mixture, atol=1e-5, rtol=1e-4)


def test_the_callers_array_is_left_alone():
    mixture = tone(500, 4000, 8000)
    before = mixture.clone()
    Separator(low_and_high(level=0.1), QUICK).separate(mixture, 8000)
    assert torch.equal(mixture, before)


@pytest.mark.parametrize("samples", [1, 5, 100])
def test_very_short_mixtures(samples):
    mixture = 0.1 + 0.1 * torch.rand(2, samples)
    stems = Separator(low_and_high(), QUICK).separate(mixture, 44100)
    torch.testing.assert_close(sum(stems.values()), mixture, atol=1e-4, rtol=1e-3)


def test_chunks_join_without_a_seam():
    mixture = tone(500, 5 * 8000, 8000) + tone(3000, 5 * 8000, 8000)
    whole = Separator(low_and_high(), QUICK).separate(mixture, 8000)
    chunked = Separator(low_and_high(), QUICK, segment=1.5, overlap=0.2).separate(mixture, 8000)
    torch.testing.assert_close(sum(chunked.values()), mixture, atol=1e-4, rtol=1e-3)
    for name in whole:
        assert level(whole[name] - chunked[name]) < level(whole[name]) - 20


def test_what_a_batch_holds_besides_does_not_matter():
    generator = torch.Generator().manual_seed(0)
    mixtures = 0.1 * torch.randn(3, 2, 3000, generator=generator)
    mixtures[1] = 0  # silence beside sound
    engine = SeparationEngine(low_and_high(level=0.1), QUICK)
    together = engine.separate_batch(mixtures, 8000).stems
    for index in (0, 2):
        alone = engine.separate_batch(mixtures[index : index + 1], 8000).stems[0]
        torch.testing.assert_close(together[index], alone, atol=1e-5, rtol=1e-4)
    assert together[1].abs().max() == 0


@pytest.mark.parametrize("offset", [0.0, 0.4])
def test_a_search_sees_no_offset(offset):
    seen = []

    class Looking(LatentSearch):
        def __call__(self, priors, mixture, on_step=None):
            seen.append(mixture)
            return super().__call__(priors, mixture, on_step)

    look = Preset(Looking(steps=1), RatioMask())
    mixture = 0.2 * tone(1000, 8000, 8000)
    Separator(low_and_high(level=0.1), look).separate(mixture + offset, 8000)
    Separator(low_and_high(level=0.1), look).separate(mixture, 8000)
    torch.testing.assert_close(*seen, rtol=1e-3, atol=1e-4)


def test_loudness_does_not_matter_where_levels_are_matched():
    mixture = tone(500, 8000, 8000) + tone(3000, 8000, 8000)
    loud, quiet = (
        Separator(low_and_high(level=0.1), QUICK).separate(gain * mixture, 8000)["low"]
        for gain in (1.0, 0.01)
    )
    torch.testing.assert_close(100 * quiet, loud, atol=1e-3, rtol=1e-2)


def test_priors_of_different_spectrograms_are_refused():
    other = BandPrior(Frontend(44100, 64, 16), 0, 33)
    with pytest.raises(
        FrontendMismatch, match=r"'low' was trained at 8000 Hz.*'violin' at 44100 Hz"
    ):
        Separator({**low_and_high(), "violin": other})


@pytest.mark.parametrize(
    ("mixture", "rate", "says"),
    [
        (torch.zeros(100), 8000, "silent"),
        (torch.ones(100, 2), 8000, r"shape \(100, 2\) is \(samples, channels\).*mixture\.T"),
        (torch.full((100,), math.nan), 8000, "not numbers"),
        (torch.zeros(0), 8000, r"shape \(0,\)"),
        (torch.zeros(2, 3, 100), 8000, r"shape \(2, 3, 100\)"),
        (torch.ones(100, dtype=torch.int16), 8000, "int16"),
        (np.ones(100, "i2"), 8000, "int16"),
        (torch.ones(100), 0, "sample rate must be a whole number of Hz and at least 1, got 0"),
        (torch.ones(100), 44100.5, "sample rate must be a whole number.*got 44100.5"),
        (torch.ones(100), math.nan, "sample rate must be a whole number.*got nan"),
    ],
)
def test_what_cannot_be_separated_is_refused_in_one_line(mixture, rate, says):
    with pytest.raises(AudioError, match=says) as error:
        Separator(low_and_high(), QUICK).separate(mixture, rate)
    assert "\n" not in str(error.value)


def test_strange_settings_are_refused():
    with pytest.raises(ConfigError, match="no priors"):
        Separator({})
    for segment in (61, 0, 1e-9, float("nan")):
        with pytest.raises(ConfigError, match=rf"segment must be .* got {segment}"):
            Separator(low_and_high(), segment=segment)
    with pytest.raises(ConfigError, match=r"overlap must be .* 5 seconds, got 3"):
        Separator(low_and_high(), segment=5, overlap=3)
    with pytest.raises(ConfigError, match=r"'quick' is not one of paper, .*default"):
        Separator(low_and_high(), preset="quick")


def test_the_paper_preset_is_the_paper():
    """Zhu et al. (2022), section IV: Adam at 0.01, 150 iterations, no prior term, no mask."""
    paper = PRESETS["paper"]
    assert paper.search == LatentSearch("kl", 150, 0.01, 0.0, signed=True, relative=False)
    assert paper.refine == MixturePhase()
    assert not paper.match_level
    assert FRONTEND.bins == 33


def test_the_callers_priors_are_left_alone():
    priors = {name: NMFPrior(FRONTEND, atoms=4).train() for name in ("low", "high")}
    priors["low"].double()
    before = {name: prior.logits for name, prior in priors.items()}
    Separator(priors, QUICK)
    for name, prior in priors.items():
        assert prior.training
        assert prior.logits is before[name]
        assert prior.logits.requires_grad
    shared = dict.fromkeys(("lead", "rhythm"), priors["high"])
    lead, rhythm = SeparationEngine(shared, QUICK).priors.values()
    assert lead.logits is rhythm.logits


def test_what_reaches_a_device_is_float32():
    separator = Separator(low_and_high(), QUICK)
    seen = []

    def separate(recording, *_):
        seen.append(recording.read(0, 10).dtype)
        yield Piece(torch.zeros(2, 1, 400), 0.0)

    separator.engine.separate = separate
    separator.separate(tone(500, 400, 8000).double().numpy(), 8000)
    assert seen == [torch.float32]


@pytest.mark.parametrize("segment", [2.0, 0.5])
def test_the_overlap_follows_a_short_segment(segment):
    engine = SeparationEngine(low_and_high(), QUICK, segment=segment)
    chunks = engine.chunks(10 * 8000, 8000)
    assert max(chunk.samples for chunk in chunks) <= segment * 8000
    shared = [one.stop - other.start for one, other in itertools.pairwise(chunks)]
    assert min(shared) >= 8000 * segment / 3 - 1
    assert SeparationEngine(low_and_high(), QUICK).overlap == 1


def test_progress_is_the_share_of_the_work_and_the_objective_that_is_returned():
    engine = SeparationEngine(low_and_high(), QUICK, segment=0.5, overlap=0.1)
    told = []
    mixture = tone(500, 8000, 8000) + tone(3000, 8000, 8000)
    recording = _InMemory(mixture[None], 8000)
    pieces = list(engine.separate(recording, 2, lambda *progress: told.append(progress)))
    shares = [share for share, _ in told]
    assert shares == sorted(shares)
    assert shares[-1] == pytest.approx(1)
    assert len(shares) == 2 * QUICK.search.steps  # three chunks in two batches
    assert told[-1][1].tolist() == [pieces[-1].objective]
    assert pieces[0].objective == float(told[QUICK.search.steps - 1][1][0])


def test_a_silent_chunk_has_no_objective():
    engine = SeparationEngine(low_and_high(), QUICK, segment=0.5, overlap=0.1)
    mixture = torch.cat([torch.zeros(8000), tone(500, 8000, 8000)])
    pieces = list(engine.separate(_InMemory(mixture[None], 8000)))
    assert math.isnan(pieces[0].objective)
    assert not math.isnan(pieces[-1].objective)


class Cramped(LatentSearch):
    """A search on a device that has memory for so many frames of so many mixtures."""

    most = (1, 100)

    def __call__(self, priors, mixture, on_step=None):
        self.seen.append(mixture.shape[::2])
        if len(mixture) > self.most[0] or mixture.shape[2] > self.most[1]:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return super().__call__(priors, mixture, on_step)


def cramped(most: tuple[int, int]) -> Preset:
    search = Cramped(steps=60, learning_rate=0.1, relative=True)
    object.__setattr__(search, "seen", [])
    object.__setattr__(search, "most", most)
    return Preset(search, RatioMask())


def test_out_of_memory_halves_the_batch_then_the_segment_says_so_and_goes_on(caplog):
    mixture = tone(500, 9 * 8000, 8000) + tone(3000, 9 * 8000, 8000)
    # 3 chunks of 3.7 s, some 1830 frames each; there is memory for one of half the length
    preset = cramped((1, 1000))
    separator = Separator(low_and_high(), preset, segment=4.0, overlap=1.0, batch_size=3)
    stems = separator.separate(mixture, 8000)
    torch.testing.assert_close(sum(stems.values()), mixture, atol=1e-4, rtol=1e-3)
    whole = Separator(low_and_high(), QUICK).separate(mixture, 8000)
    for name in whole:
        assert level(whole[name] - stems[name]) < level(whole[name]) - 20
    assert [record.getMessage() for record in caplog.records] == [
        "out of memory: going on with a batch size of 1",
        "out of memory: going on with segments of 1.83 s",
    ]
    # what was found out once counts for all that follows
    assert all(count == 1 and frames <= 1000 for count, frames in preset.search.seen[2:])


def test_no_memory_even_for_a_second_is_one_line():
    separator = Separator(low_and_high(), cramped((1, 10)), batch_size=2)
    with pytest.raises(
        OutOfMemory, match=r"no memory on cpu for 0\.8\d+ s of the mixture; separate"
    ):
        separator.separate(tone(500, 4 * 8000, 8000), 8000)


def test_another_error_of_the_search_is_not_taken_for_one_of_memory():
    class Broken(LatentSearch):
        def __call__(self, priors, mixture, on_step=None):
            raise RuntimeError("shape '[2, 3]' is invalid")

    with pytest.raises(RuntimeError, match="shape"):
        Separator(low_and_high(), Preset(Broken(), RatioMask())).separate(tone(5, 99, 8000), 8000)


def test_what_is_shared_out_on_a_device_has_no_double_precision():
    """As MPS demands; "meta" stands for a device."""
    masks = torch.rand(1, 2, 5, 7, device="meta")
    fade = CrossFade(plan(10, 5, 1))
    with NoDoubles():
        assert _interpolate(masks, 0.5, 9).shape == (1, 2, 5, 9)
        fade.add(0, torch.zeros(2, 4, device="meta"))
        fade.add(1, torch.zeros(2, 4, device="meta"))


class NoDoubles(TorchDispatchMode):
    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        found = function(*args, **(kwargs or {}))
        if isinstance(found, torch.Tensor) and found.device.type == "meta":
            assert found.dtype != torch.float64, function
        return found
