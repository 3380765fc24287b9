"""From solo recordings to stems through the commands alone."""

import json
import signal
import time
from pathlib import Path

import pytest
import soundfile
import torch
from commands import instglow, start

RATE = 22050
TINY = (
    *("--model.prior.init_args.steps", 2),
    *("--model.prior.init_args.hidden", 8),
    *("--model.prior.init_args.layers", 1),
    *("--model.prior.init_args.denoiser", "{hidden: 4, layers: 1}"),
    *("--data.seconds", 0.5),
    *("--data.batch_size", 4),
    *("--data.segments_per_epoch", 60),
    *("--trainer.accelerator", "cpu"),
)


def melody(low: float, seed: int, seconds: float = 6.0) -> torch.Tensor:
    """(samples,) notes of a harmonic instrument, four a second."""
    generator = torch.Generator().manual_seed(seed)
    length = RATE // 4
    moments = torch.arange(length) / RATE
    notes = []
    for pitch in torch.randint(0, 12, (int(seconds * 4),), generator=generator):
        hertz = low * 2 ** (float(pitch) / 12)
        partials = [torch.sin(2 * torch.pi * hertz * k * moments) / k for k in range(1, 6)]
        notes.append(torch.stack(partials).sum(0) * torch.exp(-6 * moments))
    return 0.2 * torch.cat(notes)


def solos(folder: Path, low: float) -> None:
    folder.mkdir(parents=True)
    for seed in range(3):
        soundfile.write(folder / f"take{seed}.wav", melody(low, seed), RATE)


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Path:
    """A folder with recordings of two instruments and a song in which both play."""
    folder = tmp_path_factory.mktemp("project")
    solos(folder / "data" / "bass", 60.0)
    solos(folder / "data" / "guitar", 400.0)
    song = melody(60.0, 9, 3.0) + melody(400.0, 10, 3.0)
    soundfile.write(folder / "song.wav", torch.stack([song, 0.5 * song], 1), RATE)
    return folder


def test_fit_resume_register_separate_remove(project):
    # train bass: thirty steps, registered at the end
    thirty = ("--trainer.max_steps", 30)
    done = instglow("fit", "--config", "bass.yaml", *TINY, *thirty, cwd=project)
    assert "registered prior 'bass'" in done.stdout
    run = project / "runs" / "bass" / "1"
    assert {path.name for path in run.iterdir()} == {"best.ckpt", "last.ckpt", "config.yaml"}

    # a second run of the same name is refused before it trains
    refused = instglow("fit", "--config", "bass.yaml", *TINY, *thirty, cwd=project, status=2)
    assert "prior 'bass' is registered already" in refused.stderr
    assert "--publish.replace true" in refused.stderr

    # guitar: fifteen steps, killed as it were; resumed to thirty; registered by hand
    fit = ("fit", "--config", "guitar.yaml", *TINY, "--publish.enabled", "false")
    instglow(*fit, "--trainer.max_steps", 15, cwd=project)
    last = project / "runs" / "guitar" / "1" / "last.ckpt"
    instglow(*fit, *thirty, "--ckpt_path", last, cwd=project)
    resumed = project / "runs" / "guitar" / "2" / "last.ckpt"
    assert torch.load(resumed, weights_only=True)["global_step"] == 30
    before = fingerprints(project)
    done = instglow("add-prior", "guitar", cwd=project)
    assert "added prior 'guitar'" in done.stdout
    after = fingerprints(project)
    assert {path: after[path] for path in before} == before

    # measured on the held-out recordings
    done = instglow("validate", "--config", "guitar.yaml", *TINY, "--ckpt_path", last, cwd=project)
    assert "held-out/bits_per_dim" in done.stdout
    done = instglow("test", "--config", "guitar.yaml", *TINY, "--ckpt_path", last, cwd=project)
    assert "test/bits_per_dim" in done.stdout

    # listed and shown
    listed = json.loads(instglow("list-priors", "--json", cwd=project).stdout)
    mine = [prior["name"] for prior in listed if "user data" in json.dumps(prior)]
    assert mine == ["bass", "guitar"]
    shown = instglow("show-prior", "guitar", cwd=project).stdout
    assert "glow" in shown
    assert "bits_per_dim" in shown

    # separated with the new prior
    done = instglow(*("separate", "song.wav", "--priors", "bass,guitar", "--steps", 5), cwd=project)
    assert "real-time factor" in done.stdout
    stems = {}
    for name in ("bass", "guitar"):
        stems[name], rate = soundfile.read(project / "separated" / "song" / f"{name}.wav")
        assert rate == RATE
    song, _ = soundfile.read(project / "song.wav")
    assert stems["bass"].shape == song.shape
    error = ((stems["bass"] + stems["guitar"] - song) ** 2).mean() / (song**2).mean()
    assert error < 1e-6
    report = json.loads((project / "separated" / "song" / "separation.json").read_text())
    assert report["search"]["steps"] == 5
    assert set(report["priors"]) == {"bass", "guitar"}

    # removed; what is shipped under that name is visible again
    instglow("remove-prior", "bass", cwd=project)
    left = json.loads(instglow("list-priors", "--json", cwd=project).stdout)
    assert [prior["name"] for prior in left if "user data" in json.dumps(prior)] == ["guitar"]


def fingerprints(project: Path) -> dict[Path, bytes]:
    """Every file of every registered prior."""
    return {
        path: path.read_bytes()
        for path in (project / ".local" / "share" / "instglow" / "priors").rglob("*")
        if path.is_file() and path.name != ".lock"
    }


@pytest.mark.slow
def test_a_run_interrupted_and_resumed_is_the_run_that_was_not(project, tmp_path):
    def weights(folder: Path) -> dict[str, torch.Tensor]:
        return torch.load(folder / "last.ckpt", weights_only=True)["state_dict"]

    fit = ("fit", "--config", "bass.yaml", *TINY, "--publish.enabled", "false")
    fit = (*fit, "--trainer.max_steps", 120, "--trainer.logger", "false", "--checkpoint.folder")
    whole, halves = tmp_path / "whole", tmp_path / "halves"
    instglow(*fit, whole, cwd=project)
    running = start(*fit, halves, cwd=project)
    while not (halves / "last.ckpt").is_file():
        assert running.poll() is None, running.communicate()
        time.sleep(0.01)
    running.send_signal(signal.SIGINT)
    _, stderr = running.communicate(timeout=120)
    assert running.returncode == 130, stderr
    assert "Traceback" not in stderr
    interrupted_at = torch.load(halves / "last.ckpt", weights_only=True)["global_step"]
    assert 15 <= interrupted_at < 120
    instglow(*fit, halves, "--ckpt_path", halves / "last.ckpt", cwd=project)
    torch.testing.assert_close(weights(halves), weights(whole), rtol=0, atol=1e-6)


def test_one_model_of_several_instruments_gives_several_stems(project, tmp_path):
    for name, source in {
        "bass": "bass",
        "drums": "bass",
        "guitar": "guitar",
        "piano": "guitar",
    }.items():
        (tmp_path / "data").mkdir(exist_ok=True)
        (tmp_path / "data" / name).symlink_to(project / "data" / source)
    prior = "--model.prior.init_args."
    small = (prior + "steps", 1, prior + "hidden", 8, prior + "layers", 1)
    data = ("--data.init_args.draws_per_epoch", 4, "--data.init_args.held_out_draws", 2)
    fit = (*small, *data, "--data.init_args.seconds", 0.5, "--trainer.accelerator", "cpu")
    fit = (*fit, "--trainer.max_steps", 2, "--trainer.logger", "false")
    done = instglow("fit", "--config", "musicglow.yaml", *fit, cwd=tmp_path)
    assert "registered prior 'musicglow'" in done.stdout

    song = project / "song.wav"
    options = ("--priors", "bass=musicglow,guitar=musicglow,rest=bass-nmf", "--steps", 2)
    instglow("separate", song, *options, cwd=tmp_path)
    folder = tmp_path / "separated" / "song"
    mixture, _ = soundfile.read(song)
    stems = {name: soundfile.read(folder / f"{name}.wav")[0] for name in ("bass", "guitar", "rest")}
    assert abs(sum(stems.values()) - mixture).max() < 1e-4
    priors = json.loads((folder / "separation.json").read_text())["priors"]
    assert {stem: made["prior"] for stem, made in priors.items()} == {
        "bass": "musicglow",
        "guitar": "musicglow",
        "rest": "bass-nmf",
    }
    assert priors["bass"]["sha256"] == priors["guitar"]["sha256"] != priors["rest"]["sha256"]
