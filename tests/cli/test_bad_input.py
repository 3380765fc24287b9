"""Whatever can be wrong with `instglow separate` and `add-prior`: one line, status 2, no trace."""

import contextlib
import errno
import io
import json
import math
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
import soundfile
import torch
from commands import environment, hears_interrupts, instglow
from encoding import encode
from test_end_to_end import TINY, solos

from instglow import Frontend, Registry
from instglow.audio.io import read
from instglow.cli import separate
from instglow.cli.main import main
from instglow.devices import available
from instglow.families.glow import GlowPrior
from instglow.families.nmf import NMFPrior
from instglow.registry import Layer, store
from instglow.training.publish import load_checkpoint

FRONTEND = Frontend(8000, 256, 64)
SEPARATE = ("separate", "song.wav", "--registry", "registry", "--priors", "hum,hiss")
ADD = ("add-prior", "guitar", "--registry", "registry")


@pytest.fixture(scope="module")
def priors(tmp_path_factory) -> Path:
    """A registry: hum and hiss, which go together, and wide, which was trained elsewhere."""
    folder = tmp_path_factory.mktemp("priors") / "registry"
    registry = Registry([Layer(folder, "")])
    registry.add("hum", NMFPrior(FRONTEND, atoms=4), licence="CC0")
    registry.add("hiss", GlowPrior(FRONTEND, steps=2, hidden=8, layers=1), licence="CC0")
    registry.add("wide", NMFPrior(Frontend(16000, 512, 128), atoms=4), licence="CC0")
    return folder


@pytest.fixture
def world(priors, tmp_path, monkeypatch) -> Path:
    """The working directory: a song, a registry, a checkpoint; all other places are in it too."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("INSTGLOW_PRIORS", raising=False)
    monkeypatch.setattr("platformdirs.user_data_path", lambda name: tmp_path / "data" / name)
    monkeypatch.setattr(store, "_shipped", lambda: tmp_path / "shipped")
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    shutil.copytree(priors, tmp_path / "registry")
    soundfile.write("song.wav", noise(2, 4000), 8000)
    checkpoint("hum.ckpt")
    return tmp_path


def noise(channels: int, samples: int, seed: int = 0):
    """(samples, channels) full scale ±1, as soundfile wants it."""
    generator = torch.Generator().manual_seed(seed)
    return 0.1 * torch.randn(samples, channels, generator=generator).clamp(-4, 4).numpy()


def checkpoint(path: str) -> None:
    """What `instglow fit` would have written."""
    prior = NMFPrior(FRONTEND, atoms=4)
    about = {
        "family": prior.family,
        "frontend": FRONTEND.to_dict(),
        "architecture": prior.architecture,
        "instrument": "guitar",
    }
    state = {f"prior.{key}": value for key, value in prior.state_dict().items()}
    torch.save({"instglow": about, "state_dict": state}, path)


def contents(folder: Path) -> dict[str, bytes | None]:
    """Everything below a folder: the bytes of a file, None for a folder."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
    }


def refusal(capsys, world: Path, *arguments: object) -> str:
    """The one line that a command refuses with; it printed and left nothing else."""
    before = contents(world)
    assert main([str(argument) for argument in arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.endswith("\n")
    assert len(err.splitlines()) == 1, err
    assert err.startswith("instglow: ")
    assert contents(world) == before
    return err.removeprefix("instglow: ").removesuffix("\n")


def empty(path: Path) -> None:
    path.write_bytes(b"")


def not_audio(path: Path) -> None:
    path.write_text("Dear diary, today I learnt that not everything is a song.\n" * 9)


def silence(path: Path) -> None:
    soundfile.write(path, torch.zeros(4000, 2).numpy(), 8000)


def not_a_number(path: Path) -> None:
    wave = torch.tensor(noise(2, 4000))
    wave[2000, 1] = math.nan
    soundfile.write(path, wave.numpy(), 8000, "FLOAT")


def folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def shortened(path: Path) -> None:
    soundfile.write(path, noise(2, 4000)[:0], 8000)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (Path.unlink, "song.wav: no such file; check the spelling"),
        (empty, "song.wav: empty (0 bytes); copy or export it again"),
        (shortened, "song.wav: holds no samples; check how it was exported"),
        (silence, "song.wav: silent (peak -inf dBFS, at least -120 dBFS needed); check the "),
        (not_a_number, "song.wav: not a number or infinite at 0.250 s; export it again"),
        (folder, "song.wav: a folder, not a recording; name the files in it"),
    ],
)
def test_a_song_that_cannot_be_separated(world, capsys, spoil, message):
    spoil(world / "song.wav")
    assert refusal(capsys, world, *SEPARATE).startswith(message)


def test_a_text_is_no_song(world, capsys):
    not_audio(world / "song.wav")
    said = refusal(capsys, world, *SEPARATE)
    assert re.fullmatch(
        r"song.wav: not a recording that FFmpeg can read \(.+\); convert it to wav or flac", said
    )


def test_a_song_that_may_not_be_read(world, capsys, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.R_OK)
    said = refusal(capsys, world, *SEPARATE)
    assert said == "song.wav: no permission to read it; change that with chmod"


def test_a_place_that_may_not_be_written(world, capsys, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: mode == os.R_OK)
    said = refusal(capsys, world, *SEPARATE, "-o", "stems")
    assert said == ".: no permission to write there; choose another folder"


NO_NAME = "is no name for a prior: use lower case letters, digits, '-' and '_', a letter or digit "


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--priors hun", "no prior 'hun'; near: hum; there are: hiss, hum, wide; "),
        ("--priors ../x", f"'../x' {NO_NAME}"),
        ("--priors Guitar", f"'Guitar' {NO_NAME}"),
        ("--priors ,", "no priors: name at least one, as in bass,drums"),
        (
            "--priors hum,wide",
            "prior 'hum' was trained at 8000 Hz, n_fft 256, hop 64, 'wide' at 16000 Hz, n_fft 512, "
            "hop 128; retrain one of them or leave it out",
        ),
        ("--preset loud", "preset 'loud' is not one of "),
        ("--segment 0", "segment must be at least 0.032 and at most 60 seconds, got 0.0"),
        ("--segment 61", "segment must be at least 0.032 and at most 60 seconds, got 61.0"),
        ("--segment nan", "segment must be at least 0.032 and at most 60 seconds, got nan"),
        ("--segment ten", "argument --segment: invalid float value: 'ten'; see `instglow separate"),
        (
            "--overlap -1",
            "overlap must be at least 0 and less than half the segment of 60.0 seconds, got ",
        ),
        (
            "--overlap 30",
            "overlap must be at least 0 and less than half the segment of 60.0 seconds, got ",
        ),
        (
            "--segment 1 --overlap 0.49999",
            "an overlap of 4000 samples is not less than half of the longest chunk, 8000 samples; ",
        ),
        ("--steps 0", "steps must be at least 1, got 0"),
        ("--steps 1.5", "argument --steps: invalid int value: '1.5'; see `instglow separate"),
        *(
            (
                f"--learning-rate {rate}",
                f"learning rate must be above 0 and at most 1000, {got}",
            )
            for rate, got in (("0", "got 0.0"), ("nan", "got nan"), ("1e4", "got 10000.0"))
        ),
        ("--latent-weight -1", "latent weight must be at least 0 and finite, got -1.0"),
        ("--seed -1", "seed must be between 0 and 2^63 - 1, got -1"),
        ("--seed 9223372036854775808", "seed must be between 0 and 2^63 - 1, got 92233720368547"),
        ("--batch-size 0", "batch size must be at least 1, got 0"),
        ("--device toaster", "no device 'toaster' on this machine; there are: auto, cpu"),
        ("--format mp3", "argument --format: invalid choice: 'mp3' (choose from "),
        ("--out song.wav", "song.wav is a file, not a folder; choose another folder"),
        ("--registry nowhere", "--registry nowhere: no such folder; check the spelling or add a "),
        ("--registry song.wav", "--registry song.wav: no such folder; check the spelling or add "),
        ("--stream 0", "song.wav: no sound stream 0: it has 1, counted from 1"),
        ("--louder", "unrecognized arguments: --louder; see `instglow separate --help`"),
    ],
)
def test_an_option_that_makes_no_sense(world, capsys, options, message):
    assert refusal(capsys, world, *SEPARATE, *options.split()).startswith(message)


@pytest.mark.parametrize(
    "arguments",
    [
        ("add-prior", "x", "--data", ""),
        ("list-priors", "--registry", ""),
        ("separate", "song.wav", "--out", ""),
    ],
)
def test_an_empty_path_is_not_the_working_directory(world, capsys, arguments):
    said = refusal(capsys, world, *arguments)
    assert "is empty; give a path, `.` for this folder" in said


def test_a_device_that_is_not_there(world, capsys):
    missing = "cuda" if not torch.cuda.is_available() else "mps"
    said = refusal(capsys, world, *SEPARATE, "--device", missing)
    assert said == f"no device '{missing}' on this machine; there are: {', '.join(available())}"


def test_a_search_that_diverges(world, capsys):
    wild = GlowPrior(FRONTEND, steps=2, hidden=8, layers=1)
    torch.manual_seed(0)
    for parameter in wild.parameters():
        torch.nn.init.normal_(parameter, std=3.0)
    Registry([Layer(world / "registry", "")]).add("wild", wild, licence="CC0")
    before = contents(world)
    options = ("--quiet", "--preset", "paper", "--learning-rate", "1000", "--priors", "hum,wild")
    assert main([*SEPARATE, *options]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(
        "instglow: the search diverged (its stems are not finite): lower its learning rate, or "
    )
    assert "learning_rate=1000.0" in err
    assert err.count("\n") == 1
    assert contents(world) == before


def test_damaged_weights(world, capsys):
    path = world / "registry" / "hiss" / "weights.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    said = refusal(capsys, world, *SEPARATE)
    assert re.fullmatch(
        r"registry/hiss/weights.safetensors: the card says sha256 \w{12}, the file has \w{12}; it "
        r"is damaged or another one: fetch or add the prior again",
        said,
    )


def test_a_card_of_a_later_format(world, capsys):
    path = world / "registry" / "hum" / "card.yaml"
    path.write_text(path.read_text().replace("format: 2", "format: 7"))
    said = refusal(capsys, world, *SEPARATE)
    assert said == (
        "registry/hum/card.yaml: format 7 is newer than this InstGlow (format 2); upgrade"
    )


def test_one_bad_song_among_several_is_found_before_the_first_is_separated(world, capsys):
    command = ("separate", "song.wav", "gone.wav", *SEPARATE[2:], "--overwrite")
    missing = "gone.wav: no such file; check the spelling"
    assert refusal(capsys, world, *command) == missing
    (world / "separated/song").mkdir(parents=True)
    (world / "separated/song/hum.wav").touch()  # of an earlier run
    assert refusal(capsys, world, *command) == missing


def test_two_songs_of_one_name(world, capsys):
    (world / "live").mkdir()
    shutil.copy("song.wav", "live/song.wav")
    said = refusal(capsys, world, "separate", "song.wav", "live/song.wav", *SEPARATE[2:])
    assert said == (
        "two songs are called 'song' and would share a folder; separate them into different ones "
        "with -o"
    )


def test_stems_are_replaced_only_when_asked(world, capsys):
    short = (*SEPARATE, "--quiet", "--steps", "2")
    assert main([*short]) == 0
    capsys.readouterr()
    stems = {f"separated/song/{name}" for name in ("hum.wav", "hiss.wav", "separation.json")}
    assert stems < contents(world).keys()

    said = refusal(capsys, world, *short)
    assert said == (
        "separated/song/separation.json exists; pass --overwrite, or another folder as -o"
    )
    (world / "separated" / "song" / "separation.json").unlink()
    said = refusal(capsys, world, *short)
    assert said == "separated/song/hum.wav exists already; use --overwrite or another folder"

    before = contents(world)
    assert main([*short, "--overwrite", "--steps", "3"]) == 0
    after = contents(world)
    assert after.keys() - before.keys() == {"separated/song/separation.json"}
    assert not before.keys() - after.keys()
    assert {path for path in before if after[path] != before[path]} == stems - after.keys() | {
        "separated/song/hum.wav",
        "separated/song/hiss.wav",
    }
    assert json.loads(after["separated/song/separation.json"])["search"]["steps"] == 3


def test_a_song_is_never_replaced_by_its_own_stem(world, capsys):
    (world / "hum").mkdir()
    (world / "song.wav").rename("hum/hum.wav")
    arguments = ("separate", "hum/hum.wav", *SEPARATE[2:], "-o", ".", "--overwrite")
    said = refusal(capsys, world, *arguments)
    assert said == (
        "hum/hum.wav is a song to separate and would be replaced by a stem of it; choose another "
        "folder as -o"
    )


def test_a_report_that_cannot_be_written_takes_the_stems_with_it(world, capsys, monkeypatch):
    def full(self, *_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_text", full)
    said = refusal(capsys, world, *SEPARATE, "--quiet", "--steps", "1")
    assert said == (
        "cannot write separated/song/separation.json (No space left on device); make room or "
        "choose another folder"
    )


@pytest.mark.parametrize("options", [(), ("--overwrite",)])
def test_ctrl_c_between_stems_and_report(world, capsys, monkeypatch, options):
    if options:
        assert main([*SEPARATE, "--quiet", "--steps", "1"]) == 0

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    before = contents(world)
    monkeypatch.setattr(separate.json, "dumps", interrupted)
    capsys.readouterr()
    assert main([*SEPARATE, "--quiet", "--steps", "2", *options]) == 130
    assert capsys.readouterr() == ("", "instglow: interrupted\n")
    assert contents(world) == before


# add-prior -------------------------------------------------------------------------------------


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-200])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("add-prior", "../x"), f"'../x' {NO_NAME}"),
        (("add-prior", "Guitar"), f"'Guitar' {NO_NAME}"),
        (("add-prior", ""), f"'' {NO_NAME}"),
        (("add-prior", "x" * 65), NO_NAME),
        (("add-prior",), "the following arguments are required: NAME; see `instglow add-prior "),
        (ADD, "no training run of 'guitar' in "),
        ((*ADD, "--checkpoint", "gone.ckpt"), "no checkpoint 'gone.ckpt'; `instglow fit` writes "),
        ((*ADD, "--checkpoint", "registry"), "no checkpoint 'registry'; `instglow fit` writes "),
        ((*ADD, "--checkpoint", "song.wav"), "song.wav is not a checkpoint of `instglow fit` ("),
        ((*ADD, "--from-authors", "gone"), "cannot read gone/config.json ("),
        (
            (*ADD, "--from-authors", "x", "--checkpoint", "y"),
            "argument --checkpoint: not allowed with argument --from-authors; see `instglow add-",
        ),
        (
            (*ADD[:2], "--registry", "song.wav", "--checkpoint", "hum.ckpt"),
            "cannot write to --registry song.wav; permit it or name another folder",
        ),
    ],
)
def test_what_cannot_be_added(world, capsys, arguments, message):
    assert message in refusal(capsys, world, *arguments)


def test_a_truncated_checkpoint(world, capsys):
    truncated(world / "hum.ckpt")
    said = refusal(capsys, world, *ADD, "--checkpoint", "hum.ckpt")
    assert said.startswith("hum.ckpt is not a checkpoint of `instglow fit` (")
    assert said.endswith("); name another")


def test_a_registry_that_may_not_be_written_is_not_replaced_by_another(world, capsys, monkeypatch):
    allowed = os.access
    monkeypatch.setattr(
        os, "access", lambda path, mode: mode == os.F_OK or "registry" not in str(path)
    )
    assert allowed(world, os.W_OK)  # where the user's data would go
    said = refusal(capsys, world, *ADD, "--checkpoint", "hum.ckpt")
    assert said == "cannot write to --registry registry; permit it or name another folder"


def test_a_prior_is_replaced_only_when_asked(world, capsys):
    arguments = ("add-prior", "hum", "--registry", "registry", "--checkpoint", "hum.ckpt")
    said = refusal(capsys, world, *arguments)
    assert said == (
        "prior 'hum' is there already, in registry/hum; --replace puts the new one in its place"
    )
    before = contents(world)
    assert main([*arguments, "--replace"]) == 0
    assert capsys.readouterr() == ("added prior 'hum' in registry/hum\n", "")
    after = contents(world)
    assert after.keys() == before.keys()
    assert {path for path in before if after[path] != before[path]} <= {
        f"registry/hum/{name}" for name in ("card.yaml", "weights.safetensors", "README.md")
    }


def test_remove_prior_stays_in_the_registry_it_was_given(world, capsys):
    (world / "mine").mkdir()
    arguments = ("remove-prior", "hum", "--registry", "mine")
    Path("data").mkdir()
    shutil.copytree("registry", "data/instglow/priors")
    said = refusal(capsys, world, *arguments)
    assert said == (
        f"no prior 'hum' in --registry mine; there is one in {world}/data/instglow/priors/hum: "
        "leave out --registry to remove that"
    )


@pytest.mark.parametrize(
    "command", [("list-priors",), ("show-prior", "hum"), ("remove-prior", "hum")]
)
def test_a_registry_that_does_not_exist(world, capsys, command):
    said = refusal(capsys, world, *command, "--registry", "nowhere")
    assert said == (
        "--registry nowhere: no such folder; check the spelling or add a prior to it first"
    )


# signals ---------------------------------------------------------------------------------------


def stop(signal_number: int, when, *arguments: object, cwd: Path) -> tuple[int, str, str]:
    """Start a command, signal it once `when(stderr so far)` -> its status, stdout and stderr."""
    process = subprocess.Popen(
        [sys.executable, "-m", "instglow.cli.main", *map(str, arguments)],
        cwd=cwd,
        env={**environment(cwd.parent / "home"), "TMPDIR": str(cwd / "tmp")},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        preexec_fn=hears_interrupts,
    )
    try:
        os.set_blocking(process.stderr.fileno(), False)
        seen, limit = b"", time.monotonic() + 240
        while not when(seen.decode(errors="replace")):
            assert process.poll() is None, seen
            assert time.monotonic() < limit, seen
            time.sleep(0.05)
            seen += process.stderr.read() or b""
        process.send_signal(signal_number)
        os.set_blocking(process.stderr.fileno(), True)
        out, err = process.communicate(timeout=120)
        return process.returncode, out.decode(), (seen + err).decode()
    finally:
        process.kill()


def iterates(stderr: str) -> bool:
    """Whether a progress bar says that at least one iteration is done."""
    return re.search(r"\b[1-9]\d*/\d+ \[", stderr) is not None


@pytest.mark.parametrize(
    ("number", "status", "options"),
    [(signal.SIGINT, 130, ()), (signal.SIGTERM, 143, ("--overwrite",))],
)
def test_a_separation_that_is_stopped_leaves_no_trace(world, number, status, options):
    soundfile.write("song.ogg", noise(2, 80000), 8000)  # decoded into a temporary file
    if options:
        (world / "separated" / "song").mkdir(parents=True)
        for name in ("hum.wav", "separation.json"):
            (world / "separated" / "song" / name).write_text("the last one")
    before = contents(world)
    arguments = ("separate", "song.ogg", *SEPARATE[2:], "--steps", 1_000_000, *options)
    code, out, err = stop(number, iterates, *arguments, cwd=world)
    assert (code, out) == (status, ""), err
    *bars, last = [line for line in re.split(r"[\r\n]", err) if line.strip()]
    assert last == "instglow: interrupted" if number == signal.SIGINT else is_bar(last)
    assert all(map(is_bar, bars)), err
    assert contents(world) == before


def is_bar(line: str) -> bool:
    return re.fullmatch(r"song\.\w+: +\d+%\|.*\| \d+/\d+ \[.*\]", line.strip()) is not None


@pytest.mark.slow
def test_a_training_that_is_interrupted_keeps_its_checkpoints_and_registers_nothing(tmp_path):
    solos(tmp_path / "data" / "bass", 60.0)
    (tmp_path / "tmp").mkdir()
    run = tmp_path / "runs" / "bass" / "1"
    steps = ("--trainer.max_steps", 1_000_000, "--data.segments_per_epoch", 8)
    code, out, err = stop(
        signal.SIGINT,
        lambda _: (run / "last.ckpt").exists(),
        *("fit", "--config", "bass.yaml", *TINY, *steps),
        cwd=tmp_path,
    )
    assert code == 130, err
    assert "Traceback" not in out + err
    assert err.splitlines()[-1] == "instglow: interrupted"
    assert "registered" not in out
    for name in ("best.ckpt", "last.ckpt"):
        prior, about = load_checkpoint(run / name)
        assert (prior.family, about["instrument"]) == ("glow", "bass")
        assert all(value.isfinite().all() for value in prior.state_dict().values())
    assert {path.name for path in run.iterdir()} == {"best.ckpt", "last.ckpt", "config.yaml"}
    assert not list(tmp_path.rglob("card.yaml"))
    assert not list((tmp_path / "tmp").glob("instglow-*"))


# what works ------------------------------------------------------------------------------------

SOUNDS = [(8000, 1), (44100, 2), (48000, 2), (22050, 1)]
FORMATS = ["wav", "flac", "ogg", "mp3", "m4a"]


@pytest.fixture(scope="module")
def separated(priors, tmp_path_factory) -> tuple[Path, list[str], list[str]]:
    """Half a second of every rate in every format, all in one call -> folder, stdout, stderr."""
    folder = tmp_path_factory.mktemp("formats")
    songs = []
    for rate, channels in SOUNDS:
        wave = torch.from_numpy(noise(channels, rate // 2, seed=rate).T.copy())
        for extension in FORMATS:
            songs.append(folder / f"{rate}-{extension}.{extension}")
            if extension == "m4a":
                encode(songs[-1], wave, rate=rate)
            else:
                soundfile.write(songs[-1], wave.T.numpy(), rate)
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        options = ("--registry", priors, "--priors", "hum,hiss", "--steps", 2, "--quiet")
        status = main(list(map(str, ("separate", *songs, *options, "-o", folder / "stems"))))
    assert status == 0, err.getvalue()
    return folder, out.getvalue().splitlines(), err.getvalue().splitlines()


@pytest.mark.parametrize("extension", FORMATS)
@pytest.mark.parametrize(("rate", "channels"), SOUNDS)
def test_stems_are_as_the_song_and_sum_to_it(separated, rate, channels, extension):
    folder, out, err = separated
    name = f"{rate}-{extension}"
    song, song_rate = read(folder / f"{name}.{extension}")
    assert (song_rate, len(song)) == (rate, channels)
    if extension in ("wav", "flac"):
        assert song.shape[1] == rate // 2
    files = {path.name for path in (folder / "stems" / name).iterdir()}
    assert files == {"hum.wav", "hiss.wav", "separation.json"}
    total = torch.zeros_like(song)
    for stem in ("hum", "hiss"):
        values, stem_rate = soundfile.read(
            folder / "stems" / name / f"{stem}.wav", dtype="float32", always_2d=True
        )
        assert (stem_rate, values.T.shape) == (rate, song.shape)
        assert abs(values).max() > 0
        total += torch.from_numpy(values.T)
    error = (total - song).square().sum() / song.square().sum()
    assert 10 * math.log10(max(float(error), 1e-30)) < -60
    assert err == []
    assert sum(line.startswith(f"{name}.{extension}: hum, hiss in ") for line in out) == 1
    assert len(out) == len(SOUNDS) * len(FORMATS)


@pytest.mark.parametrize(("rate", "channels"), SOUNDS)
def test_the_report_says_how_the_stems_were_made(separated, priors, rate, channels):
    report = json.loads((separated[0] / "stems" / f"{rate}-wav" / "separation.json").read_text())
    entries = {name: Registry([Layer(priors, "")]).find(name) for name in ("hum", "hiss")}
    assert report["priors"] == {
        name: {"prior": name, "sha256": entry.require_card().sha256}
        for name, entry in entries.items()
    }
    assert (report["song"], report["preset"]) == (f"{rate}-wav.wav", "default")
    assert report["search"]["steps"] == 2
    assert (report["sample_rate"], report["channels"]) == (rate, channels)
    assert report["samples"] == rate // 2
    assert report["song_seconds"] == 0.5
    assert report["seconds"] > 0
    assert report["real_time_factor"] == pytest.approx(report["seconds"] / 0.5)
    assert len(report["objective"]) == 1
    assert math.isfinite(report["objective"][0])


def test_the_command_shows_its_bar_and_its_result_and_nothing_else(world):
    done = instglow(*SEPARATE, "--steps", 3, cwd=world, home=world.parent / "home")
    assert re.fullmatch(
        r"song.wav: hum, hiss in separated/song \(\d+\.\d s for 0\.5 s of music, real-time factor "
        r"\d+\.\d\d\)\n",
        done.stdout,
    )
    shown = [line for line in re.split(r"[\r\n]", done.stderr) if line.strip()]
    assert shown
    assert all(map(is_bar, shown)), shown


def test_a_working_directory_that_is_gone_is_one_line(tmp_path, monkeypatch, capsys):
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert main(["list-priors"]) == 2
    assert capsys.readouterr().err == (
        "instglow: the working directory has been deleted; change to another\n"
    )
