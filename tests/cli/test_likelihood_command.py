import json
from pathlib import Path

import pytest
import soundfile
import torch
from commands import instglow

from instglow import Frontend, Registry
from instglow.cli.main import main
from instglow.families.glow import GlowPrior
from instglow.families.nmf import NMFPrior
from instglow.registry import Layer, store

RATE = 8000
HERTZ = {"bass": 60.0, "drums": 3000.0, "flute": 900.0}
SHORT = ("--seconds", "0.1", "--segments", "5")


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """Solos of three instruments, and priors; that of the harp has no solos."""
    folder = tmp_path_factory.mktemp("made")
    registry = Registry([Layer(folder / "registry", "")])
    frontend = Frontend(RATE, 256, 64)
    torch.manual_seed(0)
    for name in ("bass", "drums", "harp"):
        prior = GlowPrior(frontend, steps=2, hidden=8, layers=1, amplitude="power:0.5", level=0.1)
        registry.add(name, prior, licence="CC0")
    registry.add("bass-nmf", NMFPrior(frontend, atoms=4), licence="CC0")
    generator = torch.Generator().manual_seed(0)
    moments = torch.arange(2 * RATE) / RATE
    for name, hertz in HERTZ.items():
        (folder / "solos" / name).mkdir(parents=True)
        for number in range(2):
            tone = 0.2 * torch.sin(2 * torch.pi * hertz * (1 + 0.1 * number) * moments)
            hiss = 0.001 * torch.randn(len(moments), generator=generator)
            path = folder / "solos" / name / f"{number}.wav"
            soundfile.write(path, (tone + hiss).numpy(), RATE)
    return folder


@pytest.fixture
def here(made, tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("INSTGLOW_PRIORS", str(made / "registry"))
    monkeypatch.setattr("platformdirs.user_data_path", lambda name: tmp_path / "data" / name)
    monkeypatch.setattr(store, "_shipped", lambda: tmp_path / "shipped")
    return tmp_path


def refusal(capsys, *arguments: object) -> str:
    assert main(["likelihood", *map(str, arguments)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.splitlines()) == 1, err
    return err.removeprefix("instglow: ").strip()


def test_a_user_measures_and_draws(made, tmp_path):
    command = ("likelihood", "bass,drums,harp", made / "solos", "--registry", made / "registry")
    files = ("--json", "all.json", "--plot", "new/box.png")
    done = instglow(*command, *SHORT, *files, cwd=tmp_path)
    found = json.loads((tmp_path / "all.json").read_text())
    table, _ = done.stdout.split("\n\n")
    rows = {line.split()[0]: line.split()[1:] for line in table.splitlines()}
    assert rows["prior"] == ["bass", "drums", "flute"]
    assert rows["segments"] == ["5", "5", "5"]
    for prior, row in found["bits_per_dim"].items():
        star = [f"{row[name]['median']:.3f}{'*' * (name == prior)}" for name in HERTZ]
        assert rows[prior] == star
        assert all(len(row[name]["values"]) == 5 for name in HERTZ)
    unfit = {row["prior"] for row in found["not_discriminative"]}
    for prior in ("bass", "drums"):
        assert (f"prior '{prior}' is not discriminative" in done.stdout) == (prior in unfit)
        for name in HERTZ.keys() - {prior}:
            own, other = (found["bits_per_dim"][prior][key]["median"] for key in (prior, name))
            listed = {"prior": prior, "instrument": name, "gap": own - other}
            assert (listed in found["not_discriminative"]) == (other <= own)
    assert "prior 'harp' was measured without solos of its own" in done.stdout
    assert (tmp_path / "new" / "box.png").read_bytes().startswith(b"\x89PNG")
    assert "segment" in done.stderr  # the bar


def test_the_same_again_is_the_same_and_needs_permission(made, here, capsys):
    command = ["bass=bass,flute=harp", str(made / "solos"), *SHORT, "-q"]
    command += ["--json", "f.json", "--plot", "f.svg"]
    assert main(["likelihood", *command]) == 0
    first = (here / "f.json").read_bytes()
    _, err = capsys.readouterr()
    assert err == ""
    again = refusal(capsys, *command)
    assert again == "f.svg exists already; pass --overwrite, or name another file"
    (here / "f.svg").unlink()
    again = refusal(capsys, *command)
    assert again == "f.json exists already; pass --overwrite, or name another file"
    assert main(["likelihood", *command, "--overwrite"]) == 0
    assert (here / "f.json").read_bytes() == first
    assert json.loads(first)["without_own"] == []


def test_a_prior_for_which_its_own_solos_are_likeliest_is_discriminative(made, here, capsys):
    # an untrained prior of linear magnitudes finds whatever is quietest likeliest
    frontend = Frontend(RATE, 256, 64)
    quiet = made / "solos" / "bass" / "0.wav"
    for name, gain in (("low", 0.02), ("high", 1.0)):
        (here / "two" / name).mkdir(parents=True)
        wave, _ = soundfile.read(quiet)
        soundfile.write(here / "two" / name / "1.wav", gain * wave, RATE, subtype="FLOAT")
    registry = Registry([Layer(here / "linear", "")])
    torch.manual_seed(0)
    for name in ("low", "high"):
        prior = GlowPrior(frontend, steps=2, hidden=8, layers=1)
        registry.add(name, prior, licence="CC0")
    options = [str(here / "two"), "--registry", "linear", "-q", *SHORT]
    assert main(["likelihood", "low", *options]) == 0
    assert "every prior is discriminative" in capsys.readouterr().out
    assert main(["likelihood", "high", *options]) == 0
    said = capsys.readouterr().out
    assert "prior 'high' is not discriminative: it finds solos of low (by " in said
    assert "every prior" not in said


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("bas SOLOS", "no prior 'bas'; near: bass"),
        (", SOLOS", "no priors: name at least one"),
        ("bass-nmf SOLOS", "prior 'bass-nmf' is of family 'nmf', which has no density"),
        ("bass,drums=bass-nmf SOLOS", "prior 'drums' is of family 'nmf'"),
        ("bass empty", "no solos in 'empty': it needs a sub-folder for each instrument"),
        ("bass nowhere", "no folder 'nowhere'"),
        ("bass SOLOS --seconds 0", "seconds must be above 0 and at most 60, got 0.0"),
        ("bass SOLOS --seconds nan", "seconds must be above 0 and at most 60, got nan"),
        ("bass SOLOS --seconds 30", "no segment to measure in solos: of 6 recordings none has 30"),
        ("bass SOLOS --segments -1", "segments must be at least 1, or 0 for all, got -1"),
        ("bass SOLOS --seed -1", "seed must be between 0 and 2^32 - 1, got -1"),
        ("bass SOLOS --plot box.gif", "box.gif: cannot write a plot as '.gif'; use one of .pdf"),
        ("bass SOLOS --plot SOLOS/bass/0.wav/x.png", "SOLOS/bass/0.wav is a file"),
        ("bass SOLOS --json empty", "empty is a folder"),
        ("bass SOLOS --louder", "unrecognized arguments: --louder; see `instglow likelihood"),
        ("bass", "the following arguments are required: DATASET; see `instglow likelihood"),
    ],
)
def test_what_cannot_be_measured_is_said_in_a_line(made, here, capsys, arguments, message):
    (here / "empty").mkdir()
    given, message = (text.replace("SOLOS", str(made / "solos")) for text in (arguments, message))
    assert refusal(capsys, *given.split(), "-q").startswith(message)


def test_a_damaged_solo_is_named(made, here, capsys):
    (here / "set" / "bass").mkdir(parents=True)
    (here / "set" / "bass" / "a.wav").write_bytes(b"")
    said = refusal(capsys, "bass", "set", "-q")
    assert said == (
        "no segment to measure in set: set/bass/a.wav: empty (0 bytes); copy or export it again"
    )
