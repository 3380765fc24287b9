#!/usr/bin/env bash
# PyAV 17.1.0 on three files that are valid:
# 1. Opus: after container.seek(0) 48312 samples are decoded where the first pass gave 48000. The
#    312 samples of the encoder's delay (pre-skip) are dropped at the first start alone.
# 2. Vorbis: a file of one page, up to about half a second, is decoded with its last block whole:
#    1024 samples where 1000 were written and libsndfile reads 1000.
# 3. wav: av.open raises UnicodeDecodeError for a title in a RIFF INFO chunk with one accented
#    letter in Latin-1, for which RIFF prescribes no encoding; metadata_errors="ignore" reads it.
# What it means: decode from the start and never seek; do not count on Vorbis's last block; pass
# metadata_errors. Exits 0 while all of it is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check av==17.1.0 soundfile==0.13.1 numpy
cd "$folder"
venv/bin/python - <<'PYTHON'
from fractions import Fraction

import av
import numpy as np
import soundfile

wave = (0.1 * np.random.default_rng(0).standard_normal((2, 48000))).astype("float32")


def samples(container):
    return sum(frame.samples for frame in container.decode(audio=0))


with av.open("a.opus", "w") as container:
    stream = container.add_stream("libopus", rate=48000)
    stream.layout = "stereo"
    frame = av.AudioFrame.from_ndarray(wave, "fltp", "stereo")
    frame.sample_rate, frame.time_base, frame.pts = 48000, Fraction(1, 48000), 0
    container.mux([*stream.encode(frame), *stream.encode(None)])
with av.open("a.opus") as container:
    first = samples(container)
    container.seek(0)
    second = samples(container)
print(f"Opus of 48000 samples: {first} at first, {second} after seek(0)")

soundfile.write("a.ogg", wave[:, :1000].T, 48000)
with av.open("a.ogg") as container:
    vorbis = samples(container)
print(f"Vorbis of 1000 samples: PyAV {vorbis}, libsndfile {len(soundfile.read('a.ogg')[0])}")

with soundfile.SoundFile("a.wav", "w", 48000, 2, "PCM_16") as file:
    file.title = "XXXX"
    file.write(wave.T)
with open("a.wav", "rb") as file:
    content = file.read()
with open("a.wav", "wb") as file:
    file.write(content.replace(b"XXXX", "Cafè".encode("latin-1")))
try:
    av.open("a.wav").close()
    title = "read"
except UnicodeDecodeError as error:
    title = f"UnicodeDecodeError: {error}"
av.open("a.wav", metadata_errors="ignore").close()
print(f"wav with a title in Latin-1: {title}")

as_found = (first, second, vorbis) == (48000, 48312, 1024) and title.startswith("Unicode")
raise SystemExit(0 if as_found else 1)
PYTHON
