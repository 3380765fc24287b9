"""Stems and their report are published all together or not at all, whenever the end comes."""

from pathlib import Path

import pytest
import torch

from instglow.audio.io import read
from instglow.audio.stems import StemWriter

NEW = {"bass": torch.full((1, 9), 0.5), "drums": torch.full((1, 9), -0.5)}


def separate(folder: Path) -> None:
    paths = {stem: folder / f"{stem}.wav" for stem in NEW}
    with StemWriter(paths, 8000, 1, overwrite=True) as writer:
        writer.write(NEW)
        writer.add_text(folder / "report.json", "new")


def contents(folder: Path) -> dict[str, bytes | None]:
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
    }


def test_a_text_appears_with_the_stems(tmp_path):
    separate(tmp_path / "song")
    files = {path.name for path in (tmp_path / "song").iterdir()}
    assert files == {"bass.wav", "drums.wav", "report.json"}
    assert (tmp_path / "song" / "report.json").read_text() == "new"


@pytest.mark.parametrize("before_it", [True, False])
@pytest.mark.parametrize("there", [(), ("drums.wav",), ("bass.wav", "drums.wav", "report.json")])
def test_an_interruption_at_any_move_leaves_what_was_there(tmp_path, monkeypatch, there, before_it):
    if there:
        (tmp_path / "song").mkdir()
    for name in there:
        (tmp_path / "song" / name).write_text("old")
    before, move = contents(tmp_path), Path.replace
    moves = 3 + len(there)  # one for each new file, one for each that makes room
    for last in range(moves):
        done = 0

        def interrupted(source, target, last=last):
            nonlocal done
            done += 1
            if done != last + 1:
                return move(source, target)
            if not before_it:
                move(source, target)
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(Path, "replace", interrupted)
            with pytest.raises(KeyboardInterrupt):
                separate(tmp_path / "song")
        assert done > last
        assert contents(tmp_path) == before
    separate(tmp_path / "song")
    after = contents(tmp_path / "song")
    assert after.keys() == {"bass.wav", "drums.wav", "report.json"}
    assert after["report.json"] == b"new"
    for stem, wave in NEW.items():
        assert torch.equal(read(tmp_path / "song" / f"{stem}.wav")[0], wave)
