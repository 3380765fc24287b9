"""What a folder shows is all old or all new, whenever the end comes."""

import pytest
from killing import killed_at

from instglow.errors import OutputError
from instglow.files import Staged, check_writable, replacing, write_text

NEW = {"index.html": "new", "audio/a.flac": "new", "report.json": "new"}


def publish(folder):
    with Staged(folder) as staged:
        (staged.new / "audio").mkdir()
        for name, text in NEW.items():
            (staged.new / name).write_text(text)


def contents(folder):
    return {
        str(path.relative_to(folder)): path.read_text()
        for path in folder.rglob("*")
        if path.is_file() and ".instglow" not in path.parts
    }


@pytest.mark.parametrize("old", [{}, {"index.html": "old", "audio/b.flac": "old", "mine": "kept"}])
def test_what_a_killed_run_left_is_undone_or_finished_by_the_next(tmp_path, old):
    outcomes, step = [], 0
    while True:
        step += 1
        folder = tmp_path / str(step)
        for name, text in old.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text)
        if not killed_at(step, lambda folder=folder: publish(folder)):
            break
        with Staged(folder):
            pass
        kept = {name: text for name, text in old.items() if text == "kept"}
        assert contents(folder) in (old, NEW | kept)
        outcomes.append(contents(folder) == NEW | kept)
        assert not (folder / ".instglow").exists()
    assert outcomes == sorted(outcomes)
    assert set(outcomes) == {False, True}


def test_two_that_write_to_one_folder_do_not_mix(tmp_path):
    with Staged(tmp_path) as first:
        (first.new / "a").write_text("first")
        with pytest.raises(OutputError, match=rf"another process is writing to {tmp_path}; wait"):
            publish(tmp_path)
    assert contents(tmp_path) == {"a": "first"}


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path):
    path = tmp_path / "new" / "a.txt"
    write_text(path, "old")

    def interrupted():
        with replacing(path) as beside:
            beside.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert contents(tmp_path) == {"new/a.txt": "old"}
    (tmp_path / "new" / ".a.txt.part").write_text("of a killed run")
    write_text(path, "new")
    assert contents(tmp_path) == {"new/a.txt": "new"}


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("folder", "folder is a folder; remove it or choose another name"),
        ("file/a/b", "file is a file, not a folder; choose another folder"),
    ],
)
def test_a_place_that_cannot_be_written_is_said_before_the_work(tmp_path, name, message):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    with pytest.raises(OutputError) as caught:
        check_writable(tmp_path / name)
    assert str(caught.value) == f"{tmp_path / message}"
    with pytest.raises(OutputError, match=r"^cannot write "):
        write_text(tmp_path / name, "text")
