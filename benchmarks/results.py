"""`make results`: every method on the same songs, from scratch, into docs/results.md.

    python benchmarks/results.py data MIDI SOUNDFONTS       # solos, and songs to measure on
    python benchmarks/results.py train [--only NAME ...]    # what does not ship
    python benchmarks/results.py measure [--songs DIR ...]  # instglow evaluate
    python benchmarks/results.py write                      # docs/results.md

Each step keeps what it finds done; all of them together are `make results`.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import torch
from provenance import DOCUMENTS, sign, stamp
from results_page import headline, page

from instglow.synthesis.rendered import render
from instglow.synthesis.split import read_split

ROOT = Path(__file__).resolve().parents[1]
BAND = ("bass", "drums", "guitar", "piano")
MINUTES, SEED = 100.0, 0  # as the shipped priors: configs/recordings/rendered.yaml
RUNS = Path("runs")
PRIORS = RUNS / "priors"
OUT = Path("evaluations")
MEASURED = OUT / "made-from.txt"
"""What the last whole measurement was made from."""
RENDERED = Path("data/rendered-test")
DEV = Path("data/rendered-dev")

NETWORKS = ("wave-u-net", "conv-tasnet", "hdemucs", "openunmix", "demucs", "mask-net")
OPENING, CLOSING = "<!-- headline: written by make results -->", "<!-- end -->"
TRAINING = {
    # name of the run -> arguments of `instglow fit`; in this order, for one starts from another
    **{name: ["--config", f"{name}.yaml"] for name in NETWORKS},
    "musicglow": ["--config", "musicglow.yaml"],
    **{
        f"{stem}-gan": [
            *("--config", f"{stem}.yaml", "--config", "gan.yaml"),
            *("--model.instrument", f"{stem}-gan"),
        ]
        for stem in BAND
    },
    "lq-vae-codec": ["--config", "lq-vae-codec.yaml"],
    **{
        f"{stem}-lq-vae": [
            *("--config", f"{stem}.yaml", "--config", "lq-vae.yaml"),
            *("--model.instrument", f"{stem}-lq-vae"),
        ]
        for stem in ("drums", "piano")
    },
}
METHODS = (
    *("mixture", "mixture-share", "nmf", "gan-prior", "musicglow", "paper", "paper-map"),
    *("fast", "instglow", *NETWORKS, "ideal-ratio-mask", "ideal-magnitude"),
)
ALL = ("mixture-share", "nmf", "fast", "instglow", "ideal-ratio-mask")
EXAMPLE = ("mixture-share", "nmf", "instglow", "ideal-ratio-mask")
DUO = ("mixture-share", "nmf", "lq-vae", "instglow", "ideal-ratio-mask")
GAMMAS = (0.01, 0.1)
# From the middle of each song. Short, because the paper's search takes 150 iterations on two cores.
RENDERED_SECONDS, REAL_SECONDS, SHORTEST = (
    ("--seconds", "5"),
    ("--seconds", "6"),
    ("--seconds", "1"),
)


def data(arguments: argparse.Namespace) -> None:
    table = ROOT / "configs" / "rendered-split.yaml"
    for stem in BAND:
        pieces, banks = read_split(table, arguments.midi, arguments.soundfonts, "train", stem)
        out = Path("data") / stem
        render(stem, arguments.midi, arguments.soundfonts, out, MINUTES, SEED, banks, pieces)
    make = [sys.executable, str(ROOT / "benchmarks" / "make_example.py")]
    for split, out in (("test", RENDERED), ("dev", DEV)):
        if not out.exists():
            songs = [str(arguments.midi), str(arguments.soundfonts)]
            subprocess.run([*make, *songs, "--split", split, "--out", str(out)], check=True)


def train(arguments: argparse.Namespace) -> None:
    for name, options in TRAINING.items():
        done = RUNS / name / "minutes.json"
        if done.exists() or (arguments.only and name not in arguments.only):
            continue
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        instglow(
            *("fit", *options, "--trainer.logger", "false", "--publish.registry", str(PRIORS)),
            *("--publish.replace", "true"),
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        done.write_text(json.dumps({"cpu_minutes": seconds / 60}) + "\n")


def measure(arguments: argparse.Namespace) -> None:
    methods, chosen = arguments.method or METHODS, bool(arguments.method)
    band = ("--priors", ",".join(BAND))
    if not chosen:
        evaluate(DEV, "dev-gamma-0", ("paper",), *band, *SHORTEST)
    for gamma in () if chosen else GAMMAS:
        weight = ("--latent-weight", str(gamma))
        evaluate(DEV, f"dev-gamma-{gamma:g}", ("paper-map",), *band, *SHORTEST, *weight)
    evaluate(RENDERED, "rendered", methods, *band, *RENDERED_SECONDS)
    for folder in arguments.songs:
        evaluate(folder, folder.resolve().name, methods, *band, "--remix", *REAL_SECONDS)
    if chosen:
        return
    evaluate(RENDERED, "duo", DUO, "--priors", "drums,piano", "--remix", *RENDERED_SECONDS)
    evaluate(Path("examples"), "example", EXAMPLE, *band, *REAL_SECONDS)
    for folder in arguments.songs:
        evaluate(folder, f"{folder.resolve().name}-all", ALL, *REAL_SECONDS)
    MEASURED.write_text(stamp(DOCUMENTS["docs/results.md"], ROOT))


def evaluate(songs: Path, name: str, methods: tuple[str, ...], *options: str) -> None:
    """One `instglow evaluate` for each method: a method that fails does not cost the others."""
    for method in methods:
        folder = OUT / name
        instglow(
            *("evaluate", str(songs), "--method", method, "--out", str(folder), *options),
            *("--json", str(folder / f"{method}.json"), "--registry", str(PRIORS)),
            check=False,
        )


def instglow(*arguments: str, check: bool = True) -> None:
    print("$ instglow", *arguments, flush=True)
    environment = {**os.environ, "INSTGLOW_PRIORS": str(PRIORS)}
    command = [sys.executable, "-m", "instglow.cli.main", *arguments]
    subprocess.run(command, check=check, env=environment)


def write(arguments: argparse.Namespace) -> None:
    if not MEASURED.exists():
        raise SystemExit("nothing was measured as a whole yet: benchmarks/results.py measure")
    likelihood = OUT / "likelihood"
    if not likelihood.with_suffix(".json").exists():
        instglow(
            *("likelihood", ",".join(BAND), str(RENDERED), "--overwrite"),
            *("--json", str(likelihood.with_suffix(".json")), "--plot", "docs/likelihood.png"),
        )
        sign(Path("docs/likelihood.png"))
    results, readme = Path("docs/results.md"), Path("README.md")
    results.write_text(page(OUT, RUNS, MINUTES, SEED))
    measured = MEASURED.read_text()
    sign(results, line=measured)
    before, rest = readme.read_text().split(OPENING)
    after = rest[rest.index(CLOSING) :]
    readme.write_text(f"{before}{OPENING}\n{headline(OUT)}\n{after}")
    sign(readme, line=measured)


def main() -> None:
    torch.set_num_threads(1)
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    steps = parser.add_subparsers(required=True)
    step = steps.add_parser("data")
    step.add_argument("midi", type=Path)
    step.add_argument("soundfonts", type=Path)
    step.set_defaults(run=data)
    step = steps.add_parser("train")
    step.add_argument("--only", nargs="*", choices=TRAINING)
    step.set_defaults(run=train)
    step = steps.add_parser("measure")
    step.add_argument("--songs", nargs="*", type=Path, default=[])
    step.add_argument("--method", nargs="*")
    step.set_defaults(run=measure)
    step = steps.add_parser("write")
    step.set_defaults(run=write)
    arguments = parser.parse_args()
    try:
        arguments.run(arguments)
    except subprocess.CalledProcessError as error:  # it has said what is wrong
        raise SystemExit(error.returncode) from error


if __name__ == "__main__":
    main()
