import csv
import importlib
import json
import math
import os

import pytest
import soundfile
from songs import RATE, Halves, ToneSong, song_set

from instglow.data.song_folders import folder_songs
from instglow.data.songs import Excerpt
from instglow.errors import AudioError
from instglow.evaluation.bounds import Mixture
from instglow.evaluation.report import report, table, to_csv
from instglow.evaluation.results import code
from instglow.evaluation.run import Plan, evaluate


def plan(tmp_path, *songs, **options):
    songs = songs or (ToneSong("a", 5.5), ToneSong("b", 4.0, ("bass", "drums", "guitar")))
    return Plan(song_set(*songs), tmp_path, **{"segment": 2.0, **options})


def as_json(method, how):
    return json.dumps(report(method, None, how, *evaluate(method, how)), indent=1)


def test_songs_are_cut_into_segments_and_scored(tmp_path):
    method, heard = Halves(), []
    results, skipped = evaluate(method, plan(tmp_path), heard.append)
    assert [sorted(r.segments) for r in results] == [
        ["0.000", "2.000", "4.000"],
        ["0.000", "2.000"],
    ]
    assert [r.seconds for r in results] == [5.5, 4.0]
    assert sorted(heard) == ["a"] * 3 + ["b"] * 2
    assert skipped == {}
    assert results[1].scores()["guitar"]["sdr"] == pytest.approx(6.02, abs=0.01)


@pytest.mark.parametrize("stop_at", [1, 4])
def test_killed_and_resumed_is_the_same_as_not_killed(tmp_path, stop_at):
    whole = as_json(Halves(), plan(tmp_path / "whole"))
    how = plan(tmp_path / "killed")
    with pytest.raises(KeyboardInterrupt):
        evaluate(Halves(stop_at), how)
    again = Halves()
    assert as_json(again, how) == whole
    assert again.calls == 5 - stop_at


def test_another_setting_is_measured_anew(tmp_path):
    evaluate(Halves(), plan(tmp_path))
    again = Halves()
    evaluate(again, plan(tmp_path))
    assert again.calls == 0
    for changed, how in (
        (Halves(gain=0.25), plan(tmp_path)),
        (Halves(), plan(tmp_path, remix=True)),
        (Halves(), plan(tmp_path, excerpt=3.0)),
    ):
        evaluate(changed, how)
        assert changed.calls > 0


def test_a_damaged_result_is_measured_anew(tmp_path):
    evaluate(Halves(), plan(tmp_path))
    (tmp_path / "halves" / "a.json").write_text('{"key": ')
    again = Halves()
    evaluate(again, plan(tmp_path))
    assert again.calls == 3


def test_the_middle_of_a_song(tmp_path):
    how = plan(tmp_path, ToneSong("a", 10.0), excerpt=3.0)
    (result,), _ = evaluate(Halves(), how)
    assert sorted(result.segments) == ["3.500", "5.500"]
    assert result.seconds == 3


def test_a_song_without_the_stems_and_one_that_breaks_are_left_out_with_the_reason(tmp_path):
    class Broken(ToneSong):
        def read(self, start, count):
            raise AudioError("broken.flac: it ends there")

    songs = (ToneSong("a"), Broken("b"), ToneSong("c", stems=("vocals",)))
    results, skipped = evaluate(Halves(), plan(tmp_path, *songs, stems=("bass", "piano")))
    assert [r.name for r in results] == ["a"]
    assert list(results[0].scores()) == ["bass"]
    assert skipped["b"] == "broken.flac: it ends there"
    assert "none of the stems bass, piano" in skipped["c"]


def test_a_stem_called_all_leaves_its_song_out(tmp_path):
    song = ToneSong("a")
    song.stems = ("all", "bass")
    results, skipped = evaluate(Halves(), plan(tmp_path, song))
    assert results == []
    assert "a stem called 'all'" in skipped["a"]


def test_a_remix_holds_only_the_chosen_stems(tmp_path):
    song = ToneSong("a", stems=("bass", "drums", "guitar"))
    how = plan(tmp_path, song, stems=("bass", "drums"), remix=True)
    mixture, truth = how.read(song, 0, RATE)
    assert list(truth) == ["bass", "drums"]
    assert mixture.equal(truth["bass"] + truth["drums"])


def test_the_first_segment_is_kept_to_listen_to(tmp_path):
    how = plan(tmp_path, keep_audio=True)
    evaluate(Halves(), how)
    wave, rate = soundfile.read(tmp_path / "halves" / "b" / "guitar.wav")
    assert (len(wave), rate) == (2 * RATE, RATE)
    (tmp_path / "halves" / "b" / "guitar.wav").unlink()
    again = Halves()
    evaluate(again, how)
    assert again.calls == 1


def test_a_silent_stem_is_counted_and_left_out(tmp_path):
    how = plan(tmp_path, ToneSong("a", 4.0, silent=("drums",)))
    values = json.loads(as_json(Halves(), how))
    assert values["songs"][0]["silent"] == 2
    assert list(values["summary"]) == ["bass", "all"]


def test_a_silent_minute_is_not_searched_and_does_not_cost_the_song(tmp_path):
    song = ToneSong("a", 6.0)
    for wave in song.waves.values():
        wave[:, 2 * RATE : 4 * RATE] = 0
    method = Halves()
    (result,), skipped = evaluate(method, plan(tmp_path, song))
    assert (method.calls, result.silent, skipped) == (2, 2, {})
    assert result.scores()["bass"]["sdr"] == pytest.approx(6.02, abs=0.01)


def test_the_table_and_the_lines_of_the_csv(tmp_path):
    how = plan(tmp_path)
    values = report(Halves(), None, how, *evaluate(Halves(), how))
    cells = [cell.strip() for cell in table([values]).splitlines()[2].split("|")[1:-1]]
    assert cells == ["halves", "6.02", "6.02", "6.02", "6.02 (6.02 … 6.02)", "–", "–"]
    lines = list(csv.DictReader(to_csv([values]).splitlines()))
    assert len(lines) == 2 + 3
    about = ("dataset", "method", "preset", "song", "seconds", "stem")
    assert [lines[0][key] for key in about] == ["tones", "halves", "", "a", "5.5", "bass"]
    assert float(lines[0]["sdr"]) == pytest.approx(6.02, abs=0.01)
    assert "isr" not in lines[0]


class Trained(Halves):
    def settings(self, stems):
        return {"trained_on": ["songs of a friend"], "licence": ["CC BY-NC"], "priors": {}}


def test_every_row_says_what_its_weights_were_trained_on_and_their_licence(tmp_path):
    how = plan(tmp_path)
    values = report(Trained(), None, how, *evaluate(Trained(), how))
    assert (values["trained_on"], values["licence"]) == (["songs of a friend"], ["CC BY-NC"])
    assert "songs of a friend" in table([values]).splitlines()[2]
    for line in csv.DictReader(to_csv([values]).splitlines()):
        assert (line["trained_on"], line["licence"]) == ("songs of a friend", "CC BY-NC")


class Alone(ToneSong):
    """The bass alone, so that the mixture is the stem, and a minute with the drums."""

    def __init__(self, name):
        super().__init__(name, 4.0)
        self.waves["drums"][:, : 2 * RATE] = 0


def test_infinite_ratios_are_left_out_and_counted_everywhere(tmp_path):
    how = plan(tmp_path, Alone("a"))
    mixture, halves = (
        report(method, None, how, *evaluate(method, how)) for method in (Mixture(), Halves())
    )
    one_segment = {"sdr": 1, "sdr_i": 1, "sdr_frames": 1, "sdr_frames_i": 1, "frames": 2}
    (song,) = mixture["songs"]
    # what is left is the segment with two stems of one level
    assert song["scores"]["bass"]["sdr"] == pytest.approx(0, abs=0.01)
    assert song["left_out"]["bass"].items() >= one_segment.items()
    (song,) = halves["songs"]
    assert song["scores"]["bass"]["sdr"] == pytest.approx(6.02, abs=0.01)
    assert song["scores"]["bass"]["sdr_i"] == pytest.approx(6.02, abs=0.01)
    assert song["left_out"]["bass"]["sdr_i"] == 1
    assert "sdr" not in song["left_out"]["bass"]
    assert mixture["summary"]["all"]["left_out"]["sdr"] == 1
    assert table([mixture, halves]).endswith("(segments of stems): mixture 1")
    assert table([halves, mixture], "mean_sdr_i").endswith("halves 1, mixture 1")
    text = json.dumps([mixture, halves], allow_nan=False)
    assert "Infinity" not in text
    assert "sdr 1" in to_csv([mixture])


def test_a_song_of_one_stem_has_empty_cells_and_no_crash(tmp_path):
    how = plan(tmp_path, ToneSong("a", stems=("bass",)))
    values = report(Mixture(), None, how, *evaluate(Mixture(), how))
    assert values["summary"]["all"]["mean_sdr"] is None
    assert values["summary"]["all"]["left_out"]["sdr"] == 2
    assert "| –" in table([values])
    (line,) = csv.DictReader(to_csv([values]).splitlines())
    assert line["sdr"] == line["sdr_i"] == ""


def on_disk(folder, gain=0.2):
    folder.mkdir(parents=True, exist_ok=True)
    for stem in ("bass", "drums"):
        wave = gain * ToneSong(stems=("bass", "drums")).waves[stem][0].numpy()
        soundfile.write(folder / f"{stem}.wav", wave, RATE)


def calls(root, out, **options):
    method = Halves()
    evaluate(method, Plan(folder_songs(root), out, segment=2.0, **options))
    return method.calls


def test_scores_are_those_of_the_files_that_are_there(tmp_path):
    """Not of another dataset of that folder's name, nor of a stem that was replaced."""
    out = tmp_path / "scores"
    on_disk(tmp_path / "one" / "songs" / "a")
    on_disk(tmp_path / "two" / "songs" / "a", 0.1)
    assert calls(tmp_path / "one" / "songs", out) == 2
    assert calls(tmp_path / "one" / "songs", out) == 0
    assert calls(tmp_path / "two" / "songs", out) == 2
    path = tmp_path / "two" / "songs" / "a" / "bass.wav"
    before = path.stat()
    wave, _ = soundfile.read(path)
    wave[len(wave) // 2] = 0.3
    soundfile.write(path, wave, RATE)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_size == before.st_size
    assert calls(tmp_path / "two" / "songs", out) == 2


def test_scores_are_those_of_the_code_that_runs(tmp_path, monkeypatch):
    on_disk(tmp_path / "songs" / "a")
    assert calls(tmp_path / "songs", tmp_path / "scores") == 2
    monkeypatch.setattr("instglow.evaluation.run.code", lambda module: "a newer version")
    assert calls(tmp_path / "songs", tmp_path / "scores") == 2


def test_the_code_of_a_method_counts(tmp_path, monkeypatch):
    package = tmp_path / "a_method"
    package.mkdir()
    (package / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    digests = set()
    for text in ("first = 1", "second = 2"):
        (package / "of_it.py").write_text(text)
        importlib.import_module("a_method.of_it")
        code.cache_clear()
        digests.add(code("a_method.of_it"))
    assert len(digests) == 2


def test_a_stem_that_is_no_number_leaves_the_song_out(tmp_path):
    broken = ToneSong("b")
    broken.waves["bass"][0, RATE] = math.nan
    results, skipped = evaluate(Halves(), plan(tmp_path, ToneSong("a"), broken))
    assert [result.name for result in results] == ["a"]
    assert skipped == {"b": "b: bass is not a number or infinite at 1.000 s; export it again"}


def test_a_mixture_that_is_not_the_sum_of_its_stems_is_told_by_how_much(tmp_path):
    class Mastered(ToneSong):
        def read(self, start, count):
            excerpt = super().read(start, count)
            return Excerpt(1.1 * excerpt.mixture, excerpt.stems)

    how = plan(tmp_path, ToneSong("a"), Mastered("b"))
    songs = report(Halves(), None, how, *evaluate(Halves(), how))["songs"]
    assert songs[0]["residual_db"] is None
    assert songs[1]["residual_db"] == pytest.approx(20 * math.log10(0.1 / 1.1), abs=0.01)


def test_a_file_that_goes_away_leaves_its_song_out(tmp_path):
    for name in ("a", "b"):
        on_disk(tmp_path / "songs" / name)
    songs = folder_songs(tmp_path / "songs")
    (tmp_path / "songs" / "b" / "bass.wav").unlink()
    results, skipped = evaluate(Halves(), Plan(songs, tmp_path / "scores"))
    assert [result.name for result in results] == ["a"]
    assert "bass.wav: No such file" in skipped["b"]
