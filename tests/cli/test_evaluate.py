import csv
import json
import signal
import time

import pytest
import soundfile
import torch
from commands import instglow, start

from instglow.audio.frontend import Frontend
from instglow.cli.main import main
from instglow.families.nmf import NMFPrior
from instglow.registry import Registry
from instglow.registry.layer import Layer

RATE = 8000
STEMS = ("bass", "drums")


@pytest.fixture
def place(tmp_path):
    """Three songs of noise in two bands, and a prior for each stem in ./priors."""
    generator = torch.Generator().manual_seed(0)
    for number in range(3):
        folder = tmp_path / "songs" / f"song {number}"
        folder.mkdir(parents=True)
        for stem, sign in (("bass", 1), ("drums", -1)):
            noise = 0.1 * torch.randn(3 * RATE + 1, generator=generator)
            wave = noise[1:] + sign * noise[:-1]  # the lower and the upper half of the band
            soundfile.write(folder / f"{stem}.wav", wave.numpy(), RATE)
    registry = Registry([Layer(tmp_path / "priors", "test")])
    for stem in STEMS:
        torch.manual_seed(0)
        prior = NMFPrior(Frontend(RATE, 64, 32), atoms=2)
        for name in (stem, f"{stem}-nmf"):
            registry.add(name, prior, licence="MIT")
    return tmp_path


def evaluate(place, *options, **how):
    return instglow("evaluate", "songs", "-q", *options, cwd=place, **how)


def test_the_figures_in_a_table_in_json_and_in_csv(place):
    done = evaluate(
        *(place, "--priors", "bass,drums", "--steps", "2", "--json", "all.json"),
        *("--csv", "all.csv", "--method", "instglow", "--method", "ideal-ratio-mask"),
    )
    rows = [[cell.strip() for cell in line.split("|")] for line in done.stdout.splitlines()]
    assert [row[1] for row in rows if "---" not in row[1]] == [
        *("median sdr, dB", "instglow", "ideal-ratio-mask")
    ]
    assert rows[2][-2] == "MIT"
    ours, ideal = json.loads((place / "all.json").read_text())
    assert set(ours) >= {"dataset", "preset", "method", "priors", "songs", "summary"}
    assert (ours["dataset"], ours["preset"], ours["method"]) == ("songs", "default", "instglow")
    assert ours["priors"] == {"bass": "bass", "drums": "drums"}
    assert [song["name"] for song in ours["songs"]] == ["song 0", "song 1", "song 2"]
    assert set(ours["songs"][0]["scores"]["bass"]) >= {"sdr", "sdr_frames", "si_sdr", "sdr_i"}
    assert (ours["licence"], ideal["licence"]) == (["MIT"], [])
    assert set(ours["summary"]["all"]) >= {"median_sdr", "mean_sdr", "ci95", "median_si_sdr"}
    assert ideal["summary"]["all"]["mean_sdr"] > ours["summary"]["all"]["mean_sdr"] + 3
    with (place / "all.csv").open() as file:
        lines = list(csv.DictReader(file))
    assert len(lines) == 2 * 3 * 2
    assert float(lines[0]["sdr"]) == ours["songs"][0]["scores"]["bass"]["sdr"]


def test_a_method_has_priors_of_its_own(place):
    evaluate(place, "--method", "nmf", "--steps", "1", "--json", "nmf.json")
    values = json.loads((place / "nmf.json").read_text())
    assert values["priors"] == {"bass": "bass-nmf", "drums": "drums-nmf"}
    assert values["preset"] == "nmf"


def test_killed_and_resumed(place):
    options = ("--steps", "60", "--json", "all.json")
    evaluate(place, *options, "-o", "whole")
    whole = (place / "all.json").read_text()
    running = start("evaluate", "songs", "-q", *options, "-o", "killed", cwd=place)
    first = place / "killed" / "instglow" / "song 0.json"
    for _ in range(2400):
        if first.exists() or running.poll() is not None:
            break
        time.sleep(0.1)
    running.send_signal(signal.SIGINT)
    _, errors = running.communicate(timeout=60)
    assert (running.returncode, errors) == (130, "instglow: interrupted\n")
    kept = first.stat().st_mtime_ns
    evaluate(place, *options, "-o", "killed")
    assert first.stat().st_mtime_ns == kept
    assert (place / "all.json").read_text() == whole


def test_the_page_and_the_dashboard(place):
    evaluate(place, "--method", "mixture", "--method", "ideal-ratio-mask", "--page", "page")
    html = (place / "page" / "index.html").read_text()
    assert html.count("<audio") >= 3 * (1 + 2 + 2 + 2)
    evaluate(place, "--method", "mixture", "--wandb", "tests")
    assert list((place / "evaluations" / "songs" / "wandb").glob("offline-run-*"))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("nowhere",), "nowhere"),
        (("empty",), "empty"),
        (("songs", "--method", "spleeter"), "no method 'spleeter'"),
        (("songs", "--priors", "violin"), "nothing to score in songs"),
        (("songs", "--priors", "bass=violin"), "no prior 'violin'"),
        (("songs", "--priors", "bass="), "'' is no name"),
        (("songs", "--priors", ","), "name at least one"),
        (("songs", "--segment", "0.5"), "between 1 and 60"),
        (("songs", "--seconds", "0.1"), "at least 1 s, got 0.1 s"),
        (("songs", "--seconds", "nan"), "at least 1 s, got nan s"),
        (("songs", "--seconds", "inf"), "at least 1 s, got inf s"),
        (("songs", "--weights", "guess=x"), "METHOD=FILE"),
        (("songs", "--weights", "mask-net=x"), "a method that is measured, which are: instglow"),
        (("songs", "--json", "x", "--csv", "x"), "both name x"),
        (("songs", "-o", "songs/song 0/bass.wav"), "bass.wav is a file"),
        (("songs", "--method", "wave-u-net", "--weights", "wave-u-net=no.ckpt"), "no.ckpt"),
        (("songs", "--json", "songs/song 0/bass.wav/x.json", "--method", "mixture"), "is a file"),
        (("songs", "--page", "songs"), "not part of a listening page"),
        (("songs", "--method", "lq-vae"), "bass-lq-vae"),
    ],
)
def test_one_line_for_what_cannot_be_measured(place, arguments, words, capsys, monkeypatch):
    monkeypatch.chdir(place)
    monkeypatch.setenv("XDG_DATA_HOME", str(place))
    (place / "empty").mkdir()
    assert main(["evaluate", "-q", *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("instglow: ")
    assert err.count("\n") == 1
    assert words in err
    assert not (place / "evaluations").exists()


def test_a_stem_that_no_song_has_is_said(place, capsys, monkeypatch):
    monkeypatch.chdir(place)
    assert main(["evaluate", "-q", "songs", "--priors", "bass,vocal", "--method", "mixture"]) == 0
    assert capsys.readouterr().err == "instglow: no song of songs has vocal\n"


def test_files_of_other_names_unlike_each_other_and_not_the_sum(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    song = tmp_path / "songs" / "one"
    song.mkdir(parents=True)
    bass, drums = 0.1 * torch.randn(2, 2 * RATE, generator=torch.Generator().manual_seed(0))
    soundfile.write(song / "01 - Bass (DI).wav", bass.numpy(), RATE)
    soundfile.write(song / "Kick.wav", torch.stack([drums, drums], 1)[:-99].numpy(), RATE)
    soundfile.write(song / "Master.wav", 0.5 * (bass + drums).numpy(), RATE)
    names = "bass=01 - Bass (DI),drums=kick,mixture=Master"
    command = ["evaluate", "songs", "-q", "--method", "mixture", "--stems", names]
    assert main(command) == 2
    assert "or evaluate with --align" in capsys.readouterr().err
    assert main([*command, "--align", "--json", "a.json", "--csv", "a.csv"]) == 0
    said = capsys.readouterr().err
    assert "one: its mixture is not the sum of its stems (the rest is at 0.0 dB of the mix" in said
    assert "--remix" in said
    (measured,) = json.loads((tmp_path / "a.json").read_text())["songs"]
    assert list(measured["scores"]) == ["bass", "drums"]
    assert main([*command, "--align", "--remix"]) == 0
    assert capsys.readouterr().err == ""
