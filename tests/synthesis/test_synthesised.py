"""Recordings that are made when they are asked for."""

import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import soundfile

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
