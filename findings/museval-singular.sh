#!/bin/sh
# museval 0.4.1 and stems whose correlation matrix has no inverse: a mono stem written as stereo
# (equal channels), opposite channels, and two proportional stems, all valid recordings.
#
# Seen with NumPy 2.4: `bss_eval` catches numpy.linalg.linalg.LinAlgError, a module that NumPy 2.4
# no longer has, so that the handler itself raises AttributeError and one stem ends an evaluation.
# A stem of opposite channels is refused as all zeros (ValueError), because channels are summed before
# museval looks; a frame of such is NaN, and with it those of every other stem.
# Only errors are raised; nothing crashes.
# Exit status: 0 while it behaves so, 1 once that changes. Needs python3, ffmpeg and ffprobe.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check museval==0.4.1 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import numpy as np
from museval.metrics import bss_eval

print("museval 0.4.1, NumPy", np.__version__)
left, right = np.random.default_rng(0).standard_normal((2, 8000)) / 10
cases = {
    "equal channels": ([left, left], [right, left]),
    "proportional stems": ([left, right], [2 * left, 2 * right]),
    "opposite channels": ([left, -left], [right, left]),
}
seen = {}
for name, stems in cases.items():
    true = np.stack([np.stack(channels, 1) for channels in stems])  # (stems, samples, channels)
    estimates = true + 0.01 * np.random.default_rng(1).standard_normal(true.shape)
    try:
        sdr, *_ = bss_eval(true, estimates, window=4000, hop=4000, filters_len=1)
        seen[name] = "all NaN" if np.isnan(sdr).all() else "scored"
    except Exception as error:
        seen[name] = f"{type(error).__name__}: {error}"
    print(f"{name}: {seen[name]}")
singular = "AttributeError: module 'numpy.linalg' has no attribute 'linalg'"
assert seen["equal channels"] == seen["proportional stems"] == singular
assert seen["opposite channels"].startswith("ValueError: All the reference sources should be non-si")
PYTHON
