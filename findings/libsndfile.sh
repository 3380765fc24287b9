#!/usr/bin/env bash
# libsndfile 1.2.2 (soundfile 0.13.1) on three files that are valid:
# 1. mp3 of variable bit rate without a Xing header, which the format does not demand: it tells a
#    length that it guesses from the first frame, and reading ends there, without an error: a quarter
#    is lost of ten seconds that are loud first and then soft.
# 2. wav whose data chunk has size 0, as recorders leave it that write the size at the end and were
#    switched off: no frames, no error; FFmpeg reads them all.
# 3. wav shorter than its header says, as an interrupted copy leaves it: it opens as a shorter file
#    and says so in the text of extra_info alone ("should be").
# What it means: mp3 is for FFmpeg; 0 frames are not always none; extra_info is to be read.
# Exits 0 while all of it is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check av==17.1.0 soundfile==0.13.1 numpy
cd "$folder"
venv/bin/python - <<'PYTHON'
import av
import numpy as np
import soundfile


def by_ffmpeg(name):
    with av.open(name) as container:
        return sum(frame.samples for frame in container.decode(audio=0))


def by_libsndfile(name):
    return len(soundfile.read(name)[0])


rate = 44100
wave = 0.2 * np.random.default_rng(0).standard_normal((10 * rate, 2))
wave[: 5 * rate] *= 1e-4
wave = wave[::-1].copy()
soundfile.write("a.mp3", wave, rate, bitrate_mode="VARIABLE", compression_level=0.0)
with open("a.mp3", "rb") as file:
    content = file.read()
start = content.index(b"Xing")
frame = content.index(b"\xff\xfb", start)  # the frame after the one that holds the header
with open("b.mp3", "wb") as file:
    file.write(content[frame:])
mp3 = by_ffmpeg("b.mp3"), by_libsndfile("b.mp3")
print("mp3 without Xing header: FFmpeg %d samples, libsndfile %d" % mp3)

soundfile.write("a.wav", wave, rate, "PCM_16")
with open("a.wav", "rb") as file:
    content = file.read()
place = content.index(b"data") + 4
with open("b.wav", "wb") as file:
    file.write(content[:place] + bytes(4) + content[place + 4 :])
zero = by_ffmpeg("b.wav"), by_libsndfile("b.wav")
print("wav with data size 0: FFmpeg %d samples, libsndfile %d" % zero)

with open("c.wav", "wb") as file:
    file.write(content[: len(content) // 2])
with soundfile.SoundFile("c.wav") as file:
    short = file.frames
    log = [line for line in file.extra_info.splitlines() if "should be" in line]
print(f"wav cut in half: {short} samples, {log}")

as_found = (
    abs(mp3[0] - len(wave)) < 4000
    and mp3[1] < 0.9 * mp3[0]
    and zero == (len(wave), 0)
    and 0 < short < len(wave)
    and log
)
raise SystemExit(0 if as_found else 1)
PYTHON
