"""Training through the command: killed and resumed, on two processes, and every configuration."""

import signal
import time
from pathlib import Path

import pytest
import soundfile
import torch
import yaml
from commands import instglow, start

from instglow.cli.main import main
from instglow.cli.train import configs

RATE = 8000
TINY = f"""
model:
  instrument: tone
  prior:
    class_path: instglow.families.glow.GlowPrior
    init_args:
      frontend: {{sample_rate: {RATE}, n_fft: 64, hop_length: 16}}
      steps: 1
      hidden: 4
      layers: 1
      amplitude: power:0.5
      level: 0.1
  warmup_steps: 1
  augmentation: {{level: 4.0, speed: 1.5, equaliser: 4.0}}
data:
  source: {{class_path: instglow.data.solo.SoloFolder, init_args: {{folder: solos}}}}
  seconds: 0.05
  cache: null
trainer: {{accelerator: cpu, logger: false, enable_progress_bar: false}}
"""
# each process of a run draws noise and augmentation for itself
DETERMINED = ("--model.prior.init_args.noise", 0, "--model.augmentation", "{level: 0, speed: 0}")
DETERMINED = (*DETERMINED, "--model.augmentation.equaliser", 0)


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Path:
    """A folder with solo recordings, each half a second of a tone in noise."""
    folder = tmp_path_factory.mktemp("project")
    (folder / "solos").mkdir()
    (folder / "tiny.yaml").write_text(TINY)
    generator = torch.Generator().manual_seed(0)
    for take in range(12):
        tone = torch.sin(0.1 * (1 + 0.1 * take) * torch.arange(RATE // 2))
        wave = 0.2 * tone + 0.02 * torch.randn(RATE // 2, generator=generator)
        soundfile.write(folder / "solos" / f"{take}.wav", wave, RATE)
    (folder / "solos" / "broken.wav").touch()
    soundfile.write(folder / "solos" / "silent.wav", torch.zeros(RATE), RATE)
    return folder


def fit(project: Path, monkeypatch, *options: object) -> None:
    """In this process: the libraries are loaded already."""
    monkeypatch.chdir(project)
    command = ("fit", "--config", "tiny.yaml", "--publish.enabled", "false", *options)
    assert main([*map(str, command)]) == 0


def checkpoint(folder: Path, name: str = "last") -> dict:
    return torch.load(folder / f"{name}.ckpt", weights_only=True)


@pytest.mark.slow
def test_killed_in_the_middle_of_an_epoch_and_resumed_equals_uninterrupted(
    project, tmp_path, monkeypatch
):
    # 100 steps an epoch: it is killed long before the second one ends
    options = ("--data.segments_per_epoch", 200, "--data.batch_size", 2, "--trainer.max_steps", 200)
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    command = ("fit", "--config", "tiny.yaml", "--publish.enabled", "false", *options)
    running = start(*command, "--checkpoint.folder", killed, cwd=project)
    while not (killed / "last.ckpt").is_file():
        assert running.poll() is None, running.communicate()
        time.sleep(0.01)
    running.send_signal(signal.SIGKILL)
    running.communicate(timeout=60)
    assert running.returncode == -signal.SIGKILL
    assert checkpoint(killed)["global_step"] == 100

    fit(project, monkeypatch, *options, "--checkpoint.folder", whole)
    resume = ("--ckpt_path", killed / "last.ckpt")
    fit(project, monkeypatch, *options, "--checkpoint.folder", killed, *resume)
    one, two = checkpoint(whole), checkpoint(killed)
    assert one["global_step"] == two["global_step"] == 200
    for part in ("state_dict", "current_model_state", "averaging_state"):
        assert one[part].keys() == two[part].keys()
        for name, value in one[part].items():
            assert torch.equal(value, two[part][name]), (part, name)
    assert one["instglow"]["scores"] == two["instglow"]["scores"]
    best, best_again = (checkpoint(folder, "best") for folder in (whole, killed))
    assert best["instglow"] == best_again["instglow"]


@pytest.mark.slow
def test_two_processes_train_as_one_with_twice_the_batch(project, tmp_path, monkeypatch):
    # a step takes a whole epoch: within one the order is another, as Lightning shuffles once more
    options = (*DETERMINED, "--data.segments_per_epoch", 32, "--trainer.max_steps", 5)
    # Adam divides by the gradient: in small steps, what rounding makes of it stays small
    options = (*options, "--model.learning_rate", 1e-5)
    one, two = tmp_path / "one", tmp_path / "two"
    ranks = ("--trainer.devices", 2, "--trainer.strategy", "ddp", "--data.batch_size", 16)
    done = instglow(
        *("fit", "--config", "tiny.yaml", *options, *ranks, "--checkpoint.folder", two),
        cwd=project,
        fresh=True,  # Lightning starts the others with the command line of the first
        GLOO_SOCKET_IFNAME="lo",
    )
    assert done.stdout.count("registered prior 'tone'") == 1
    for said in ("broken.wav: empty", "1 recording (1.0 s): silent", "2 of 14 recordings are left"):
        assert done.stderr.count(said) == 1, done.stderr
    fit(project, monkeypatch, *options, "--data.batch_size", 32, "--checkpoint.folder", one)
    alone, together = checkpoint(one), checkpoint(two)
    assert alone["global_step"] == together["global_step"] == 5
    for name, weight in alone["state_dict"].items():
        assert together["state_dict"][name].isfinite().all(), name
        torch.testing.assert_close(together["state_dict"][name], weight, rtol=1e-4, atol=1e-4)
    # the weights hardly moved; what moves them is the mean gradient of all the segments
    gradients, gradients_together = (
        torch.cat([moments["exp_avg"].flatten() for moments in adam["state"].values()])
        for adam in (alone["optimizer_states"][0], together["optimizer_states"][0])
    )
    assert (gradients_together - gradients).norm() < 1e-3 * gradients.norm()
    # each process measures half of the held-out segments: the mean tells of the other's weights
    scores, scores_together = (about["instglow"]["scores"] for about in (alone, together))
    assert scores_together == pytest.approx(scores, rel=1e-4)


def test_the_papers_configurations_have_its_sizes(tmp_path, capsys, monkeypatch):
    for path in sorted((configs() / "paper").glob("*.yaml")):
        if path.name == "base.yaml":
            continue
        values = printed(capsys, f"paper/{path.name}")
        prior = values["model"]["init_args"]["prior"]["init_args"]
        sizes = {key: prior[key] for key in ("steps", "hidden", "layers", "kernel", "amplitude")}
        assert sizes == {
            "steps": 12,
            "hidden": 192,
            "layers": 4,
            "kernel": 5,
            "amplitude": "linear",
        }
        assert prior["frontend"] == {"sample_rate": 22050, "n_fft": 1024, "hop_length": 256}
        assert values["data"]["init_args"]["seconds"] == 5
        assert values["data"]["init_args"]["gate"]
        source = values["data"]["init_args"]["source"]["init_args"]
        named = source.get("stem") or source["instrument"]
        assert values["model"]["init_args"]["instrument"].removesuffix("-slakh") == named
        assert values["trainer"]["gradient_clip_val"] == 1


SMALL = """
model:
  prior:
    class_path: instglow.families.glow.GlowPrior
    init_args:
      frontend: {sample_rate: 8000, n_fft: 64, hop_length: 16}
      steps: 1
      hidden: 4
      layers: 1
data:
  source: {class_path: instglow.data.solo.SoloFolder, init_args: {folder: solos}}
  seconds: 0.2
  batch_size: 2
  segments_per_epoch: 4
  workers: 0
  cache: null
publish: {enabled: false}
trainer: {accelerator: cpu, logger: false, enable_progress_bar: false, max_steps: 2}
"""


@pytest.mark.parametrize("names", ["guitar.yaml", "guitar.yaml gpu.yaml", "paper/guitar.yaml"])
def test_steps_are_made_in_the_precision_of_the_shipped_configurations(
    project, monkeypatch, tmp_path, names
):
    monkeypatch.chdir(project)
    (project / "small.yaml").write_text(SMALL)
    files = [word for name in (*names.split(), "small.yaml") for word in ("--config", name)]
    assert main(["fit", *files, "--checkpoint.folder", str(tmp_path)]) == 0
    done = checkpoint(tmp_path)
    assert done["global_step"] == 2
    assert all(weight.isfinite().all() for weight in done["state_dict"].values())
    precision = "32-true" if names == "guitar.yaml" else "bf16-mixed"
    assert done["instglow"]["training"]["precision"] == precision


def printed(capsys, *names: str) -> dict:
    """The configuration that files add up to."""
    options = [word for name in names for word in ("--config", name)]
    capsys.readouterr()
    assert main(["fit", *options, "--print_config"]) == 0
    return yaml.safe_load(capsys.readouterr().out)


@pytest.mark.parametrize("first", ["guitar.yaml", "musicglow.yaml", "paper/guitar.yaml"])
def test_a_machine_is_named_by_a_second_configuration(capsys, first):
    gpu, cpu = (printed(capsys, first, machine) for machine in ("gpu.yaml", "cpu.yaml"))
    assert (gpu["trainer"]["accelerator"], gpu["trainer"]["precision"]) == ("gpu", "bf16-mixed")
    assert gpu["data"]["init_args"]["workers"] > 0
    assert (cpu["trainer"]["accelerator"], cpu["trainer"]["precision"]) == ("cpu", "32-true")
    assert cpu["data"]["init_args"]["batch_size"] == 8
    # what it trains stays the same
    assert gpu["model"] == cpu["model"]
