"""Spoken lyrics from the speech synthesisers on PATH: what `instglow.synthesis.singing` sings with.

    python benchmarks/make_speech.py OUT --minutes 40 --seed 0 [--voices flite-slt espeak-en-us+f2]

writes OUT/<voice>/<number>.wav, a few sentences each, and OUT/manifest.json. The texts are
assembled here from word lists, so there is nothing to license but the voices. The same seed and
voices give the same texts; what is there already is kept.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile

from instglow.files import replacing, write_text

# The default voices are those whose licence asks for attribution at most (flite, festival's CMU
# voices) or whose output a licence does not reach (espeak-ng is a formant synthesiser).
VOICES = {
    "flite": ["kal16", "awb", "rms", "slt"],
    "festival": ["cmu_us_slt_arctic_hts"],
    "espeak": ["en-us+f2", "en-gb+f4", "en-us+m3", "it+f5", "es+m7", "en-us+klatt2"],
}
PROGRAM = {"flite": "flite", "festival": "text2wave", "espeak": "espeak-ng"}

ADJECTIVES = "yellow|lonely|silver|shallow|open|hollow|golden|early|warm|slow|blue|narrow|easy"
ADJECTIVES += "|holy|mellow|little|gentle|weary|evening|summer|morning|faraway|burning|falling"
NOUNS = "moon|river|window|shadow|meadow|mountain|ocean|highway|fire|morning|heart|city|stone"
NOUNS += "|voice|name|garden|valley|island|sailor|mirror|story|winter|road|rainbow|shoulder"
VERBS = "follow|remember|leave|know|show|hold|call|believe|carry|borrow|lose|need|hear|find"
VERBS += "|love|allow|fear|draw|share|wake|chase|deny|forgive|fool|join|move|ride|save|teach"
ENDS = "all alone|so low|far away|in the snow|over again|all the way home|by the sea|under the rain"
ENDS += "|for you and me|like a child|before the dawn|without a sound|through the door|any more"
CRIES = "oh oh oh|la la la la|yeah yeah|ooh my love|hey now|na na na na|ah ah ah|oh my|whoa oh"
CRIES += "|baby baby|hallelujah|no no no|my oh my|la lee lo la|mama oh mama|i o e a u"
ONSETS = "|l|m|n|r|v|w|y|b|d|g|s|sh|t|f|h|st|br"
NUCLEI = "a|e|i|o|oo|ay|ee|ow|ai|ah"
PATTERNS = [
    "{cry}, {verb} the {adjective} {noun}, {end}.",
    "I will {verb} you, my {noun}, {cry}.",
    "We {verb} a {adjective} {noun} {end}, {cry}, {cry}.",
    "Who will {verb} the {noun} of your {adjective} {noun2}?",
    "{cry}, and the {adjective} {noun} will {verb} me {end}.",
    "You and I, we {verb} and we {verb2} {end}.",
    "{nonsense}, {cry}, {nonsense2}.",
    "Never {verb} the {noun}, never {verb2} the {adjective} {noun2}, {cry}.",
    "Where are you now, {adjective} {noun}? {cry}!",
]


def sentence(rng: np.random.Generator) -> str:
    """One line of lyrics."""

    def draw(words: str) -> str:
        choices = words.split("|")
        return choices[rng.integers(len(choices))]

    def nonsense() -> str:
        syllables = [draw(ONSETS) + draw(NUCLEI) for _ in range(rng.integers(4, 8))]
        return " ".join("".join(syllables[i : i + 2]) for i in range(0, len(syllables), 2))

    return PATTERNS[rng.integers(len(PATTERNS))].format(
        cry=draw(CRIES),
        verb=draw(VERBS),
        verb2=draw(VERBS),
        adjective=draw(ADJECTIVES),
        noun=draw(NOUNS),
        noun2=draw(NOUNS),
        end=draw(ENDS),
        nonsense=nonsense(),
        nonsense2=nonsense(),
    )


def by_flite(voice: str, text: str, path: Path, rate: float) -> None:
    stretch = f"duration_stretch={1 / rate:.3f}"
    command = ["flite", "-voice", voice, "--setf", stretch, "-t", text, "-o", str(path)]
    subprocess.run(command, check=True, capture_output=True)


def by_espeak(voice: str, text: str, path: Path, rate: float) -> None:
    command = ["espeak-ng", "-v", voice, "-s", str(int(150 * rate)), "-w", str(path), text]
    subprocess.run(command, check=True, capture_output=True)


def by_festival(voice: str, text: str, path: Path, rate: float) -> None:
    stretch = f"(Parameter.set 'Duration_Stretch {1 / rate:.3f})"
    command = ["text2wave", "-eval", f"(voice_{voice})", "-eval", stretch, "-o", str(path)]
    subprocess.run(command, check=True, capture_output=True, input=text.encode())


SPEAKERS: dict[str, Callable[[str, str, Path, float], None]] = {
    "flite": by_flite,
    "espeak": by_espeak,
    "festival": by_festival,
}


def make_speech(out: Path, minutes: float, seed: int, voices: list[str]) -> dict[str, float]:
    """Speak until there are so many minutes, every voice in turn; seconds of each voice."""
    seconds = dict.fromkeys(voices, 0.0)
    number = 0
    while sum(seconds.values()) < 60 * minutes:
        for voice in voices:
            rng = np.random.default_rng([seed, number])
            text = " ".join(sentence(rng) for _ in range(3))
            rate = float(rng.uniform(0.8, 1.1))
            path = out / voice / f"{number:05}.wav"
            number += 1
            if not path.exists():
                program, name = voice.split("-", 1)
                with replacing(path) as beside:
                    SPEAKERS[program](name, text, beside, rate)
            seconds[voice] += soundfile.info(path).duration
    manifest = {"seed": seed, "seconds": {voice: round(s, 1) for voice, s in seconds.items()}}
    write_text(out / "manifest.json", json.dumps(manifest, indent=2) + "\n")
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--minutes", type=float, default=40)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--voices", nargs="+", help="<program>-<voice>, program one of " + str(PROGRAM)
    )
    options = parser.parse_args()
    found = [name for name, program in PROGRAM.items() if shutil.which(program)]
    voices = options.voices or [f"{name}-{voice}" for name in found for voice in VOICES[name]]
    missing = sorted({voice.split("-", 1)[0] for voice in voices} - set(found))
    if missing or not voices:
        sys.exit(
            f"no {' and no '.join(missing or ['speech synthesiser'])} on PATH; "
            "install one: apt-get install flite espeak-ng festival festvox-us-slt-hts"
        )
    try:
        seconds = make_speech(options.out, options.minutes, options.seed, voices)
    except subprocess.CalledProcessError as error:
        said = error.stderr.decode(errors="replace").strip().splitlines()
        sys.exit(f"{error.cmd[0]} failed: {said[-1] if said else 'no message'}")
    for voice, spoken in seconds.items():
        print(f"{voice:40} {spoken / 60:6.1f} min")


if __name__ == "__main__":
    main()
