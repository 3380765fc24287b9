"""Whatever can be wrong with a training run: one line, status 2, no trace."""

import os
from pickle import PicklingError

import pytest
import torch
import yaml
from test_training import checkpoint, project  # noqa: F401 - a fixture

import instglow.data.segments as segments_module
from instglow.cli.main import main
from instglow.cli.train_options import in_order
from instglow.errors import ConfigError, DataError, DependencyError, OutputError
from instglow.training.failures import explanation

FIT = ("fit", "--config", "tiny.yaml", "--publish.enabled", "false")
SHORT = ("--data.segments_per_epoch", 8, "--data.batch_size", 4, "--trainer.max_steps", 2)


@pytest.fixture
def here(project, monkeypatch):  # noqa: F811
    monkeypatch.chdir(project)
    return project


@pytest.fixture(scope="module")
def run(project, tmp_path_factory):  # noqa: F811
    """The folder of a run of two steps."""
    folder = tmp_path_factory.mktemp("run")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(project)
        assert main([*map(str, (*FIT, *SHORT, "--checkpoint.folder", folder))]) == 0
    return folder


def fit(*options: object) -> int:
    return main([*map(str, (*FIT, *SHORT, *options))])


def refusal(capsys, *options: object) -> str:
    capsys.readouterr()
    assert fit(*options) == 2
    lines = capsys.readouterr().err.splitlines()
    # one of the recordings is broken, which a run that comes to them says
    said = [line for line in lines if not line.endswith(" held out") and "left out" not in line]
    assert len(said) == 1, lines
    assert said[0].startswith("instglow: ")
    return said[0].removeprefix("instglow: ")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--ckpt_path nowhere", "no checkpoint 'nowhere'; `instglow fit` writes some"),
        ("--ckpt_path tiny.yaml", "tiny.yaml is not a checkpoint of `instglow fit` ("),
        (
            "--checkpoint.folder tiny.yaml/x",
            "tiny.yaml is a file, not a folder; choose another folder",
        ),
        ("--trainer.precision bf16-true", "cannot train with trainer.precision bf16-true; use 32-"),
        ("--trainer.precision 16-true", "cannot train with trainer.precision 16-true; use 32-true"),
        ("--trainer.precision 64-true", "cannot train with trainer.precision 64-true; use 32-true"),
        ("--trainer.logger MLFlowLogger", "Requirement 'mlflow>=1.0.0' not met."),
        ("--trainer.accelerator toaster", "You selected an invalid accelerator name: "),
        ("--trainer.strategy toaster", "You selected an invalid strategy name: "),
        ("--trainer.devices 0", "`Trainer(devices='0')` value is not a valid input using cpu acc"),
        ("--trainer.max_stepz 3", "no option 'trainer.max_stepz', perhaps 'trainer.max_steps' is "),
        (
            "--trainer.max_steps some",
            "Parser key \"trainer.max_steps\": Expected a <class 'int'>. ",
        ),
        ("--model.learning_rat 3", "no option 'learning_rat', perhaps 'learning_rate' is meant; s"),
        ("--model.prior.stepz 3", "no option 'stepz', perhaps 'steps' is meant; see `instglow fit"),
        ("--config odd.yaml", "no option 'trainer.max_stepz', perhaps 'trainer.max_steps' is mean"),
        ("--model.learning_rate 0", "model.learning_rate must be above 0 and finite, got 0.0"),
        ("--model.learning_rate nan", "Parser key \"learning_rate\": Expected a <class 'float'>."),
        ("--model.warmup_steps -1", "model.warmup_steps must be at least 0, got -1"),
        ("--model.seed -1", "model.seed must be from 0 to 4294967295, got -1"),
        ("--data.seed 4294967296", "data.seed must be from 0 to 4294967295, got 4294967296"),
        ("--seed_everything -1", "seed_everything: -1 is not in bounds, numpy accepts from 0 to "),
        ("--data.batch_size 0", "data.batch_size must be at least 1, got 0"),
        ("--data.seconds 0", "data.seconds must be above 0, got 0.0"),
        ("--data.segments_per_epoch -1", "data.segments_per_epoch must be at least 0, got -1"),
        ("--data.held_out_segments 0", "data.held_out_segments must be at least 1, got 0"),
        ("--data.workers -1", "data.workers must be at least 0, got -1"),
        ("--data.gate.below_loudest -5", "gate.below_loudest must be above 0 dB, got -5.0"),
        (
            "--data.gate null",
            "an option that has options of its own, as model.augmentation has, is",
        ),
        ("--trainer.accumulate_grad_batches 0", "trainer.accumulate_grad_batches must be above 0,"),
        ("--trainer.check_val_every_n_epoch 0", "trainer.check_val_every_n_epoch must be above 0,"),
        ("--trainer.val_check_interval 0", "trainer.val_check_interval must be above 0, got 0"),
        ("--model.prior.steps 0", "steps must be at least 1, got 0"),
        ("--model.prior.hidden 0", "hidden must be at least 1, got 0"),
        ("--model.prior.layers 0", "layers must be at least 1, got 0"),
        ("--model.prior.kernel 2", "kernel must be odd, got 2"),
        ("--model.prior.groups 0", "groups must be at least 1, got 0"),
        ("--model.prior.channels -2", "channels must be at least 1, got -2"),
        ("--model.prior.noise -1", "noise must be at least 0, got -1.0"),
        ("--model.prior.level -1", "level must be at least 0, got -1.0"),
        ("--model.prior.amplitude power:x", "amplitude must be 'linear', 'power:EXPONENT' or 'log"),
        ("--model.init nobody", "no prior 'nobody'; "),
        ("--averaging.decay 1", "averaging.decay is 1.0; give a number from 0 to less than 1"),
        ("--config", "argument -c/--config: expected one argument; see `instglow fit --help`"),
    ],
)
def test_an_option_that_makes_no_sense(here, capsys, options, message):
    (here / "odd.yaml").write_text("trainer: {max_stepz: 3}")
    assert message in refusal(capsys, *options.split())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ("--model.prior.hidden", 6),
            "the checkpoint is of another model: prior.flow.steps.0.coup",
        ),
        (
            ("--model.prior.steps", 2),
            "the checkpoint is of another model: prior.flow.steps.1.actno",
        ),
    ],
)
def test_a_checkpoint_of_other_sizes(here, run, capsys, options, message):
    assert refusal(capsys, "--ckpt_path", run / "last.ckpt", *options).startswith(message)


def test_a_checkpoint_of_weights_alone_can_be_measured_but_not_gone_on_with(
    here, run, capsys, tmp_path
):
    content = checkpoint(run)
    del content["optimizer_states"], content["lr_schedulers"]
    torch.save(content, tmp_path / "weights.ckpt")
    said = refusal(capsys, "--ckpt_path", tmp_path / "weights.ckpt")
    assert said == "the checkpoint holds weights alone, so no run can go on from it"
    path = str(tmp_path / "weights.ckpt")
    assert main(["validate", "--config", "tiny.yaml", "--ckpt_path", path]) == 0


def test_a_run_that_is_over_says_so(here, run, capsys, tmp_path):
    before = (run / "last.ckpt").read_bytes()
    for steps in (1, 2):
        capsys.readouterr()
        assert fit("--ckpt_path", run / "last.ckpt", "--trainer.max_steps", steps) == 0
        said = f"nothing to train: the checkpoint has 2 steps, trainer.max_steps is {steps}\n"
        assert said in capsys.readouterr().out
    assert (run / "last.ckpt").read_bytes() == before


@pytest.mark.parametrize(
    "options", [("--trainer.max_steps", 0), ("--trainer.limit_train_batches", 0)]
)
def test_a_run_of_no_steps_registers_nothing(here, capsys, tmp_path, options):
    words = ("--publish.enabled", "true", "--publish.registry", tmp_path, *options)
    assert refusal(capsys, *words).startswith("nothing was trained, so there is nothing to regist")
    assert not list(tmp_path.iterdir())


def test_a_dry_run_registers_nothing(here, tmp_path):
    words = ("--publish.enabled", "true", "--publish.registry", tmp_path)
    assert fit(*words, "--trainer.fast_dev_run", "true") == 0
    assert not list(tmp_path.iterdir())


def test_a_folder_without_permission(here, capsys, monkeypatch):
    allowed = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: not mode & os.W_OK and allowed(path, mode))
    said = refusal(capsys)
    assert said.endswith(": no permission to write there; choose another folder")


def test_a_full_disk(here, capsys, monkeypatch):
    def full(*_, **__):
        raise OSError(28, os.strerror(28), "last.ckpt")

    monkeypatch.setattr("lightning.pytorch.trainer.trainer.Trainer.save_checkpoint", full)
    said = refusal(capsys)
    assert said == "last.ckpt: No space left on device; make room or choose another folder"


def test_a_loader_process_that_dies(here, capsys, monkeypatch):
    def die(self, number):
        os._exit(9)

    monkeypatch.setattr(segments_module.SoloSegments, "__getitem__", die)
    said = refusal(capsys, "--data.workers", 1)
    assert said.startswith("a process that loads recordings died (DataLoader worker (pid")
    assert said.endswith("free memory, or lower data.workers")


@pytest.mark.parametrize("error", [torch.OutOfMemoryError, MemoryError])
def test_out_of_memory(here, capsys, monkeypatch, error):
    def greedy(*_, **__):
        raise error("tried to allocate 2.00 GiB")

    monkeypatch.setattr("instglow.families.glow.GlowPrior.loss", greedy)
    said = refusal(capsys)
    assert said.startswith("out of memory (tried to allocate 2.00 GiB); lower data.batch_size, ")


def test_what_is_behind_an_exception_is_said_and_what_is_ours_is_not_hidden():
    def behind(cause: Exception) -> Exception:
        error = ValueError("of a parser")
        error.__cause__ = cause
        return error

    for cause, kind in (
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: tried 9 bytes"), ConfigError),
        (RuntimeError("DataLoader worker (pid 1) is killed by signal: Killed."), DataError),
        (ModuleNotFoundError("No module named 'tensorboard'"), DependencyError),
        (FileExistsError(17, "File exists", "runs"), OutputError),
        (ValueError("loaded state dict has a different number of parameter groups"), ConfigError),
        (PicklingError("Can't pickle <class 'TrainCLI'>"), ConfigError),
    ):
        assert isinstance(explanation(behind(cause)), kind), cause
    for cause in (BrokenPipeError(32, "Broken pipe"), KeyError("own"), AssertionError("own")):
        assert explanation(behind(cause)) is None


def test_an_option_wins_wherever_it_stands(here, capsys):
    options = ("--trainer.max_steps", "7", "--data.batch_size=3", "--model.prior.init_args.steps=2")
    for order in ((*options, "--config", "tiny.yaml"), ("-c", "tiny.yaml", *options)):
        capsys.readouterr()
        assert main(["fit", *order, "--print_config"]) == 0
        values = yaml.safe_load(capsys.readouterr().out)
        assert values["trainer"]["max_steps"] == 7
        assert values["data"]["init_args"]["batch_size"] == 3
        assert values["model"]["init_args"]["prior"]["init_args"]["steps"] == 2


def test_the_order_of_what_is_equally_particular_stays(here):
    typed = "--a.b 1 --data x --config tiny.yaml --a.c -1 --config=cpu.yaml -d y"
    ordered = in_order(typed.split())
    assert ordered[0::2] == ["--config", "--config", "--data", "-d", "--a.b", "--a.c"]
    assert ordered[1] == "tiny.yaml"
    assert ordered[5::2] == ["x", "y", "1", "-1"]


@pytest.mark.parametrize("option", ["--model.prior.denoiser", "--model.prior.init_args.denoiser"])
def test_null_is_none(here, capsys, option):
    capsys.readouterr()
    tiny = "{hidden: 4, layers: 1}"
    command = ("fit", "--config", "tiny.yaml", option, tiny, "--print_config")
    for value, expected in (("null", None), (tiny, {"hidden": 4, "layers": 1})):
        assert main([*command, option, value]) == 0
        printed = yaml.safe_load(capsys.readouterr().out)
        assert printed["model"]["init_args"]["prior"]["init_args"]["denoiser"] == expected
