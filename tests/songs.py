"""Songs made of pure tones, whose scores have closed forms."""

import torch

from instglow.data.songs import Excerpt, Song, SongSet

RATE = 4000
FREQUENCIES = {"bass": 100, "drums": 300, "guitar": 500, "vocals": 700}


def tone(frequency, seconds, amplitude=1.0, phase=0.0):
    time = torch.arange(round(seconds * RATE), dtype=torch.float64) / RATE
    return (amplitude * torch.sin(2 * torch.pi * frequency * time + phase)).float()[None]


class ToneSong(Song):
    def __init__(self, name="a song", seconds=4.0, stems=("bass", "drums"), silent=()):
        self.name, self.stems, self.sample_rate = name, tuple(sorted(stems)), RATE
        self.samples, self.files = round(seconds * RATE), ()
        self.waves = {
            stem: tone(FREQUENCIES[stem], seconds, 0.0 if stem in silent else 0.2) for stem in stems
        }

    def read(self, start, count):
        stems = {name: wave[:, start : start + count] for name, wave in self.waves.items()}
        return Excerpt(torch.stack(list(stems.values())).sum(0), stems)


class Halves:
    """Every stem at half its level: an SDR of 6.02 dB. Counts its calls; stops when told to."""

    name = "halves"

    def __init__(self, stop_at=None, gain=0.5):
        self.calls, self.stop_at, self.gain = 0, stop_at, gain

    def settings(self, stems):
        return {"gain": self.gain}

    def separate(self, segment, stems):
        if self.calls == self.stop_at:
            raise KeyboardInterrupt
        self.calls += 1
        return {name: self.gain * segment.truth[name] for name in stems}


def song_set(*songs, **skipped):
    return SongSet("tones", list(songs), skipped)
