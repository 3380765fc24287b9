"""What `instglow separate` says of a separation."""

import json
from pathlib import Path

import pytest
import soundfile
import torch

from instglow.audio.frontend import Frontend
from instglow.cli.main import main
from instglow.families.nmf import NMFPrior
from instglow.registry import Layer, Registry

RATE = 8000


@pytest.fixture
def registry(tmp_path, monkeypatch) -> Registry:
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    registry = Registry([Layer(tmp_path / "registry", "")])
    for name in ("hum", "hiss"):
        registry.add(name, NMFPrior(Frontend(RATE, 64, 16), atoms=4), licence="CC0")
    song = 0.1 * torch.randn(RATE, generator=torch.Generator().manual_seed(0))
    song[: RATE // 2] = 0
    soundfile.write("song.wav", song.numpy(), RATE, "FLOAT")
    return registry


# what a torch.nn.ModuleDict does not take for a key
@pytest.mark.parametrize("stems", [("keys", "pop"), ("values", "items"), ("type", "half")])
def test_stems_of_any_name_and_a_report_of_what_made_them(registry, stems, capsys):
    one, other = stems
    command = f"separate song.wav --registry registry --priors {one}=hum,{other}=hiss"
    options = "--segment 0.2 --steps 5 --preset nmf --batch-size 2"
    assert main([*command.split(), *options.split()]) == 0, capsys.readouterr().err
    report = json.loads(Path("separated/song/separation.json").read_text())
    assert report["search"]["class"] == "LatentSearch"
    assert report["refine"] == {"class": "RatioMask", "power": 1.0}
    silent, loud = report["objective"][0], report["objective"][-1]
    assert silent is None
    assert loud > 0
