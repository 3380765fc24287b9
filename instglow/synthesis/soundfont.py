"""SoundFonts with compressed samples (.sf3) -> SoundFonts that every synthesiser reads (.sf2)."""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from instglow.errors import DataError

_SAMPLE = struct.Struct("<20sIIIIIBbHH")
"""Name, start, end, start and end of the loop, Hz, key, correction in cents, partner, kind."""
_PRESET = struct.Struct("<20sHHHIII")
"""Name, program, bank, and what does not matter here."""
_VORBIS, _ROM = 0x10, 0x8000  # bits of a sample's kind
_GAP = 46  # the specification wants so many zeros after each sample
_REST = 1 << 16  # zones may move the end of a sample that is played to its end, beyond it


@dataclass(frozen=True)
class SoundFont:
    """A SoundFont 2 in memory.

    Attributes:
        presets: (bank, program) of each; drum kits are in bank 128.
        content: of the .sf2 file.
    """

    presets: frozenset[tuple[int, int]]
    content: bytes

    @classmethod
    def read(cls, path: Path) -> SoundFont:
        """An .sf2 or .sf3 file, the Vorbis samples of the latter decoded.

        Raises:
            DataError: for a file that is neither.
        """
        try:
            return cls._parse(path.read_bytes())
        except (OSError, struct.error, KeyError, ValueError, soundfile.LibsndfileError) as error:
            raise DataError(
                f"cannot read SoundFont {path}: {error!r}; replace or remove it"
            ) from error

    @classmethod
    def _parse(cls, file: bytes) -> SoundFont:
        if file[:4] != b"RIFF" or file[8:12] != b"sfbk":
            raise ValueError("it does not begin as one")
        lists = {body[:4]: body[4:] for _, body in _chunks(file, 12)}
        samples = dict(_chunks(lists[b"sdta"]))[b"smpl"]
        tables = dict(_chunks(lists[b"pdta"]))
        tables[b"shdr"], pcm = _decode(tables[b"shdr"], samples)
        about = _chunk(b"ifil", struct.pack("<HH", 2, 4)) + _chunk(b"isng", b"EMU8000\0")
        about += _chunk(b"INAM", b"InstGlow")
        body = b"sfbk"
        body += _chunk(b"LIST", b"INFO" + about)
        body += _chunk(b"LIST", b"sdta" + _chunk(b"smpl", pcm.tobytes()))
        body += _chunk(b"LIST", b"pdta" + b"".join(_chunk(*table) for table in tables.items()))
        # the last record of each table only ends it
        presets = list(_PRESET.iter_unpack(tables[b"phdr"]))[:-1]
        return cls(
            frozenset((bank, program) for _, program, bank, *_ in presets), _chunk(b"RIFF", body)
        )


def _decode(headers: bytes, samples: bytes) -> tuple[bytes, NDArray[np.int16]]:
    """Headers and samples of either format -> those of SoundFont 2."""
    *records, end = _SAMPLE.iter_unpack(headers)
    waves: dict[tuple[int, int], tuple[int, NDArray[np.int16]]] = {}  # place and samples
    found, total = [], 0
    for name, start, stop, loop, loop_end, rate, key, cents, partner, kind in records:
        vorbis = bool(kind & _VORBIS)
        if (start, stop) not in waves:
            if kind & _ROM:
                wave = np.zeros(0, np.int16)
            elif vorbis:  # start and stop count bytes, the loop from the start of the sample
                wave, _ = soundfile.read(io.BytesIO(samples[start:stop]), dtype="int16")
            else:
                wave = np.frombuffer(samples[2 * start : 2 * stop], "<i2")
            waves[start, stop] = total, wave
            total += len(wave) + _GAP
        place, wave = waves[start, stop]
        after = place + len(wave)
        shift = place if vorbis else place - start
        first, last = loop + shift, loop_end + shift
        if not place <= first < last <= after:
            # no loop, which a zone may ask for all the same: it then goes round in the silence
            first, last = after, after + _GAP
        found.append(
            _SAMPLE.pack(
                *(name, place, after, first, last, rate, key, cents, partner, kind & ~_VORBIS)
            )
        )
    pieces = [part for _, wave in waves.values() for part in (wave, np.zeros(_GAP, np.int16))]
    pcm = np.concatenate([*pieces, np.zeros(_REST, np.int16)]).astype("<i2")
    return b"".join([*found, _SAMPLE.pack(*end)]), pcm


def _chunks(data: bytes, at: int = 0) -> list[tuple[bytes, bytes]]:
    """Name and content of the RIFF chunks from a place on."""
    found = []
    while at + 8 <= len(data):
        name, size = struct.unpack_from("<4sI", data, at)
        if at + 8 + size > len(data):
            raise ValueError(f"it ends within its chunk {name!r}")
        found.append((name, data[at + 8 : at + 8 + size]))
        at += 8 + size
        # chunks have an even length, but some writers of .sf3 forget to pad
        if size % 2 and data[at : at + 1] == b"\0":
            at += 1
    return found


def _chunk(name: bytes, content: bytes) -> bytes:
    return name + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2)
