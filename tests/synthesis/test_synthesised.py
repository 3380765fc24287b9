"""Recordings that are made when they are asked for."""

import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import soundfile
import yaml

from instglow.cli.main import main
from instglow.synthesis import synthesised
from instglow.synthesis.synthesised import Rendered, Sung


@pytest.mark.parametrize(
    ("maker", "source", "position"),
    [
        ("render", lambda folder: Rendered("bass", "midi", "banks", folder), 3),
        ("sing", lambda folder: Sung("speech", folder), 2),
    ],
)
def test_processes_that_ask_at_once_make_them_once(tmp_path, monkeypatch, maker, source, position):
    made = []

    def make(*arguments):
        path = arguments[position] / "0.flac"
        if not path.exists():  # as the makers pass over what is there
            time.sleep(0.2)
            soundfile.write(path, np.full(100, 0.1), 8000)
            made.append(path)

    monkeypatch.setattr(synthesised, maker, make)

    def ask(_):
        return [one.files for one in source(str(tmp_path / "new")).recordings("train", 8000)]

    with ThreadPoolExecutor(2) as pool:
        one, other = pool.map(ask, range(2))
    assert len(made) == len(one) == 1
    assert one == other


def test_a_configuration_names_a_source_of_a_package_by_its_class_alone(capsys):
    options = [f"--data.source.{name}=x" for name in ("instrument", "midi", "soundfonts", "folder")]
    words = ["fit", "--config", "guitar.yaml", "--data.source=Rendered", *options]
    assert main([*words, "--print_config"]) == 0
    source = yaml.safe_load(capsys.readouterr().out)["data"]["init_args"]["source"]
    assert source["class_path"] == "instglow.synthesis.synthesised.Rendered"
