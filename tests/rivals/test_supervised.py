import hashlib
import os
import types
from pathlib import Path
from urllib.error import URLError

import pytest
import torch
from torch import Tensor

from instglow.errors import ConfigError, DependencyError, WeightsError
from instglow.evaluation.method import Segment
from instglow.rivals.networks import network
from instglow.rivals.pretrained import Trained
from instglow.rivals.supervised import SupervisedMethod, supervised

RATE = 16000
SOURCES = ["bass", "drums"]


def noise(*shape: int, seed: int = 0) -> Tensor:
    return 0.1 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def segment(channels: int = 2, samples: int = 5001, rate: int = RATE) -> Segment:
    return Segment(noise(channels, samples), rate, {})


def checkpoint(file: Path, seed: int = 0, **about) -> Path:
    """What `SupervisedTraining` leaves of a small Wave-U-Net."""
    torch.manual_seed(seed)
    built = network("wave-u-net")(SOURCES, RATE, depth=2, channels=4)
    described = {
        "name": built.name,
        "sources": built.sources,
        "sample_rate": built.sample_rate,
        "architecture": built.architecture,
        **about,
    }
    weights = {f"network.{key}": tensor for key, tensor in built.state_dict().items()}
    file.parent.mkdir(parents=True, exist_ok=True)
    torch.save({"state_dict": weights, "network": described, "epoch": 3}, file)
    return file


def model_of(file: Path):
    loaded = torch.load(file, weights_only=True)
    built = network("wave-u-net")(SOURCES, RATE, depth=2, channels=4).eval()
    built.load_state_dict({k.removeprefix("network."): v for k, v in loaded["state_dict"].items()})
    return built


@torch.inference_mode()
def test_each_channel_is_separated_by_the_network_of_the_file(tmp_path):
    file = checkpoint(tmp_path / "some.ckpt")
    method = supervised("wave-u-net", file, tmp_path)
    mixed = segment()
    stems = method.separate(mixed, ["drums", "bass", "vocals"])
    assert list(stems) == ["drums", "bass"]
    expected = model_of(file)(mixed.mixture)  # (channels, sources, samples)
    for index, source in enumerate(SOURCES):
        torch.testing.assert_close(stems[source], expected[:, index])


def test_settings_tell_one_file_from_another(tmp_path):
    first, second = checkpoint(tmp_path / "1.ckpt"), checkpoint(tmp_path / "2.ckpt", seed=1)
    settings = supervised("wave-u-net", first, tmp_path).settings(SOURCES)
    assert settings["network"] == "wave-u-net"
    assert settings["sha256"] == hashlib.sha256(first.read_bytes()).hexdigest()
    assert settings != supervised("wave-u-net", second, tmp_path).settings(SOURCES)
    moved = first.rename(tmp_path / "3.ckpt")
    assert settings == supervised("wave-u-net", moved, tmp_path).settings(SOURCES)


def test_the_newest_run_is_found_and_a_named_file_preferred(tmp_path):
    files = [
        checkpoint(tmp_path / "runs" / "wave-u-net" / number / "best.ckpt", seed=int(number))
        for number in ("2", "10", "9")
    ]
    for age, file in zip((3, 1, 2), files, strict=True):
        os.utime(file, (1e9 - age, 1e9 - age))
    newest = supervised("wave-u-net", None, tmp_path).settings(SOURCES)["sha256"]
    assert newest == hashlib.sha256(files[1].read_bytes()).hexdigest()
    named = supervised("wave-u-net", files[0], tmp_path).settings(SOURCES)["sha256"]
    assert named == hashlib.sha256(files[0].read_bytes()).hexdigest()


def doubled(**options) -> Trained:
    """Sources that are the mixture and twice it, at any rate and width."""
    options = {"sample_rate": RATE, "channels": 1, "origin": {}, **options}
    return Trained(SOURCES, run=lambda wave: torch.stack([wave, 2 * wave], 1), **options)


@pytest.mark.parametrize("channels", [1, 2, 3])
@pytest.mark.parametrize("wanted", [1, 2])
def test_mixtures_of_any_width_come_back_as_they_were(channels, wanted):
    mixed = segment(channels)
    stems = SupervisedMethod("any", doubled(channels=wanted)).separate(mixed, SOURCES)
    torch.testing.assert_close(stems["bass"], mixed.mixture)
    torch.testing.assert_close(stems["drums"], 2 * mixed.mixture)


def test_a_stereo_network_hears_both_sides_at_once():
    swapped = Trained(["bass"], RATE, 2, lambda wave: wave.flip(1)[:, None], {})
    mixed = segment(2)
    stem = SupervisedMethod("any", swapped).separate(mixed, ["bass"])["bass"]
    torch.testing.assert_close(stem, mixed.mixture.flip(0))


@pytest.mark.parametrize(("rate", "samples"), [(44100, 44099), (22050, 30011), (8000, 7001)])
def test_a_network_of_another_rate_gives_stems_of_the_segments_rate_and_length(rate, samples):
    moments = torch.arange(samples) / rate
    tone = 0.3 * torch.sin(2 * torch.pi * 500 * moments) * torch.hann_window(samples)
    mixed = Segment(tone[None], rate, {})
    stems = SupervisedMethod("any", doubled()).separate(mixed, SOURCES)
    torch.testing.assert_close(stems["bass"], mixed.mixture, rtol=0, atol=1e-3)


def test_long_mixtures_are_separated_piece_by_piece():
    heard = []

    def run(wave: Tensor) -> Tensor:
        heard.append(wave.shape[-1])
        return wave[:, None]

    trained = Trained(["bass"], RATE, 1, run, {}, seconds=3.0)
    mixed = segment(1, 7 * RATE)
    stem = SupervisedMethod("any", trained).separate(mixed, ["bass"])["bass"]
    torch.testing.assert_close(stem, mixed.mixture)
    assert len(heard) > 1
    assert max(heard) <= 3 * RATE


class Evil:
    def __reduce__(self):
        return (os.mkdir, ("/nowhere-at-all",))


def wrong_files(folder: Path) -> dict[str, Path]:
    folder.mkdir()
    files = {name: folder / name for name in ("text", "pickle", "prior", "empty")}
    files["text"].write_text("not a checkpoint")
    torch.save({"network": Evil()}, files["pickle"])
    torch.save({"state_dict": {}, "instglow": {"family": "glow"}}, files["prior"])
    files["empty"].touch()
    files["missing"] = folder / "missing"
    files["class"] = checkpoint(folder / "class", name="os:system")
    files["sizes"] = checkpoint(folder / "sizes", architecture={"depth": 3, "channels": 4})
    files["options"] = checkpoint(folder / "options", architecture={"width": 3})
    return files


def test_a_wrong_file_is_refused_in_one_line(tmp_path):
    for reason, file in wrong_files(tmp_path / "files").items():
        with pytest.raises(WeightsError) as caught:
            supervised("wave-u-net", file, tmp_path)
        message = str(caught.value)
        assert str(file) in message, reason
        assert "instglow fit --config wave-u-net.yaml" in message
        assert "\n" not in message


def test_a_checkpoint_of_another_network_is_refused(tmp_path):
    file = checkpoint(tmp_path / "some.ckpt")
    with pytest.raises(WeightsError, match="is a checkpoint of 'wave-u-net', not of 'conv-tasnet'"):
        supervised("conv-tasnet", file, tmp_path)


def test_an_unknown_network_is_answered_with_the_known(tmp_path):
    with pytest.raises(
        ConfigError, match="unknown network 'u-net'; choose one of wave-u-net, conv-tasnet"
    ):
        supervised("u-net", None, tmp_path)


def remedy(name: str) -> str:
    return (
        f"train it with `instglow fit --config {name}.yaml`, "
        f"or give a checkpoint with --weights {name}=FILE"
    )


@pytest.mark.parametrize("name", ["wave-u-net", "conv-tasnet"])
def test_without_weights_it_says_how_to_come_by_some(tmp_path, name):
    with pytest.raises(DependencyError) as caught:
        supervised(name, None, tmp_path)
    assert str(caught.value) == f"no published weights of {name!r}: {remedy(name)}"


def offline(*_: object, **__: object) -> None:
    raise URLError("no network\nat all")


@pytest.mark.parametrize(
    ("name", "module", "download"),
    [
        ("openunmix", "openunmix", "torch.hub.load_state_dict_from_url"),
        ("demucs", "demucs", "demucs.pretrained.get_model"),
        ("hdemucs", "torchaudio", "torchaudio.utils._download_asset"),
    ],
)
def test_weights_that_cannot_be_downloaded_are_one_line(
    tmp_path, monkeypatch, name, module, download
):
    pytest.importorskip(module)
    monkeypatch.setattr(download, offline)
    with pytest.raises(DependencyError) as caught:
        supervised(name, None, tmp_path)
    message = str(caught.value)
    assert message.startswith(f"the published weights of {name!r} cannot be downloaded (URLErr")
    assert message.endswith(remedy(name))
    assert "\n" not in message


@torch.inference_mode()
def test_networks_of_their_authors_separate_stereo(tmp_path, monkeypatch):
    # random weights in the place of those downloaded
    demucs = pytest.importorskip("demucs.demucs")
    pytest.importorskip("openunmix")
    torchaudio_models = pytest.importorskip("torchaudio.models")
    order = ["drums", "bass", "other", "vocals"]
    small = demucs.Demucs(order, channels=4, depth=5, segment=1).eval()
    monkeypatch.setattr("demucs.pretrained.get_model", lambda name: small)
    bundle = types.SimpleNamespace(
        get_model=lambda: torchaudio_models.HDemucs(order, channels=4, nfft=1024, depth=5).eval(),
        sample_rate=44100,
    )
    monkeypatch.setattr("torchaudio.pipelines.HDEMUCS_HIGH_MUSDB", bundle)
    monkeypatch.setattr("torch.hub.load_state_dict_from_url", lambda *_, **__: {})
    monkeypatch.delattr("torchaudio.pipelines.HDEMUCS_HIGH_MUSDB_PLUS")
    mixed = segment(2, 2 * 22050 + 1, 22050)
    licences = {"openunmix": "non-commercial", "demucs": "not stated", "hdemucs": "not stated"}
    for name, licence in licences.items():
        method = supervised(name, None, tmp_path)
        assert licence in method.settings([])["licence"][0]
        assert method.settings([])["trained_on"]
        for samples in (1, 1024):  # twice as many at the networks' rate
            short = method.separate(segment(2, samples, 22050), ["bass"])["bass"]
            assert short.shape == (2, samples)
            assert short.isfinite().all()
        stems = method.separate(mixed, ["bass", "guitar", "vocals"])
        assert list(stems) == ["bass", "vocals"]
        for stem in stems.values():
            assert stem.shape == mixed.mixture.shape
            assert stem.isfinite().all()
            assert stem.any()
        assert {"weights", "package", "version"} <= method.settings(list(stems)).keys()
        torch.testing.assert_close(method.separate(mixed, ["bass"])["bass"], stems["bass"])
