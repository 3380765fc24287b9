"""Solo recordings made when they are asked for, where no real ones are at hand."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from filelock import BaseFileLock, FileLock
from torch import Tensor

from instglow.data.recording import Recording
from instglow.data.solo import SoloFolder, SoloSource, Split
from instglow.files import as_output_error
from instglow.synthesis.rendered import render
from instglow.synthesis.singing import sing
from instglow.synthesis.split import read_split

# of the training and of the held-out recordings: other draws from other pieces and timbres
_SEEDS = {"train": 0, "held-out": 1}
_SPLITS = {"train": "train", "held-out": "dev"}


class Rendered(SoloSource):
    """MIDI files played with SoundFonts, a new timbre every 20 to 30 seconds.

    Args:
        instrument: bass, drums, guitar, piano, strings or other.
        midi: folder of MIDI files.
        soundfonts: folder of banks, each a folder of files NNN.sf3 (128.sf3: the drum kit).
        folder: where the recordings are kept; what is there is not rendered again.
        minutes: of recordings to train on.
        held_out_minutes: of recordings to measure on.
        split: table of the pieces and banks that are kept back, as configs/rendered-split.yaml;
            without it training and held-out recordings share both, and differ in their draws.
        synthesiser: rustysynth, which comes as a wheel, or fluidsynth where that is installed.
    """

    def __init__(
        self,
        instrument: str,
        midi: str,
        soundfonts: str,
        folder: str,
        minutes: float = 100.0,
        held_out_minutes: float = 8.0,
        split: str | None = None,
        synthesiser: str = "rustysynth",
    ) -> None:
        self.instrument = instrument
        self.synthesiser = synthesiser
        self.midi, self.soundfonts, self.folder = Path(midi), Path(soundfonts), Path(folder)
        self.minutes = {"train": minutes, "held-out": held_out_minutes}
        self.split = Path(split) if split else None

    def recordings(self, split: Split, sample_rate: int) -> Iterator[Recording | Tensor]:
        """See `SoloSource`."""
        pieces, banks = None, None
        if self.split:
            pieces, banks = read_split(
                self.split, self.midi, self.soundfonts, _SPLITS[split], self.instrument
            )
        out = self.folder / self.instrument / split
        with _alone(out):
            render(
                self.instrument,
                self.midi,
                self.soundfonts,
                out,
                self.minutes[split],
                _SEEDS[split],
                banks,
                pieces,
                sample_rate,
                self.synthesiser,
            )
        return SoloFolder(str(out)).recordings("train", sample_rate)


class Sung(SoloSource):
    """Spoken recordings made to sing.

    Args:
        speech: folder with `train/` and `dev/`, each of recordings of speech by voice.
        midi: folder of MIDI files to take melodies from; without it they are random walks.
        folder: where the recordings are kept; what is there is not made again.
        minutes: of recordings to train on.
        held_out_minutes: of recordings to measure on.
        split: table of the pieces that are kept back, as for `Rendered`.
    """

    def __init__(
        self,
        speech: str,
        folder: str,
        midi: str | None = None,
        minutes: float = 100.0,
        held_out_minutes: float = 8.0,
        split: str | None = None,
    ) -> None:
        self.speech, self.folder = Path(speech), Path(folder)
        self.midi = Path(midi) if midi else None
        self.minutes = {"train": minutes, "held-out": held_out_minutes}
        self.split = Path(split) if split else None

    def recordings(self, split: Split, sample_rate: int) -> Iterator[Recording | Tensor]:
        """See `SoloSource`."""
        pieces = None
        if self.split and self.midi:
            pieces, _ = read_split(self.split, self.midi, None, _SPLITS[split], "vocals")
        out = self.folder / "vocals" / split
        with _alone(out):
            sing(
                self.speech / _SPLITS[split],
                self.midi,
                out,
                self.minutes[split],
                _SEEDS[split],
                sample_rate,
                pieces,
            )
        return SoloFolder(str(out)).recordings("train", sample_rate)


def _alone(folder: Path) -> BaseFileLock:
    """Of several processes, of one run or of several, the first makes what all will find there."""
    with as_output_error(folder):
        folder.mkdir(parents=True, exist_ok=True)
    return FileLock(folder / ".lock")
