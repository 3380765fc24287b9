"""SoundFonts that tests make themselves, and a MIDI file that mido cannot read."""

import io
import struct
from pathlib import Path

import numpy as np
import soundfile

RATE = 44100


def tone(seconds: float = 2.0, decay: float = 1.0, frequency: float = 440.0) -> np.ndarray:
    """(samples,) int16: four harmonics of MIDI note 69 that fall by e in so many seconds."""
    time = np.arange(round(seconds * RATE)) / RATE
    wave = sum(np.sin(2 * np.pi * n * frequency * time) / n for n in range(1, 5))
    return np.round(0.3 * np.exp(-time / decay) * wave * 32767).astype(np.int16)


def write_soundfont(
    path: Path,
    wave: np.ndarray | None = None,
    program: int | None = None,
    padded: bool = True,
    loop: tuple[int, int] | None = None,
) -> Path:
    """NNN.sf2 or NNN.sf3 with one preset, that of its name unless another program is given.

    Args:
        path: its ending says whether the sample is compressed.
        wave: (samples,) int16, of MIDI note 69.
        program: of the preset.
        padded: whether chunks of odd length are, as the format demands and not all writers do.
        loop: its first sample and the one after its last, played round and round while a key is
            held; None for a zone that asks for no loop.
    """
    wave = tone() if wave is None else wave
    number = int(path.stem) if program is None else program
    bank, program = (128, 0) if number == 128 else (0, number)
    compressed = path.suffix == ".sf3"
    content, end, kind = wave.astype("<i2").tobytes(), len(wave), 1
    if compressed:
        file = io.BytesIO()
        soundfile.write(file, wave, RATE, format="OGG", subtype="VORBIS")
        content, kind = file.getvalue(), 1 | 0x10
        end = len(content)
        content += b"\0" * (1 - end % 2)  # odd

    def chunk(name: bytes, body: bytes) -> bytes:
        rest = b"\0" * (len(body) % 2) if padded else b""
        return name + struct.pack("<I", len(body)) + body + rest

    def records(layout: str, *rows: tuple) -> bytes:
        return b"".join(struct.pack(layout, *row) for row in rows)

    preset, last = (b"Tone", program, bank, 0, 0, 0, 0), (b"EOP", 0, 0, 1, 0, 0, 0)
    first, after = loop or (8, len(wave) - 8)
    sample = (b"Tone", 0, end, first, after, RATE, 69, 0, 0, kind)
    tables = {
        b"phdr": records("<20sHHHIII", preset, last),
        b"pbag": records("<HH", (0, 0), (1, 0)),
        b"pmod": bytes(10),
        b"pgen": records("<HH", (41, 0), (0, 0)),  # instrument 0
        b"inst": records("<20sH", (b"Tone", 0), (b"EOI", 1)),
        b"ibag": records("<HH", (0, 0), (2, 0)),
        b"imod": bytes(10),
        b"igen": records("<HH", (54, int(loop is not None)), (53, 0), (0, 0)),  # mode; sample 0
        b"shdr": records("<20sIIIIIBbHH", sample, (b"EOS", *[0] * 9)),
    }
    body = b"sfbk" + chunk(
        b"LIST", b"INFO" + chunk(b"ifil", struct.pack("<HH", 3 if compressed else 2, 1))
    )
    body += chunk(b"LIST", b"sdta" + chunk(b"smpl", content))
    body += chunk(b"LIST", b"pdta" + b"".join(chunk(*table) for table in tables.items()))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(chunk(b"RIFF", body))
    return path


def odd_key(path: Path) -> Path:
    """A MIDI file in a key of nine flats, which the format allows and mido does not."""
    track = bytes([0, 0xFF, 0x59, 2, 0xF7, 0, 0, 0xFF, 0x2F, 0])
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(
        b"MThd" + struct.pack(">IHHH", 6, 0, 1, 480) + b"MTrk" + struct.pack(">I", 10) + track
    )
    return path
