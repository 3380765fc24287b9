#!/usr/bin/env bash
# musdb 0.4.3 (stempeg 0.2.6) with FFmpeg's programs, on a song as .stem.mp4, which is AAC: what it
# returns as float64 went through 16-bit integers (musdb asks stempeg for "s16le", whose default is
# "f32le"). So samples are multiples of 2^-15, and what AAC decodes to above full scale, as loud
# masters do, is cut off: references and mixture are clipped, and no longer sum where they are.
# What it means: a reader that is to equal musdb's must round and clip as well.
# Exits 0 while it is so. Needs the programs ffmpeg and ffprobe, without which musdb has no import.
set -euo pipefail
command -v ffmpeg > /dev/null && command -v ffprobe > /dev/null || { echo "install FFmpeg" >&2; exit 2; }
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check musdb==0.4.3 stempeg==0.2.6 numpy \
  soundfile==0.13.1
cd "$folder"
venv/bin/python - <<'PYTHON'
import subprocess
from pathlib import Path

import musdb
import numpy as np
import soundfile

Path("songs/test").mkdir(parents=True)
time = np.arange(88200) / 44100
square = 0.999 * np.sign(np.sin(2 * np.pi * 220 * time))  # AAC overshoots at every edge
inputs = []
for stem in ("mixture", "drums", "bass", "other", "vocals"):
    soundfile.write(f"{stem}.wav", np.stack([square, square], 1), 44100, "FLOAT")
    inputs += ["-i", f"{stem}.wav"]
maps = [word for stream in range(5) for word in ("-map", str(stream))]
song = "songs/test/A - One.stem.mp4"
subprocess.run(
    ["ffmpeg", "-v", "error", *inputs, *maps, "-c:a", "aac", "-b:a", "256k", song], check=True
)
plain = subprocess.run(
    ["ffmpeg", "-v", "error", "-i", song, "-map", "0:0", "-f", "f32le", "-"],
    check=True,
    capture_output=True,
).stdout
decoded = np.frombuffer(plain, "<f4")
(track,) = musdb.DB("songs", subsets="test").tracks
audio = track.audio
whole = bool((audio * 2**15 == np.round(audio * 2**15)).all())
print(f"decoded: peak {np.abs(decoded).max():.4f}")
print(f"musdb: {audio.dtype}, peak {np.abs(audio).max():.4f}, multiples of 2^-15: {whole}")
as_found = audio.dtype == np.float64 and whole and np.abs(audio).max() <= 1 < np.abs(decoded).max()
raise SystemExit(0 if as_found else 1)
PYTHON
