"""`instglow add-prior NAME --data DIR`: from recordings to a prior, and nothing else is moved."""

import hashlib
import inspect
import shutil
from pathlib import Path

import pytest
import soundfile
import torch
import yaml
from filelock import FileLock

from instglow.audio.frontend import Frontend
from instglow.cli import train
from instglow.cli.main import main
from instglow.families.glow import GlowPrior
from instglow.registry import Layer, Registry
from instglow.rivals.families.spec_gan import SpecGANPrior
from instglow.training import configs, recipe
from instglow.training.module import PriorTraining

RATE = 8000
FRONTEND = Frontend(RATE, 64, 16)


@pytest.fixture
def project(tmp_path, monkeypatch) -> Path:
    """A working directory with recordings, two priors, and an instrument.yaml of a tiny prior."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("INSTGLOW_PRIORS", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    generator = torch.Generator().manual_seed(0)
    for folder, pitch in (("solos", 0.1), ("others", 0.3)):
        (tmp_path / folder).mkdir()
        for take in range(3):
            tone = torch.sin(pitch * (1 + 0.1 * take) * torch.arange(9 * RATE))
            wave = 0.2 * tone + 0.02 * torch.randn(9 * RATE, generator=generator)
            soundfile.write(tmp_path / folder / f"{take}.wav", wave, RATE)
    tiny = GlowPrior(FRONTEND, steps=1, hidden=4, layers=1, noise=0.05, level=0.1)
    registry = Registry([Layer(tmp_path / "priors", "")])
    registry.add("viola", tiny, licence="CC0")
    registry.add("viola-gan", SpecGANPrior(FRONTEND, 4, width=2, layers=2, block=8), licence="CC0")

    ours = tmp_path / "configs"
    ours.mkdir()
    shutil.copy(configs.configs() / "trainer.yaml", ours)
    whole = yaml.safe_load((configs.configs() / "instrument.yaml").read_text())
    arguments = {"frontend": FRONTEND.to_dict(), **tiny.architecture}
    whole["model"]["prior"]["init_args"] = arguments
    (ours / "instrument.yaml").write_text(yaml.safe_dump(whole))
    for module in (configs, recipe, train):
        monkeypatch.setattr(module, "configs", lambda: ours)
    monkeypatch.setattr(recipe, "EPOCH", 6)
    return tmp_path


def digests(folder: Path) -> dict[str, tuple[str, int]]:
    return {
        str(path.relative_to(folder)): (
            hashlib.sha256(path.read_bytes()).hexdigest(),
            path.stat().st_mtime_ns,
        )
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def add(*options: object) -> int:
    # less than a hundredth of a second: a single epoch
    return main(["add-prior", "violin", "--minutes", "0.0001", *map(str, options)])


def test_a_new_prior_is_trained_and_every_other_stays_byte_for_byte(project, capsys):
    before = digests(project / "priors")
    assert add("--data", "solos", "--licence", "CC0") == 0
    after = digests(project / "priors")
    assert before.items() <= after.items()
    assert {path.partition("/")[0] for path in after.keys() - before.keys()} == {"violin"}
    assert (
        "training 'violin' on 2 recordings (18.0 s), 1 recording (9.0 s) held out, in solos"
        in capsys.readouterr().out
    )
    card = Registry.default().find("violin").require_card()
    assert card.training["steps"] == 6
    assert card.trained_on[0].name == "recordings in solos"
    assert card.trained_on[0].hours
    assert set(card.bits_per_dim) == {"violin"}
    assert {path.name for path in (project / "runs" / "violin" / "1").iterdir()} == {
        *("best.ckpt", "last.ckpt", "config.yaml")
    }


def write(path: Path, wave: torch.Tensor) -> None:
    """(samples,) or (samples, channels) full scale ±1; nothing at all is a broken file."""
    path.parent.mkdir(exist_ok=True)
    if len(wave):
        soundfile.write(path, wave.numpy(), RATE, subtype="FLOAT")
    else:
        path.touch()


def noise(seconds: float, seed: int = 0) -> torch.Tensor:
    return 0.1 * torch.randn(int(seconds * RATE), generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        ([15], "1 recording (13.0 s), 1 recording (2.0 s) held out"),
        (20 * [1], "18 recordings (18.0 s), 2 recordings (2.0 s) held out"),
    ],
    ids=["one of 15 s", "twenty of 1 s"],
)
def test_a_lone_recording_and_short_ones_train(project, capsys, seconds, said):
    for number, one in enumerate(seconds):
        write(project / "hits" / f"{number:02}.wav", noise(one, number))
    assert add("--data", "hits") == 0
    out, err = capsys.readouterr()
    assert f"training 'violin' on {said}, in hits" in out
    assert "left out" not in err
    assert (project / "priors" / "violin" / "card.yaml").is_file()


def test_what_cannot_be_used_is_said_once_and_opposite_channels_train(project, capsys):
    write(project / "mixed" / "a.wav", torch.stack([noise(5), -noise(5)], 1))
    write(project / "mixed" / "b.wav", noise(4, 1))
    write(project / "mixed" / "c copy.wav", noise(4, 1))
    write(project / "mixed" / "y silent.wav", torch.zeros(3 * RATE, 2))
    write(project / "mixed" / "z broken.wav", torch.zeros(0))
    assert add("--data", "mixed") == 0
    out, err = capsys.readouterr()
    assert "on 1 recording (5.0 s), 1 recording (4.0 s) held out, in mixed" in out
    said = [line.replace(str(project / "mixed") + "/", "") for line in err.splitlines()]
    assert [line for line in said if line.startswith("instglow:")] == [
        "instglow: left out 1 recording (4.0 s): the same sound twice (c copy.wav is b.wav)",
        "instglow: left out 1 recording (3.0 s): silent, below -60 dBFS (y silent.wav)",
        "instglow: left out 1 recording: z broken.wav: empty (0 bytes); copy or export it again",
        "instglow: 3 of 5 recordings are left out; 1 recording (5.0 s) to train on and "
        "1 recording (4.0 s) held out",
    ]


def test_one_that_is_registered_is_refused_before_training_and_replaced_on_request(project, capsys):
    assert add("--data", "solos") == 0
    before = digests(project / "priors")
    assert add("--data", "solos") == 2
    assert "--replace" in capsys.readouterr().err
    assert digests(project / "priors") == before
    assert not (project / "runs" / "violin" / "2").exists()
    assert add("--data", "others", "--replace") == 0
    assert digests(project / "priors") != before


def test_init_starts_from_the_weights_and_architecture_of_another(project, monkeypatch):
    elsewhere = project / "elsewhere"
    (project / "priors").rename(elsewhere)
    started = {}

    def remember(self, *arguments, **options):
        original(self, *arguments, **options)
        started.update({key: value.clone() for key, value in self.prior.state_dict().items()})

    original = PriorTraining.__init__
    # functools.wraps would hide from jsonargparse what __init__ takes
    monkeypatch.setattr(remember, "__wrapped__", original, raising=False)
    remember.__signature__ = inspect.signature(original)
    monkeypatch.setattr(PriorTraining, "__init__", remember)
    assert add("--data", "solos", "--init", "viola", "--registry", elsewhere) == 0
    registry = Registry.default(elsewhere)
    viola, violin = registry.load("viola"), registry.load("violin")
    assert violin.architecture == viola.architecture  # not that of instrument.yaml
    start, learnt = viola.state_dict(), violin.state_dict()
    for key, value in start.items():
        assert torch.equal(started[key], value)
    moved = max(float((learnt[k].float() - v.float()).abs().max()) for k, v in start.items())
    assert moved > 1e-3  # further than rounding to 16 bits


def test_an_interrupted_run_goes_on_with_the_same_command(project, monkeypatch, capsys):
    original, seen = PriorTraining.training_step, []

    def interrupted(self, wave):
        seen.append(self.global_step)
        if self.global_step == 8 and seen.count(8) == 1:
            raise KeyboardInterrupt
        return original(self, wave)

    monkeypatch.setattr(recipe, "_affordable", lambda request, prior: (2, 0.1))
    assert add("--data", "solos", "--registry", "whole") == 0
    (project / "runs" / "violin" / "1").rename(project / "whole-run")
    monkeypatch.setattr(PriorTraining, "training_step", interrupted)
    assert add("--data", "solos") == 130
    assert not (project / "priors" / "violin").exists()

    assert add("--data", "others") == 2
    refusal = capsys.readouterr().err
    assert str(project / "solos") in refusal
    assert str(project / "others") in refusal

    # what is not about the training is as this call asks
    assert add("--data", "solos", "--licence", "CC0") == 0
    assert "going on with runs/violin/1, planned for 12 steps at" in capsys.readouterr().out
    assert Registry.default().find("violin").require_card().licence == "CC0"
    assert seen == [*range(9), *range(6, 12)]
    one, other = (
        Registry.default(project / folder).load("violin") for folder in ("whole", "priors")
    )
    for key, value in one.state_dict().items():
        assert torch.equal(other.state_dict()[key], value), key


def test_a_damaged_checkpoint_is_named_and_a_run_without_one_starts_anew(
    project, monkeypatch, capsys
):
    run = project / "runs" / "violin" / "1"
    with monkeypatch.context() as patch:

        def interrupted(self, wave):
            raise KeyboardInterrupt

        patch.setattr(PriorTraining, "training_step", interrupted)
        assert add("--data", "solos") == 130
    assert (run / "recipe.yaml").is_file()
    (run / "last.ckpt").write_bytes(b"torn")
    capsys.readouterr()
    assert add("--data", "solos") == 2
    assert "runs/violin/1 has a damaged last.ckpt; delete the folder" in capsys.readouterr().err
    (run / "last.ckpt").unlink()
    assert add("--data", "solos") == 0
    assert (project / "priors" / "violin" / "card.yaml").is_file()
    assert not list(project.glob("runs/violin/*/recipe.yaml"))


def test_clutter_is_left_out_for_a_prior_that_denoises_nothing(project):
    ours = project / "configs"
    whole = yaml.safe_load((ours / "instrument.yaml").read_text())
    whole["model"]["clutter"] = {"scenes": 1, "seconds": 0.5}
    (ours / "bass.yaml").write_text(yaml.safe_dump(whole))
    options = ("--data", "solos", "--init", "viola", "--minutes", "0.0001")
    assert main(["add-prior", "bass", *options]) == 0
    settings = Registry([Layer(project / "priors", "")]).find("bass").require_card().training
    assert "clutter" not in settings


def test_two_at_once_are_refused(project, capsys):
    (project / "runs" / "violin").mkdir(parents=True)
    with FileLock(project / "runs" / "violin" / ".lock"):
        assert add("--data", "solos") == 2
    assert "another add-prior trains 'violin' in runs/violin now" in capsys.readouterr().err
    assert not (project / "priors" / "violin").exists()


def test_a_folder_that_cannot_be_written_to_is_refused(project, capsys):
    (project / "runs").write_text("a file")
    assert add("--data", "solos") == 2
    assert "cannot write runs/violin" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (("--data", "nowhere"), "no folder 'nowhere'"),
        (("--data", "priors"), "no recordings in 'priors'"),
        (("--data", "silence"), "left out: 2 recordings (2.0 s): silent, below -60 dBFS ("),
        (
            ("--data", "solos", "--init", "viola-gan"),
            "does not learn one instrument",
        ),
        (("--data", "solos", "--init", "cello"), "no prior 'cello'"),
        (("--data", "solos", "--minutes", "0"), "--minutes 0.0 is no time"),
        (("--data", "solos", "--minutes", "nan"), "--minutes nan is no time"),
        (
            ("--data", "solos", "--device", "toaster"),
            "no device 'toaster' on this machine; there are: auto, cpu",
        ),
        (("--init", "viola"), "--data DIR, which is missing"),
        (("--data", "solos", "--checkpoint", "x"), "not allowed with argument"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(project, capsys, options, reason):
    for number in range(2):
        write(project / "silence" / f"{number}.wav", torch.zeros(RATE))
    assert add(*options) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert reason in lines[0]
    assert not (project / "runs").exists()
    assert not (project / "priors" / "violin").exists()
