"""The listening page into a folder: it opens in any browser, without a server or a network."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from pathlib import Path

from torch import Tensor

from instglow.audio.stems import write
from instglow.errors import OutputError
from instglow.files import STAGING, Staged, as_output_error
from instglow.pages.listening.exhibit import Exhibit
from instglow.pages.listening.html import GENERATOR, Cell, Section, page
from instglow.pages.listening.names import FileNames
from instglow.pages.listening.spectrogram import decibels, save

_INDEX, _AUDIO, _PICTURES = "index.html", "audio", "spectrograms"
_TRUTH = "true stems"


def write_page(folder: Path, title: str, exhibits: Iterable[Exhibit], summary: str = "") -> Path:
    """Write index.html, audio/ and spectrograms/; nothing of it shows before all is there.

    Recordings are 16 bit flac: what is beyond full scale is clipped. A stem that is not finite is
    named as such instead.

    Args:
        folder: made if missing; an earlier page in it is replaced, other files beside one stay.
        title: heading of the page.
        exhibits: consumed one by one, so that one song is in memory at a time.
        summary: plain text under the title, with blank lines between paragraphs; Markdown tables
            become tables.

    Returns:
        The path of index.html.

    Raises:
        OutputError: the folder holds something that is no listening page, or cannot be written.
    """
    folder = Path(folder)
    check_page(folder)
    with Staged(folder) as staged:
        for name in (_AUDIO, _PICTURES):  # to replace those of an earlier page, even by nothing
            (staged.new / name).mkdir()
        # A loop would still hold one song while the next is made; map holds none.
        sections = list(map(functools.partial(_lay_out, staged.new, FileNames()), exhibits))
        with as_output_error(folder):
            # A file's name may hold what UTF-8 cannot: half a surrogate pair.
            (staged.new / _INDEX).write_text(
                page(title, summary, sections), encoding="utf-8", errors="xmlcharrefreplace"
            )
    return folder / _INDEX


def check_page(folder: Path) -> None:
    """An OutputError where `write_page` would not replace what is in the folder."""
    if not folder.exists():
        return
    if not folder.is_dir():
        raise OutputError(f"{folder} is a file, not a folder; choose another folder")
    there = sorted(path.name for path in folder.iterdir() if path.name != STAGING)
    if not there:
        return
    index = folder / _INDEX
    if not index.is_file() or GENERATOR.encode() not in index.read_bytes():
        raise OutputError(
            f"{folder} holds '{there[0]}', which is not part of a listening page; choose another "
            "folder, or an empty one"
        )


def _lay_out(staging: Path, names: FileNames, exhibit: Exhibit) -> Section:
    """Recordings and pictures of one song into files, and what the page says of them."""
    files = _SongFiles(staging, exhibit, names.new(exhibit.song))
    stems = list(
        dict.fromkeys([*exhibit.truth, *(s for one in exhibit.estimates for s in one.stems)])
    )
    columns = [_TRUTH] if exhibit.truth else []
    columns += [one.method for one in exhibit.estimates]
    return Section(
        anchor=f"song-{files.name}",
        song=exhibit.song,
        mixture=files.cell({"mixture": exhibit.mixture}, "mixture", "", "the mixture"),
        columns=columns,
        rows={stem: _row(files, exhibit, stem) for stem in stems},
    )


def _row(files: _SongFiles, exhibit: Exhibit, stem: str) -> list[Cell]:
    cells = [files.cell(exhibit.truth, stem, _TRUTH, f"true {stem}")] if exhibit.truth else []
    for one in exhibit.estimates:
        description = f"{stem} by {one.method}"
        scores = one.scores.get(stem)
        cells.append(files.cell(one.stems, stem, one.method, description, scores))
    return cells


class _SongFiles:
    """The files of one song, named and coloured alike."""

    def __init__(self, staging: Path, exhibit: Exhibit, name: str) -> None:
        self.name = name
        self._staging, self._song, self._sample_rate = staging, exhibit.song, exhibit.sample_rate
        self._files = FileNames()
        self._brightest = float(decibels(exhibit.mixture, exhibit.sample_rate).max())

    def cell(
        self,
        stems: Mapping[str, Tensor],
        stem: str,
        label: str,
        description: str,
        scores: Mapping[str, float | None] | None = None,
    ) -> Cell:
        description = f"{description}, {self._song}"
        if stem not in stems:
            return Cell(label, description, reason="no such stem")
        wave = stems[stem]
        if not bool(wave.isfinite().all()):
            return Cell(label, description, scores=scores, reason="not a number or infinite")
        file = f"{self.name}/{self._files.new(f'{label}-{stem}')}"
        audio, picture = f"{_AUDIO}/{file}.flac", f"{_PICTURES}/{file}.png"
        write(self._staging / audio, wave, self._sample_rate, "PCM_16")
        with as_output_error(self._staging / picture):
            (self._staging / picture).parent.mkdir(parents=True, exist_ok=True)
            save(self._staging / picture, decibels(wave, self._sample_rate), self._brightest)
        return Cell(label, description, audio, picture, scores)
