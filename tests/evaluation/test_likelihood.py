import math

import pytest
import scipy.stats
import soundfile
import torch
from lightning.pytorch import Trainer
from torch.utils.data import DataLoader

from instglow.audio.frontend import Frontend
from instglow.data.segments import Gate
from instglow.errors import ConfigError, DataError, OutputError
from instglow.evaluation.likelihood import (
    LikelihoodTable,
    NotDiscriminative,
    bits_per_dim,
    measure,
)
from instglow.evaluation.solos import SegmentSampling, SoloRecording, SoloSet, cut, open_solos
from instglow.families.glow import GlowPrior
from instglow.families.nmf import NMFPrior
from instglow.pages.boxplot import draw, write_boxplot
from instglow.prior import Decoded, Prior
from instglow.training.module import PriorTraining

FRONTEND = Frontend(8000, 64, 16)
RATE = FRONTEND.sample_rate


class Gaussian(Prior):
    """Every magnitude is independently normal."""

    family = "gaussian"

    def __init__(self, mean: float, deviation: float, level: float = 0.0) -> None:
        super().__init__(FRONTEND, {})
        self.mean, self.deviation, self.level = mean, deviation, level

    def initial_latent(self, batch, frames, generator=None):
        return torch.zeros(batch, FRONTEND.bins, frames)

    def decode(self, latent, frames, energy=None):
        return Decoded(latent[..., :frames], None)

    def log_prob(self, magnitude):
        normal = torch.distributions.Normal(self.mean, self.deviation, validate_args=False)
        return normal.log_prob(magnitude).sum((1, 2))


def glow(level: float = 0.1) -> GlowPrior:
    torch.manual_seed(0)
    prior = GlowPrior(
        FRONTEND, steps=2, hidden=8, layers=1, amplitude="power:0.5", noise=0.05, level=level
    )
    for parameter in prior.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    return prior.eval()


def noise(segments: int, samples: int, gain: float = 0.1, seed: int = 0) -> torch.Tensor:
    """(segments, 1, samples)."""
    generator = torch.Generator().manual_seed(seed)
    return gain * torch.randn(segments, 1, samples, generator=generator).clamp(-3, 3)


def recordings(**waves: list[torch.Tensor]) -> list[SoloRecording]:
    """One for each wave (channels, samples) of each instrument."""
    return [
        SoloRecording((name,), lambda name=name, wave=wave: ({name: wave}, RATE))
        for name, found in waves.items()
        for wave in found
    ]


def test_a_gaussians_bits_are_those_of_the_closed_form():
    wave = noise(3, 400)
    magnitude = FRONTEND.magnitude(wave[:, 0]).double().numpy()
    nats = -scipy.stats.norm.logpdf(magnitude, 0.4, 0.7)
    expected = torch.from_numpy(nats.mean((1, 2)) / math.log(2)).float()
    torch.testing.assert_close(bits_per_dim(Gaussian(0.4, 0.7), wave), expected)


def test_a_narrow_density_has_negative_bits():
    silence = torch.zeros(1, 1, 400)
    bits = bits_per_dim(Gaussian(0.0, 0.001), silence)
    torch.testing.assert_close(bits, torch.log2(torch.tensor([0.001 * math.sqrt(2 * math.pi)])))
    assert bits < 0


def test_the_bits_rise_by_a_gain_that_the_prior_expects():
    quiet = bits_per_dim(Gaussian(0.4, 0.7), noise(2, 400))
    loud = bits_per_dim(Gaussian(1.6, 2.8), 4 * noise(2, 400))
    torch.testing.assert_close(loud - quiet, torch.full((2,), 2.0))


def test_segments_are_measured_at_the_priors_level():
    wave = noise(2, 400)
    levelled = 0.25 * wave / wave.square().mean(-1, keepdim=True).sqrt()
    expected = bits_per_dim(Gaussian(0.4, 0.7), levelled)
    for gain in (0.01, 1.0, 7.0):
        found = bits_per_dim(Gaussian(0.4, 0.7, level=0.25), gain * wave)
        torch.testing.assert_close(found, expected)
    assert (bits_per_dim(Gaussian(0.4, 0.7), wave) - expected).abs().min() > 1e-3


@pytest.mark.parametrize("level", [0.0, 0.1])
def test_the_mean_is_the_figure_that_training_logs(level):
    prior = glow(level)
    training = PriorTraining("bass", prior)
    segments = noise(9, training.segment(0.05), 0.3)
    found = bits_per_dim(prior, segments).mean()
    runner = Trainer(
        accelerator="cpu", logger=False, enable_progress_bar=False, enable_model_summary=False
    )
    # the noise is that of the segment's number, so batches of one have the same
    for batch_size, tolerance in ((1, 1e-5), (4, 0.05)):
        (logged,) = runner.validate(training, DataLoader(list(segments), batch_size), verbose=False)
        assert logged["held-out/bits_per_dim"] == pytest.approx(float(found), abs=tolerance)


def test_the_noise_of_a_segment_is_that_of_its_number():
    prior, segments = glow(), noise(4, 496)
    whole = bits_per_dim(prior, segments)
    parts = [bits_per_dim(prior, segments[:1]), bits_per_dim(prior, segments[1:], first=1)]
    assert torch.equal(torch.cat(parts), whole)
    assert not torch.equal(bits_per_dim(prior, segments, seed=1), whole)


def test_a_tie_is_not_discriminative_and_the_widest_gap_comes_first():
    table = LikelihoodTable(
        {
            "bass": {"bass": [1.0, 3.0], "drums": [2.0, 2.0], "flute": [2.001], "harp": [1.5]},
            "drums": {"bass": [2.0], "drums": [1.0], "flute": [1.1], "harp": [9.0]},
            "voice": {"bass": [0.0], "drums": [0.0]},
        }
    )
    assert table.not_discriminative() == [
        NotDiscriminative("bass", "harp", 0.5),
        NotDiscriminative("bass", "drums", 0.0),
    ]
    assert table.without_own() == ["voice"]
    assert table.instruments == ["bass", "drums", "flute", "harp"]
    assert {name: table.likeliest(name) for name in table.instruments} == {
        "bass": "voice",
        "drums": "voice",
        "flute": "drums",
        "harp": "bass",
    }


def test_quartiles_are_numpys():
    values = noise(1, 11)[0, 0].tolist()
    table = LikelihoodTable({"bass": {"bass": values}})
    assert table.quartiles("bass", "bass") == pytest.approx(
        tuple(scipy.stats.scoreatpercentile(values, [25, 75]))
    )
    assert table.to_dict()["bits_per_dim"]["bass"]["bass"]["median"] == sorted(values)[5]


def test_a_recording_that_is_broken_or_no_number_is_left_out_with_the_reason(tmp_path):
    (tmp_path / "bass").mkdir()
    waves = dict(zip(("good", "broken", "nan"), noise(3, 8000)[:, 0], strict=True))
    waves["nan"][4000] = math.nan
    for name, wave in waves.items():
        soundfile.write(tmp_path / "bass" / f"{name}.wav", wave.numpy(), RATE, subtype="FLOAT")
    (tmp_path / "bass" / "broken.wav").write_bytes(b"no audio at all")
    solos = open_solos(tmp_path, ["bass"])
    table = measure({"bass": Gaussian(0.4, 0.7)}, solos, seconds=0.05, segments=6)
    assert len(table.values["bass"]["bass"]) == 4  # the share of two of three recordings
    assert sorted(solos.skipped) == [str(tmp_path / "bass" / f"{n}.wav") for n in ("broken", "nan")]
    reason = solos.skipped[str(tmp_path / "bass" / "nan.wav")]
    assert reason == "its sound is not a number or infinite at 0.500 s; export it again"


def test_silence_is_not_measured():
    (loud,) = noise(1, 4000)
    half = torch.cat([loud, torch.zeros(1, 4000)], 1)
    solos = SoloSet("some", recordings(bass=[half], drums=[torch.zeros(1, 8000)]), {})
    table = measure({"bass": Gaussian(0.4, 0.7)}, solos, seconds=0.05, segments=0)
    assert table.instruments == ["bass"]
    # windows overlap by half; one at most straddles the border
    samples = Gaussian(0.4, 0.7).frontend.segment(0.05)
    assert 4000 // (samples // 2) - 1 <= len(table.values["bass"]["bass"])
    assert len(table.values["bass"]["bass"]) <= 4000 // (samples // 2) + 1
    quiet = bits_per_dim(Gaussian(0.4, 0.7), torch.zeros(1, 1, samples))
    assert max(abs(value - float(quiet)) for value in table.values["bass"]["bass"]) > 1e-3


def test_nothing_to_measure_is_said():
    solos = SoloSet("some", recordings(drums=[torch.zeros(1, 8000)]), {})
    with pytest.raises(DataError, match="no segment to measure in some: of 1 recordings none"):
        measure({"bass": Gaussian(0.4, 0.7)}, solos)


def test_a_family_without_a_density_is_named_before_anything_is_read():
    def unread():
        raise AssertionError

    solos = SoloSet("some", [SoloRecording(("bass",), unread)], {})
    with pytest.raises(ConfigError, match="prior 'low' is of family 'nmf', which has no density"):
        measure({"high": Gaussian(0.4, 0.7), "low": NMFPrior(FRONTEND, atoms=4)}, solos)


def test_a_prior_whose_figure_is_no_number_is_named():
    solos = SoloSet("some", recordings(bass=[noise(1, 4000)[0]]), {})
    with pytest.raises(ConfigError, match="prior 'bass' gives a solo of 'bass' nan bits"):
        measure({"bass": Gaussian(math.nan, 0.7)}, solos, seconds=0.05)


def test_priors_of_other_frontends_are_measured_at_their_own_rate():
    wide = GlowPrior(Frontend(16000, 64, 16), steps=2, hidden=8, layers=1).eval()
    solos = SoloSet("some", recordings(bass=[noise(1, 4000)[0]]), {})
    table = measure({"bass": glow(), "wide": wide}, solos, seconds=0.05, segments=3)
    assert {name: len(row["bass"]) for name, row in table.values.items()} == {"bass": 3, "wide": 3}


@pytest.mark.parametrize("segments", [1, 3, 7, 20])
def test_recordings_give_alike_and_others_make_up_for_short_ones(segments):
    waves = [noise(1, 8000, seed=seed)[0] for seed in range(7)]
    sampling = SegmentSampling(recordings(bass=waves), segments)
    given = []
    for number, recording in enumerate(recordings(bass=waves)):
        due = sampling.wanted(recording)["bass"]
        found = 0 if number == 2 else due  # the third recording is silent
        sampling.found["bass"] += found
        given.append(found)
    assert sum(given) == segments
    assert max(given) - min(given[:2] + given[4:]) <= math.ceil(segments / 7) + 1


def test_segments_of_a_recording_are_different_and_spread_over_it():
    wave = torch.linspace(0.1, 0.9, 8000)
    few = cut(wave[None], RATE, RATE, 100, 5, Gate())
    middles = few.mean((1, 2))
    assert (middles.diff() > 0.1).all()
    assert abs(float(middles.mean()) - 0.5) < 0.02
    every = cut(wave[None], RATE, RATE, 100, 10**9, Gate())
    assert len(every) == len(every.mean((1, 2)).unique()) == 159
    assert cut(wave[None, :99], RATE, RATE, 100, 5, Gate()).shape == (0, 1, 100)


SOLOS = ("bass/1.wav", "bass/more/2.wav", "drums/1.wav")


@pytest.mark.parametrize(
    ("files", "instruments", "expected"),
    [
        (SOLOS, ["bass"], {"bass", "drums"}),
        (SOLOS, [], {"bass", "drums"}),
        # numbered recordings are alike, and yet no stems
        (("cello/take1.wav", "cello/take2.wav", "flute/take1.wav", "flute/take2.wav"), [], None),
        # names alike are stems, unless the folders are called as priors are
        (("bass/slow.wav", "bass/fast.wav", "drums/slow.wav", "drums/fast.wav"), ["bass"], None),
        (("one/bass.wav", "one/drums.wav", "two/bass.wav", "two/drums.wav"), [], "stems"),
        (("one/mixture.wav", "one/bass.wav", "two/mixture.wav", "two/drums.wav"), [], "stems"),
        (("bass/mixture.wav", "bass/bass.wav", "bass/drums.wav"), ["bass"], "stems"),
    ],
)
def test_solos_and_songs_are_told_apart(tmp_path, files, instruments, expected):
    for file in files:
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(tmp_path / file, noise(1, 400)[0, 0].numpy(), RATE)
    found = open_solos(tmp_path, instruments)
    folders = {file.split("/")[0] for file in files}
    assert set(found.instruments) == ({"bass", "drums"} if expected == "stems" else folders)
    songs = expected == "stems"
    assert len(found.recordings) == (len(folders) if songs else len(files))
    waves, rate = found.recordings[0].read()
    assert rate == RATE
    assert waves.keys() == set(found.recordings[0].instruments)
    assert all(wave.shape == (1, 400) for wave in waves.values())


def test_a_folder_of_nothing_is_refused(tmp_path):
    (tmp_path / "bass").mkdir()
    with pytest.raises(DataError, match=r"no solos in .*a sub-folder for each instrument.*\.wav"):
        open_solos(tmp_path)
    with pytest.raises(DataError, match=r"no folder .*nowhere"):
        open_solos(tmp_path / "nowhere")


def table_of(priors: int) -> LikelihoodTable:
    names = [f"prior{number}" for number in range(priors)]
    values = {name: noise(1, 9, seed=seed)[0, 0].tolist() for seed, name in enumerate(names)}
    return LikelihoodTable({name: dict(values) for name in names})


@pytest.mark.parametrize("priors", [1, 2, 5, 9])
def test_every_prior_has_a_panel_and_every_instrument_a_box(priors):
    figure = draw(table_of(priors))
    shown = [axes for axes in figure.axes if axes.get_visible()]
    assert [axes.get_title() for axes in shown] == [f"prior prior{n}" for n in range(priors)]
    assert [len(axes.patches) for axes in shown] == [priors] * priors


def test_the_own_instrument_has_a_colour_of_its_own():
    own = {"bass": [2.0], "drums": [1.0], "harp": [3.0]}
    figure = draw(LikelihoodTable({"bass": own, "drums": own}))
    panels = [[patch.get_edgecolor() for patch in axes.patches] for axes in figure.axes]
    (bass_own, likelier, other), (first, drums_own, last) = panels
    assert len({bass_own, likelier, other}) == 3
    assert drums_own == bass_own
    assert first == last == other


def test_a_plot_is_written_whole_or_not_at_all(tmp_path):
    write_boxplot(table_of(2), tmp_path / "new" / "plot.png", "title")
    assert (tmp_path / "new" / "plot.png").read_bytes().startswith(b"\x89PNG")
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["plot.png"]
    (tmp_path / "taken.png").mkdir()
    with pytest.raises(OutputError, match=r"cannot write .*taken\.png"):
        write_boxplot(table_of(1), tmp_path / "taken.png")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new", "taken.png"]
