#!/usr/bin/env bash
# symusic 0.5.8: Synthesizer.render plays a note of velocity 20 exactly as loud as one of 127.
#
# A SoundFont's default modulator (SoundFont 2.04, section 8.4.1) lowers a note of velocity 20 by
# some 32 dB. Seen on 28 November 2026 with Python 3.11, Linux x86-64:
#   symusic 0.5.8: peak at velocity 127: -18.1 dB, at 20: -18.1 dB
# Exit status 0 while that is so, 1 once the levels differ.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check symusic==0.5.8 numpy==2.2.6
"$folder/venv/bin/python" - "$folder/tone.sf2" <<'PYTHON'
import struct
import sys
from importlib.metadata import version

import numpy as np
from symusic import Note, Score, Synthesizer, Track

RATE = 44100
wave = (0.5 * np.sin(2 * np.pi * 440 * np.arange(2 * RATE) / RATE) * 32767).astype("<i2")


def chunk(name, body):
    return name + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2)


def records(layout, *rows):
    return b"".join(struct.pack(layout, *row) for row in rows)


sample = (b"Tone", 0, len(wave), 8, len(wave) - 8, RATE, 69, 0, 0, 1)
tables = {
    b"phdr": records("<20sHHHIII", (b"Tone", 0, 0, 0, 0, 0, 0), (b"EOP", 0, 0, 1, 0, 0, 0)),
    b"pbag": records("<HH", (0, 0), (1, 0)),
    b"pmod": bytes(10),
    b"pgen": records("<HH", (41, 0), (0, 0)),
    b"inst": records("<20sH", (b"Tone", 0), (b"EOI", 1)),
    b"ibag": records("<HH", (0, 0), (1, 0)),
    b"imod": bytes(10),
    b"igen": records("<HH", (53, 0), (0, 0)),
    b"shdr": records("<20sIIIIIBbHH", sample, (b"EOS", *[0] * 9)),
}
about = chunk(b"ifil", struct.pack("<HH", 2, 4))
about += chunk(b"isng", b"EMU8000\0") + chunk(b"INAM", b"Tone\0\0")
body = b"sfbk" + chunk(b"LIST", b"INFO" + about)
body += chunk(b"LIST", b"sdta" + chunk(b"smpl", wave.tobytes() + bytes(92)))
body += chunk(b"LIST", b"pdta" + b"".join(chunk(*table) for table in tables.items()))
with open(sys.argv[1], "wb") as file:
    file.write(chunk(b"RIFF", body))


def level(velocity):
    score, track = Score(480), Track("", 0, False)
    track.notes.append(Note(0, 960, 69, velocity))
    score.tracks.append(track)
    played = np.asarray(Synthesizer(sys.argv[1], RATE, 0).render(score, True))
    return 20 * np.log10(np.abs(played).max() + 1e-9)


loud, soft = level(127), level(20)
print(f"symusic {version('symusic')}: peak at velocity 127: {loud:.1f} dB, at 20: {soft:.1f} dB")
sys.exit(int(not loud - soft < 1))
PYTHON
