import csv
import importlib.util
import json
import re
import struct
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import soundfile
import torch
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.loggers import CSVLogger, WandbLogger
from PIL import Image

from instglow.audio.frontend import Frontend
from instglow.cli.train import run as run_command
from instglow.data.datamodule import SoloData
from instglow.errors import ConfigError
from instglow.families import family
from instglow.families.glow import GlowPrior
from instglow.families.nmf import NMFPrior
from instglow.pages.sounds import TEMPERATURES, drawn, rebuilt
from instglow.pages.training_dashboard import Dashboard, likelihoods
from instglow.prior import Decoded
from instglow.rivals.adversarial import AdversarialTraining
from instglow.rivals.families.spec_gan import SpecGANPrior
from instglow.training.callbacks import Checkpoints
from instglow.training.module import PriorTraining

FRONTEND = Frontend(8000, 64, 16)
SECONDS = 0.1
BATCHES = 3
SMALL = {
    "glow": {"steps": 1, "hidden": 4, "layers": 1, "amplitude": "power:0.5", "level": 0.1},
    "music-glow": {"instruments": ["bass", "drums"], "embedding": 4, "steps": 1, "hidden": 4},
    "nmf": {"atoms": 4, "level": 0.1},
    "lq-vae": {"codebook": 8, "embedding": 4, "hidden": 8, "groups": 2},
    "gan": {"latent_size": 6, "width": 2, "layers": 2, "block": 8, "level": 0.1},
}


class Noises:
    """Solo recordings of nothing but noise."""

    def recordings(self, split, sample_rate):
        generator = torch.Generator().manual_seed(len(split))
        for _ in range(2):
            yield 0.1 * torch.randn(4000, generator=generator)


class Measured(PriorTraining):
    """Also measures another instrument, which it finds less likely by 1.5 bits."""

    def on_validation_epoch_end(self):
        own = self.trainer.callback_metrics["held-out/bits_per_dim"]
        self.log("held-out-violin/bits_per_dim", own + 1.5)


class Gradients(Callback):
    """The norms before anything clips them."""

    def __init__(self):
        self.norms = []

    def on_after_backward(self, trainer, pl_module):
        squares = [p.grad.square().sum() for p in pl_module.parameters() if p.grad is not None]
        self.norms.append(float(sum(squares)) ** 0.5)


def data() -> SoloData:
    return SoloData(Noises(), seconds=SECONDS, batch_size=4, segments_per_epoch=4 * BATCHES)


def fit(folder: Path, logger, *callbacks, epochs=2) -> Measured:
    torch.manual_seed(0)
    module = Measured("noise", GlowPrior(FRONTEND, **SMALL["glow"]), warmup_steps=4)
    torch.manual_seed(1)
    Trainer(
        accelerator="cpu",
        max_epochs=epochs,
        logger=logger,
        log_every_n_steps=1,
        gradient_clip_val=1e-3,
        num_sanity_val_steps=1,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[Checkpoints(str(folder / "checkpoints")), *callbacks],
    ).fit(module, data())
    return module


def records(path: Path) -> list:
    """Of a .wandb file: LevelDB's log of blocks of 32 KiB, each record a protocol buffer."""
    from wandb.proto.wandb_internal_pb2 import Record

    raw, found, pending, at = path.read_bytes(), [], b"", 7
    while at + 7 <= len(raw):
        left = 32768 - at % 32768
        if left < 7:
            at += left
            continue
        length, kind = struct.unpack("<HB", raw[at + 4 : at + 7])
        pending += raw[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):  # whole, or the last part
            found.append(Record.FromString(pending))
            pending = b""
    return found


def end(logger: WandbLogger, folder: Path) -> tuple[Path, list]:
    """-> the run's folder, and its records once wandb's process has written the last."""
    logger.experiment.finish()
    (run,) = folder.glob("wandb/offline-run-*")
    found, patience = [], time.monotonic() + 120
    while not (found and found[-1].HasField("exit")):
        assert time.monotonic() < patience, f"no end of the run in {run}"
        time.sleep(0.05)
        found = records(next(run.glob("*.wandb")))
    return run, found


def history(record) -> dict:
    """What was logged at once: key -> value, or for media key -> name -> value."""
    row = {}
    for item in record.history.item:
        *key, last = item.nested_key or [item.key]
        target = row.setdefault(key[0], {}) if key else row
        target[last] = json.loads(item.value_json)
    return row


def offline(folder: Path, monkeypatch) -> WandbLogger:
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    monkeypatch.setenv("WANDB_DATA_DIR", str(folder / "staged"))
    monkeypatch.setenv("WANDB_CACHE_DIR", str(folder / "cache"))
    return WandbLogger(project="test", save_dir=folder)


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shown")
    (folder / "checkpoints").mkdir()
    (folder / "checkpoints" / "config.yaml").write_text("seed_everything: 0\n")
    gradients = Gradients()
    with pytest.MonkeyPatch.context() as patch:
        logger = offline(folder, patch)
        dashboard = Dashboard(every=1, samples=2, seconds=SECONDS / 2)
        module = fit(folder, logger, dashboard, gradients)
        draws = torch.get_rng_state()
        run, found = end(logger, folder)
    rows = [history(record) for record in found if record.HasField("history")]
    return SimpleNamespace(
        module=module, run=run, rows=rows, records=found, norms=gradients.norms, draws=draws
    )


def column(shown, name: str) -> list:
    return [row[name] for row in shown.rows if name in row]


def files(shown, name: str) -> list[list[Path]]:
    """Of each time that something was logged, its files."""
    folder = shown.run / "files"
    return [
        [
            folder / file
            for file in entry.get("filenames") or [one["path"] for one in entry["audio"]]
        ]
        for entry in column(shown, name)
    ]


def test_the_gradient_is_measured_before_it_is_clipped(shown):
    assert len(shown.norms) == 2 * BATCHES
    assert column(shown, "train/gradient_norm") == pytest.approx(shown.norms, rel=1e-5)
    assert min(shown.norms) > 1e-3


def test_the_learning_rate_is_that_of_the_step(shown):
    rates = column(shown, "train/learning_rate")
    assert rates[:4] == pytest.approx([0.25e-3, 0.5e-3, 0.75e-3, 1e-3])
    assert rates[5] < 1e-3


def test_throughput_counts_segments_and_their_audio(monkeypatch):
    now, logged = [0.0], {}
    clock = SimpleNamespace(perf_counter=lambda: now[0])
    monkeypatch.setattr("instglow.pages.training_dashboard.time", clock)
    module = PriorTraining("noise", GlowPrior(FRONTEND, **SMALL["glow"]))
    monkeypatch.setattr(module, "log_dict", logged.update)
    trainer = SimpleNamespace(loggers=[WandbLogger(offline=True)], world_size=2)
    dashboard = Dashboard()
    dashboard.setup(trainer, module, "fit")
    dashboard.on_train_epoch_start(trainer, module)
    for taken in (1.0, 3.0):
        now[0] += taken
        dashboard.on_train_batch_end(trainer, module, None, torch.zeros(4, 3, 2, 16000), 0)
    # two processes, four items of three stereo solos of 2 s each; two batches in 4 s
    assert logged["throughput/segments_per_second"] == 2 * (2 * 4 * 3) / 4
    assert logged["throughput/audio_hours_per_hour"] == 2 * (2 * 4 * 3) * 2 / 4


def test_samples_are_audio_and_pictures_of_every_temperature(shown):
    sounds, pictures = files(shown, "samples/audio"), files(shown, "samples/spectrogram")
    count = 2 * len(TEMPERATURES)
    assert [len(group) for group in sounds + pictures] == 4 * [count]  # twice each
    samples = FRONTEND.segment(SECONDS / 2)
    for path in sounds[1]:
        wave, rate = soundfile.read(path)
        assert (len(wave), rate) == (samples, 8000)
        assert abs(wave).max() > 0
    assert Image.open(pictures[1][0]).size == (FRONTEND.frames(samples), FRONTEND.bins)
    captions = column(shown, "samples/audio")[0]["captions"]
    assert [text.split()[-1] for text in captions[::2]] == [str(t) for t in TEMPERATURES]


def test_reconstructions_lie_beside_held_out_segments(shown):
    groups = files(shown, "reconstructions/audio")
    assert len(groups) == len(files(shown, "reconstructions/spectrogram")) == 2
    for group in groups:
        assert len(group) == 4
        waves = [torch.tensor(soundfile.read(path)[0]).float() for path in group]
        held_out = next(iter(shown_data(shown).val_dataloader()))
        for wave, segment in ((waves[0], held_out[0]), (waves[2], held_out[-1])):
            level = segment[0] / segment.square().mean().sqrt() * 0.1
            torch.testing.assert_close(wave, level[: len(wave)], rtol=0, atol=1e-4)
        # a flow loses nothing but the highest bin
        for original, copy in (waves[:2], waves[2:]):
            low = FRONTEND.magnitude(original)[:-2, 4:-4]
            torch.testing.assert_close(
                FRONTEND.magnitude(copy)[:-2, 4:-4], low, rtol=0, atol=0.1 * float(low.max())
            )


def shown_data(shown) -> SoloData:
    held_out = data()
    held_out.trainer = SimpleNamespace(lightning_module=shown.module)
    held_out.setup("validate")
    return held_out


def test_the_likelihoods_make_a_table(shown):
    tables = column(shown, "likelihood")
    assert len(tables) == 2
    table = json.loads((shown.run / "files" / tables[1]["path"]).read_text())
    bits = column(shown, "held-out/bits_per_dim")[-1]
    assert table["columns"] == ["prior", "instrument", "bits_per_dim", "gap"]
    assert table["data"][0] == ["noise", "noise", pytest.approx(bits), 0]
    assert table["data"][1] == ["noise", "violin", pytest.approx(bits + 1.5), pytest.approx(1.5)]


def test_without_another_instrument_there_is_no_table():
    assert likelihoods("noise", {"held-out/bits_per_dim": torch.tensor(3.0)}) == []
    assert likelihoods("noise", {"held-out-violin/bits_per_dim": torch.tensor(3.0)}) == []


def test_the_best_checkpoint_is_an_artifact(shown):
    (artifact,) = [
        record.artifact
        for record in shown.records
        if record.HasField("artifact") and record.artifact.type == "checkpoint"
    ]
    assert artifact.name == "noise"
    assert {"latest", "best"} <= set(artifact.aliases)
    contents = {entry.path: Path(entry.local_path) for entry in artifact.manifest.contents}
    assert set(contents) == {"best.ckpt", "config.yaml"}
    assert all(path.is_file() for path in contents.values())


def test_all_entries_have_the_step_of_their_losses(shown):
    rows = [row for row in shown.rows if "samples/audio" in row]
    assert [row["trainer/global_step"] for row in rows] == [BATCHES - 1, 2 * BATCHES - 1]


def test_other_loggers_get_nothing_and_the_weights_stay_the_same(shown, tmp_path):
    logger = CSVLogger(tmp_path)
    module = fit(tmp_path, logger, Dashboard(every=1))
    assert torch.equal(torch.get_rng_state(), shown.draws)
    for name, tensor in module.state_dict().items():
        assert torch.equal(tensor, shown.module.state_dict()[name]), name
    with (Path(logger.log_dir) / "metrics.csv").open() as text:
        assert not [name for name in next(csv.reader(text)) if "norm" in name or "through" in name]


def test_switched_off_it_logs_nothing(tmp_path, monkeypatch):
    logger = offline(tmp_path, monkeypatch)
    fit(tmp_path, logger, Dashboard(every=1, enabled=False), epochs=1)
    run, found = end(logger, tmp_path)
    assert not (run / "files" / "media").exists()
    keys = {key for record in found for key in history(record)}
    assert "train/loss" in keys
    assert not [key for key in keys if "norm" in key or "throughput" in key]
    assert not any(record.HasField("artifact") for record in found)


def test_a_round_comes_every_so_many_epochs_whenever_the_run_is_measured():
    dashboard, trainer = Dashboard(every=5), SimpleNamespace(is_global_zero=True)
    dashboard._logger = WandbLogger(offline=True)
    trainer.sanity_checking, trainer.callback_metrics = False, {}
    module = PriorTraining("noise", GlowPrior(FRONTEND, **SMALL["glow"]))
    shown = []
    for trainer.current_epoch in range(2, 30, 3):  # after the third epoch, the sixth …
        if dashboard._due(trainer, dashboard._shown):
            shown.append(trainer.current_epoch + 1)
        dashboard.on_validation_end(trainer, module)
    assert shown == [6, 12, 18, 24, 30]


def test_likelihoods_that_come_late_are_shown_all_the_same(monkeypatch):
    dashboard, trainer = Dashboard(every=2), SimpleNamespace(is_global_zero=True)
    dashboard._logger = WandbLogger(offline=True)
    trainer.sanity_checking = False
    module, tables = PriorTraining("noise", GlowPrior(FRONTEND, **SMALL["glow"])), []
    monkeypatch.setattr(dashboard, "_log", lambda entries: tables.append(trainer.current_epoch))
    for trainer.current_epoch in range(9):
        measured = trainer.current_epoch % 3 == 2
        trainer.callback_metrics = {
            f"{held_out}/bits_per_dim": torch.tensor(1.0)
            for held_out in ("held-out", *(["held-out-violin"] if measured else []))
        }
        dashboard.on_validation_end(trainer, module)
    assert tables == [2, 5, 8]


def test_two_optimizers_have_a_gradient_each():
    torch.manual_seed(0)
    module = AdversarialTraining("noise", SpecGANPrior(FRONTEND, **SMALL["gan"]), critic_steps=2)
    trainer = Trainer(
        accelerator="cpu",
        max_epochs=1,
        logger=WandbLogger(mode="disabled"),
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[Dashboard(every=1, samples=1, seconds=SECONDS)],
    )
    trainer.fit(module, data())
    norms = [float(trainer.callback_metrics[f"train/gradient_norm/{i}"]) for i in range(2)]
    assert min(norms) > 0
    assert norms[0] != norms[1]


@pytest.mark.parametrize("name", sorted(SMALL))
def test_every_family_can_be_heard(name):
    torch.manual_seed(0)
    prior = family(name)(FRONTEND, **SMALL[name])
    module = PriorTraining("noise", prior).eval()
    instruments = len(SMALL[name].get("instruments", ["noise"]))
    before = torch.get_rng_state()
    sounds = drawn(module, 2, SECONDS)
    again = drawn(module, 2, SECONDS)
    batch = 0.1 * torch.randn(
        4, 2, module.segment(SECONDS), generator=torch.Generator().manual_seed(0)
    )
    copies = rebuilt(module, batch, 3, SECONDS)
    assert torch.equal(torch.get_rng_state(), before)
    is_flow = "glow" in name
    assert len(sounds) == 2 * instruments * (len(TEMPERATURES) if is_flow else 1)
    for one, other in zip(sounds, again, strict=True):
        assert one.wave.isfinite().all()
        assert one.wave.shape == (FRONTEND.segment(SECONDS),)
        assert (one.magnitude >= 0).all()
        assert torch.equal(one.wave, other.wave)
    assert len(copies) == (2 * 3 * instruments if name in ("glow", "music-glow") else 0)


class Chord(NMFPrior):
    """Knows nothing but two tones."""

    wave = sum(torch.sin(2 * torch.pi * hertz / 8000 * torch.arange(4000)) for hertz in (500, 1250))

    def decode(self, latent, frames, energy=None):
        magnitude = FRONTEND.magnitude(0.4 * self.wave)[None, :, :frames]
        return Decoded(magnitude.expand(len(latent), -1, -1), torch.zeros(len(latent)))


def test_a_sample_sounds_as_its_magnitudes_say():
    (sound,) = drawn(PriorTraining("chord", Chord(FRONTEND, **SMALL["nmf"])), 1, 0.4)
    error = FRONTEND.magnitude(sound.wave) - sound.magnitude
    assert error.norm() < 0.2 * sound.magnitude.norm()
    spectrum = torch.fft.rfft(sound.wave).abs()
    strongest = spectrum.topk(2).indices * 8000 / len(sound.wave)
    assert sorted(strongest.tolist()) == pytest.approx([500, 1250], abs=62)  # half a bin


def test_settings_that_make_no_sense_are_refused():
    with pytest.raises(ConfigError, match=r"dashboard.every must be at least 1, .* got 0, "):
        Dashboard(every=0)


def test_the_command_has_a_dashboard(capsys, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    with pytest.raises(SystemExit):
        run_command(["--print_config", "--dashboard.every", "7"], "instglow fit")
    assert "\ndashboard:\n  every: 7\n" in capsys.readouterr().out


@pytest.fixture
def workspace():
    path = Path(__file__).parents[2] / "benchmarks" / "wandb_workspace.py"
    spec = importlib.util.spec_from_file_location("wandb_workspace", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_workspace_has_a_panel_for_all_that_is_logged(shown, workspace):
    pytest.importorskip("wandb_workspaces")
    view = workspace.description("someone", "music")
    spec = json.loads(view._to_model().model_dump_json(by_alias=True))
    assert (spec["entity"], spec["project"]) == ("someone", "music")
    panels = [panel for section in view.sections for panel in section.panels]
    patterns = [panel.metric_regex for panel in panels if hasattr(panel, "metric_regex")]
    media = {key for panel in panels for key in getattr(panel, "media_keys", [])}
    tables = {panel.table_name for panel in panels if hasattr(panel, "table_name")}
    logged = {key for row in shown.rows for key in row}
    clocks = {"epoch", "trainer/global_step", "_step", "_runtime", "_timestamp"}
    for key in logged - clocks - media - tables:
        assert any(re.search(pattern, key) for pattern in patterns), key
    assert media | tables <= logged
    assert all(pattern in json.dumps(spec).replace("\\\\", "\\") for pattern in patterns)


def test_who_is_not_logged_in_is_told_so(workspace, monkeypatch, tmp_path, capsys):
    pytest.importorskip("wandb_workspaces")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setattr(sys, "argv", ["wandb_workspace.py"])
    assert workspace.main() == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "nobody is logged in" in line
    assert "wandb login" in line


def test_without_the_package_it_says_what_to_install(workspace, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "wandb_workspaces.reports", None)
    monkeypatch.setattr(sys, "argv", ["wandb_workspace.py"])
    assert workspace.main() == 2
    assert 'pip install "instglow[dashboard]"' in capsys.readouterr().err
