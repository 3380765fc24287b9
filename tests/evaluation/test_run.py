import json
import shutil

import pytest
import soundfile
from songs import RATE, Halves, ToneSong, song_set

from instglow.errors import AudioError
from instglow.evaluation.report import report, table, to_csv
from instglow.evaluation.run import Plan, evaluate

pytestmark = pytest.mark.skipif(
    not (shutil.which("ffmpeg") and shutil.which("ffprobe")), reason="museval needs ffmpeg"
)


def plan(tmp_path, *songs, **options):
    songs = songs or (ToneSong("a", 5.5), ToneSong("b", 4.0, ("bass", "drums", "guitar")))
    return Plan(song_set(*songs), tmp_path, **{"segment": 2.0, "jobs": 0, **options})


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


@pytest.mark.parametrize("jobs", [0, 1])
@pytest.mark.parametrize("stop_at", [1, 4])
def test_killed_and_resumed_is_the_same_as_not_killed(tmp_path, stop_at, jobs):
    whole = as_json(Halves(), plan(tmp_path / "whole"))
    how = plan(tmp_path / "killed", jobs=jobs)
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
    assert (
        table([values]).splitlines()[-1] == "| halves | 6.02 | 6.02 | 6.02 | 6.02 (6.02 … 6.02) |"
    )
    lines = to_csv([values]).splitlines()
    assert lines[0].startswith("dataset,method,preset,song,seconds,stem,sdr,")
    assert len(lines) == 1 + 2 + 3
    assert lines[1].startswith("tones,halves,,a,5.5,bass,6.0")
