"""Which dataset a folder holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from instglow import plugins
from instglow.data.musdb import STEMS, SUFFIX, musdb_songs
from instglow.data.slakh import slakh_songs, track_folders
from instglow.data.song_folders import folder_songs
from instglow.data.songs import SongSet
from instglow.data.stems import MIXTURE, audio_files, subfolders
from instglow.errors import DataError

GROUP = "instglow.datasets"
"""Entry points of further ones, each a function from a folder and the name of a split to a
`SongSet`, or to None where the folder holds something else."""

_SLAKH_SPLITS = ("train", "validation", "test", "omitted")


def open_dataset(
    path: Path,
    split: str = "test",
    names: Mapping[str, Sequence[str]] | None = None,
    align: bool = False,
) -> SongSet:
    """MUSDB18, MUSDB18-HQ, Slakh2100, a folder of songs, or what an installed package reads.

    Args:
        path: of the dataset; see `musdb_songs`, `slakh_songs` and `folder_songs`.
        split: which part of MUSDB18 or Slakh2100; a folder of songs has no parts.
        names: of the files of each stem, in a folder of songs; see `folder_songs`.
        align: see `folder_songs`.

    Raises:
        DataError: for a missing folder, and where no dataset is recognised.
    """
    if not path.is_dir():
        what = "a file, not a folder" if path.exists() else "no such folder"
        raise DataError(f"{path}: {what}; name the folder of a dataset")
    if names:
        return folder_songs(path, names, align)
    for _, opened in plugins.available(GROUP):
        songs: SongSet | None = opened(path, split)
        if songs is not None:
            return songs
    if _is_musdb(path):
        return musdb_songs(path, split)
    if any(track_folders(folder) for folder in (path, *(path / name for name in _SLAKH_SPLITS))):
        return slakh_songs(path, split)
    if any(audio_files(folder) for folder in subfolders(path)):
        return folder_songs(path, align=align)
    files = ", ".join(f"{name}.wav" for name in (*STEMS, MIXTURE))
    raise DataError(
        f"{path}: no dataset in it; looked for MUSDB18 ({{train,test}}/*{SUFFIX}), "
        f"MUSDB18-HQ ({{train,test}}/<song>/ with {files}), "
        f"Slakh2100 ([<split>/]TrackNNNNN/metadata.yaml) and songs "
        "(<song>/<stem>.wav, .flac, .mp3, ...)"
    )


def _is_musdb(path: Path) -> bool:
    for part in (path / "train", path / "test"):
        if any(part.glob(f"*{SUFFIX}")):
            return True
        for mixture in part.glob(f"*/{MIXTURE}.wav"):
            if all((mixture.parent / f"{stem}.wav").is_file() for stem in STEMS):
                return True
    return False
