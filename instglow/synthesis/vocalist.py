"""Speech -> singing: one voice sings one melody.

The syllables of the speech are laid on the notes: consonants keep their speed, vowels last as
long as the note, the pitch is the melody's, and the WORLD vocoder puts all of it together again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter1d

from instglow.synthesis.melodies import Note
from instglow.synthesis.speech import FRAME, Speech, Syllable, require_vocoder

MEAN_SPECTRUM = {500: 0.0, 1200: -7.0, 2400: -14.0, 4000: -23.0, 6500: -21.5, 9500: -23.5}
"""Hz -> decibels per Hz: the mean of a few recordings of solo singing, consonants included."""


@dataclass(frozen=True)
class Singer:
    """How a voice sings, the same through one passage.

    Args:
        formants: factor on every formant frequency; a longer throat is below 1.
        breath: share of noise added to voiced sounds, 0 to 1.
        vibrato: (Hz, cents) that a long note reaches.
        glide: seconds from one pitch to the next.
        bright: decibels per octave above 500 Hz, added to the spectrum of a mean singer.
    """

    formants: float = 1.0
    breath: float = 0.1
    vibrato: tuple[float, float] = (5.5, 30.0)
    glide: float = 0.06
    bright: float = 0.0

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Singer:
        """Anyone."""
        return cls(
            formants=rng.uniform(0.88, 1.12),
            breath=rng.uniform(0, 0.35) ** 1.5,
            vibrato=(rng.uniform(4.6, 6.6), rng.uniform(10, 70)),
            glide=rng.uniform(0.03, 0.11),
            bright=rng.uniform(-2, 1.5),
        )


def lay(notes: Sequence[Note], syllables: Sequence[Syllable], frames: int) -> np.ndarray:
    """Which moment of the speech is heard in each frame of the song.

    A note starts with its vowel, so that its consonant is sung at the end of the note before.
    A note that is `tied` goes on with the vowel of the one before.

    Returns:
        (frames,) frame numbers of the speech, with fractions; -1 where nobody sings.
    """
    source = np.full(frames, -1.0)
    heads = [i for i, note in enumerate(notes) if not note.tied]
    free = 0  # the first frame that no syllable has taken
    for count, head in enumerate(heads):
        last = heads[count + 1] - 1 if count + 1 < len(heads) else len(notes) - 1
        syllable, following = syllables[count], syllables[min(count + 1, len(heads) - 1)]
        start, end = (round(t / FRAME) for t in (notes[head].start, notes[last].end))
        following_start = frames
        if count + 1 < len(heads):
            begins = round(notes[heads[count + 1]].start / FRAME)
            onset = following.vowel - following.start
            following_start = max(begins - onset, (start + 2 * begins) // 3)
        onset_start = max(free, start - (syllable.vowel - syllable.start))
        end = min(end, following_start)
        coda = min(syllable.end - syllable.coda, (end - start) // 3)
        free = min(max(end, start + 1), frames)
        place = np.arange(onset_start, free)
        corners = [start - (syllable.vowel - syllable.start), start, end - coda, end]
        if onset_start > corners[0]:  # squeezed between two short notes
            corners[0] = min(onset_start, start - 1)
        moments = [syllable.start, syllable.vowel, syllable.coda - 1, syllable.end - 1]
        source[onset_start:free] = np.interp(place, corners, moments)
    return source


def pitch_curve(
    notes: Sequence[Note], frames: int, singer: Singer, rng: np.random.Generator
) -> np.ndarray:
    """(frames,) Hz: the melody with glides, late vibrato, drift and jitter."""
    time = np.arange(frames) * FRAME
    number = np.searchsorted([note.start for note in notes], time, side="right") - 1
    number = number.clip(0)
    pitch = np.array([note.pitch for note in notes])[number]
    starts, ends = (np.array([getattr(n, k) for n in notes])[number] for k in ("start", "end"))
    entry = np.array([i == 0 or n.start - notes[i - 1].end > 0.1 for i, n in enumerate(notes)])
    scoop = entry * rng.uniform(0, 2, len(notes)) * (rng.random(len(notes)) < 0.5)
    since = (time - starts).clip(0)
    pitch = pitch - scoop[number] * np.exp(-since / 0.03)
    pitch = gaussian_filter1d(pitch, singer.glide / 4 / FRAME, mode="nearest")
    rate, cents = singer.vibrato
    late = ((since - 0.25) / 0.3).clip(0, 1) * (ends - starts > 0.45)
    phase = 2 * np.pi * rate * FRAME * np.cumsum(1 + 0.08 * _wander(frames, 0.3, rng))
    depth = cents * late * (1 + 0.3 * _wander(frames, 0.4, rng))
    drift = 8 * _wander(frames, 0.25, rng) + 3 * _wander(frames, 0.02, rng)
    return 440 * 2 ** ((pitch - 69) / 12 + (depth * np.sin(phase) + drift) / 1200)


def loudness_curve(notes: Sequence[Note], frames: int, rng: np.random.Generator) -> np.ndarray:
    """(frames,) decibels: each note swells and dies away in its own manner."""
    curve = np.zeros(frames)
    for note, following in zip(notes, [*notes[1:], None], strict=True):
        first, last = round(note.start / FRAME), min(round(note.end / FRAME), frames)
        if last - first < 2:
            continue
        part = np.linspace(0, 1, last - first)
        seconds = part * (note.end - note.start)
        level = rng.normal(0, 2) + 0.2 * (note.pitch - np.mean([n.pitch for n in notes]))
        gain = level + rng.uniform(0, 4) * np.sin(np.pi * part ** rng.uniform(0.5, 1.5)) - 2
        gain = gain - rng.uniform(0, 5) * np.exp(-seconds / 0.05) * (not note.tied)
        if following is None or following.start - note.end > 0.1:
            left = note.end - note.start - seconds
            gain = gain - rng.uniform(6, 14) * (1 - left / 0.2).clip(0)
        curve[first:last] = gain
    return gaussian_filter1d(curve, 4) + 1.5 * _wander(frames, 0.2, rng)


def sing_line(
    speech: Speech,
    notes: Sequence[Note],
    seconds: float,
    singer: Singer,
    rng: np.random.Generator,
    sample_rate: int,
) -> np.ndarray:
    """One voice sings `notes` on the syllables of `speech`.

    Returns:
        (samples,) of `sample_rate` Hz, full scale not fixed.
    """
    frames = int(seconds / FRAME)
    source = lay(notes, speech.syllables, frames)
    silent = source < 0
    place = source.clip(0)
    low = np.floor(place).astype(int).clip(0, len(speech.f0) - 1)
    high = (low + 1).clip(max=len(speech.f0) - 1)
    part = (place - low)[:, None]
    envelope = (1 - part) * speech.envelope[low] + part * speech.envelope[high]
    aperiodicity = (1 - part) * speech.aperiodicity[low] + part * speech.aperiodicity[high]
    voiced = (speech.f0[low] > 0) & (speech.f0[high] > 0) & ~silent

    frequencies = np.linspace(0, sample_rate / 2, envelope.shape[1])
    warped = np.interp(frequencies / singer.formants, frequencies, np.arange(len(frequencies)))
    below = np.floor(warped).astype(int)
    above, share = (below + 1).clip(max=len(frequencies) - 1), warped - below
    envelope = (1 - share) * envelope[:, below] + share * envelope[:, above]
    aperiodicity = (1 - share) * aperiodicity[:, below] + share * aperiodicity[:, above]

    # Vowels of speech differ in strength more than sung ones: go most of the way to the same.
    strength = np.log(np.exp(envelope).mean(1) + 1e-12)
    level = np.median(strength[voiced]) if voiced.any() else 0.0
    even = gaussian_filter1d(np.where(voiced, 0.6 * (level - strength).clip(-2, 2), 0.0), 8)
    gain = loudness_curve(notes, frames, rng)
    brighter = 0.15 * gain.clip(-10, 6)[:, None]  # singing louder is singing brighter
    octaves = np.log2(frequencies.clip(500) / 1000)
    decibels = (
        gain[:, None] + brighter * octaves + _equaliser(envelope[~silent], frequencies, singer)
    )
    edge = 2 * gaussian_filter1d((~silent).astype(float), 8) - 1  # no voice starts or stops at once
    decibels = decibels + 20 * np.log10(edge.clip(0.01, 1))[:, None]
    envelope = envelope + even[:, None] + decibels * np.log(10) / 10
    envelope[silent] = -25.0
    envelope = gaussian_filter1d(envelope, 1.0, axis=0)  # no clicks where two recordings meet

    # Above some kilohertz every throat is noisy; a vocoder's pulses would buzz there.
    floor = (0.58 * (frequencies - 3000) / 6000).clip(0, 0.58) ** 2 + singer.breath
    floor = (floor * (frequencies / 1500).clip(0.1, 1)).clip(0, 0.95)
    # Overtones reach further up in song than in speech: a clear vowel has only so much noise.
    clear = voiced & (aperiodicity[:, frequencies < 2500].mean(1) < 0.25)
    most = np.where(clear[:, None], floor + 0.3, 1.0)
    aperiodicity = np.where(voiced[:, None], aperiodicity.clip(floor, most), 1.0)
    f0 = np.where(voiced, pitch_curve(notes, frames, singer, rng), 0.0)
    parts = (f0, np.exp(envelope), aperiodicity.clip(1e-3, 1.0))
    ready = [np.ascontiguousarray(part, dtype=np.float64) for part in parts]
    wave = require_vocoder().synthesize(*ready, sample_rate, FRAME * 1000)
    samples = round(seconds * sample_rate)
    return np.pad(wave, (0, max(0, samples - len(wave))))[:samples]


def _equaliser(envelope: np.ndarray, frequencies: np.ndarray, singer: Singer) -> np.ndarray:
    """(bins,) decibels, three quarters of the way from the speaker's mean spectrum to a singer's.

    Synthesised speech is duller than singing, each voice in its own manner.
    """
    mean = 10 * np.log10(np.exp(envelope).mean(0) + 1e-12)
    centres = np.array(list(MEAN_SPECTRUM))
    levels = [mean[np.abs(np.log2(frequencies.clip(1) / f)) < 0.4].mean() for f in centres]
    octaves = np.log2(centres / centres[0])
    wanted = np.array(list(MEAN_SPECTRUM.values())) + singer.bright * octaves
    change = 0.75 * (wanted - (np.array(levels) - levels[0])).clip(-20, 26)
    return np.interp(np.log2(frequencies.clip(1) / centres[0]), octaves, change)


def _wander(frames: int, seconds: float, rng: np.random.Generator) -> np.ndarray:
    """(frames,) noise of unit variance that changes about every so many seconds."""
    smooth = gaussian_filter1d(rng.standard_normal(frames), seconds / FRAME / 2, mode="wrap")
    return smooth / (smooth.std() + 1e-12)
