"""The options of every command but `fit`: built without torch, so that a --help answers at once."""

from __future__ import annotations

import textwrap
from pathlib import Path

from instglow import plugins
from instglow.cli.outputs import outputs
from instglow.cli.parser import Parser
from instglow.names import METHODS, OWN, PRESETS
from instglow.training.configs import configs as configurations

FIGURES = (
    *("median_sdr", "mean_sdr", "median_sdr_frames", "median_si_sdr", "mean_sdr_i"),
    *("median_isr", "median_sir", "median_sar"),
)
MINUTES = 10.0
"""Of training that give a prior which separates, on two CPU cores; a GPU does more in them."""


def separate(prog: str) -> Parser:
    """`instglow separate`."""
    parser = Parser(prog=prog, description="Separate songs into one stem for each prior.")
    parser.add_argument("songs", nargs="+", type=Path, metavar="SONG")
    parser.add_argument(
        "--priors",
        required=True,
        metavar="A,B=C,...",
        help="one for each stem: the name of a registered prior, or STEM=PRIOR for a stem of "
        "another name than its prior's; see `instglow list-priors`",
    )
    parser.add_argument(
        "-o",
        "--out",
        type=Path,
        default=Path("separated"),
        metavar="DIR",
        help="stems go to DIR/<song>/<stem>.<format> (default: separated)",
    )
    parser.add_argument("--preset", default="default", help=f"{', '.join(_presets())}")
    parser.add_argument(
        "--format", choices=("wav", "flac"), default="wav", help="wav: 32-bit float; flac: 24 bits"
    )
    parser.add_argument(
        "--clip-mode",
        choices=("rescale", "clamp"),
        default="rescale",
        help="flac holds nothing above full scale: make all stems quieter by one gain, so that "
        "they still sum (default), or cut off what is above",
    )
    parser.add_argument(
        "--stream",
        type=int,
        metavar="N",
        help="which sound stream of a file that has several, from 1 (default: the first)",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace stems that exist")
    parser.add_device()
    parser.add_argument(
        "--segment",
        type=float,
        default=60.0,
        metavar="S",
        help="longest chunk in seconds, up to 60",
    )
    parser.add_argument(
        "--overlap",
        type=float,
        metavar="S",
        help="seconds that chunks fade over (default: 1, a third of a segment shorter than 3 s)",
    )
    parser.add_argument(
        "--batch-size", type=int, default=1, metavar="N", help="chunks searched side by side"
    )
    parser.add_search()
    parser.add_argument("-q", "--quiet", action="store_true", help="no progress bar")
    parser.add_registry()
    return parser


def evaluate(prog: str) -> Parser:
    """`instglow evaluate`."""
    parser = Parser(
        prog=prog,
        description="Separate songs whose true stems are known, and score the stems: global SDR, "
        "museval's median over frames of one second, SI-SDR. A run that was stopped goes on where "
        "it was.",
    )
    parser.add_argument(
        "dataset",
        type=Path,
        metavar="DATASET",
        help="MUSDB18, MUSDB18-HQ, Slakh2100, or a folder of <song>/<stem>.wav, .flac, .mp3, ...",
    )
    parser.add_argument(
        "--priors",
        metavar="A,B,...",
        help="stems to separate, by their priors, as for `instglow separate` (default: all that a "
        "song has)",
    )
    parser.add_argument(
        "--method",
        action="append",
        metavar="M",
        help=f"may be repeated: {', '.join(_methods())} (default: {OWN})",
    )
    parser.add_argument(
        "--preset", default="default", help=f"of method {OWN}: {', '.join(_presets())}"
    )
    parser.add_argument(
        "--weights",
        action="append",
        default=[],
        metavar="METHOD=FILE",
        help="checkpoint of a network (default: the newest in runs/, or its package's own)",
    )
    parser.add_argument("--json", type=Path, metavar="F", help="write all scores as JSON")
    parser.add_argument("--csv", type=Path, metavar="F", help="write all scores as CSV")
    for output in outputs("evaluate"):
        output.add_options(parser)
    parser.add_argument(
        "-o",
        "--out",
        type=Path,
        metavar="DIR",
        help="where each song's scores are kept (default: evaluations/<dataset>)",
    )
    parser.add_argument(
        "--stems",
        metavar="STEM=NAME,...",
        help="what the files of each stem are called in a folder of songs, without their endings: "
        "bass='01 - Bass (DI)',drums=Kick,drums=Snare,guitar='*gtr*',mixture=Master; or a YAML "
        "file of `stem: name` or `stem: [names]`",
    )
    parser.add_argument(
        "--align",
        action="store_true",
        help="fit files of unlike length, channels or rate to each other: pad, copy mono to every "
        "channel, resample",
    )
    parser.add_argument("--split", default="test", help="of MUSDB18 and Slakh2100 (default: test)")
    parser.add_argument(
        "--segment", type=float, default=60.0, metavar="S", help="seconds separated at once"
    )
    parser.add_argument(
        "--seconds", type=float, metavar="S", help="only the middle of each song, so long"
    )
    parser.add_argument(
        "--remix", action="store_true", help="the mixture is the sum of the chosen stems alone"
    )
    parser.add_argument(
        "--figure",
        default="median_sdr",
        choices=FIGURES,
        help="to print (default: median_sdr, the paper's)",
    )
    parser.add_argument(
        "--museval",
        action="store_true",
        help="measure museval's ISR, SIR and SAR too, which takes long",
    )
    parser.add_device()
    parser.add_search()
    parser.add_argument("-q", "--quiet", action="store_true", help="no progress bar")
    parser.add_registry()
    return parser


def likelihood(prog: str) -> Parser:
    """`instglow likelihood`."""
    parser = Parser(
        prog=prog,
        description="Measure how likely each prior finds each instrument's solos, in bits per "
        "dimension of their magnitude spectrograms, and say which priors are not discriminative: "
        "those that find solos of another instrument at least as likely as those of their own.",
    )
    parser.add_argument(
        "priors", metavar="PRIORS", help="A,B,... or INSTRUMENT=PRIOR,..., as for separate"
    )
    parser.add_argument(
        "dataset",
        type=Path,
        metavar="DATASET",
        help="a folder of <instrument>/ with recordings, or songs with their stems: MUSDB18, "
        "MUSDB18-HQ, Slakh2100, <song>/<stem>.wav",
    )
    parser.add_argument("--json", type=Path, metavar="F", help="write all figures as JSON")
    for output in outputs("likelihood"):
        output.add_options(parser)
    parser.add_argument(
        "--overwrite", action="store_true", help="replace the files of --json and --plot"
    )
    parser.add_argument(
        "--seconds", type=float, default=2.0, metavar="S", help="of a segment (default: 2)"
    )
    parser.add_argument(
        "--segments",
        type=int,
        default=100,
        metavar="N",
        help="of each instrument, spread over its recordings; 0 takes all (default: 100)",
    )
    parser.add_argument("--split", default="test", help="of MUSDB18 and Slakh2100 (default: test)")
    parser.add_argument(
        "--seed", type=int, default=0, metavar="N", help="of the noise (default: 0)"
    )
    parser.add_device()
    parser.add_argument("-q", "--quiet", action="store_true", help="no progress bar")
    parser.add_registry()
    return parser


def list_priors(prog: str) -> Parser:
    """`instglow list-priors`."""
    parser = Parser(prog=prog, description="List the priors, where they are and what they hide.")
    parser.add_json()
    parser.add_registry()
    return parser


def show_prior(prog: str) -> Parser:
    """`instglow show-prior`."""
    parser = Parser(prog=prog, description="Print the card of a prior and where it is.")
    parser.add_argument("name", metavar="NAME")
    parser.add_json()
    parser.add_registry()
    return parser


def add_prior(prog: str) -> Parser:
    """`instglow add-prior`."""
    parser = Parser(
        prog=prog,
        description="Register a prior under the name of its instrument. Without an option, the "
        "best of the newest run of `instglow fit` in ./runs/NAME; with --data, a new prior.",
    )
    parser.add_argument("name", metavar="NAME")
    source = parser.add_mutually_exclusive_group()
    source.add_argument(
        "--checkpoint", type=Path, metavar="FILE", help="a checkpoint that `instglow fit` wrote"
    )
    source.add_argument(
        "--data", type=Path, metavar="DIR", help="train on the recordings of the instrument in DIR"
    )
    source.add_argument(
        "--from-authors",
        type=Path,
        metavar="DIR",
        help="G_*.pth and config.json as the paper's authors publish them",
    )
    training = parser.add_argument_group("training (--data)")
    training.add_argument(
        "--init", metavar="PRIOR", help="start from a registered prior: minutes of one player do"
    )
    training.add_argument(
        "--minutes", type=float, metavar="M", help=f"to train for, about (default: {MINUTES:g})"
    )
    parser.add_device()
    parser.add_argument(
        "--replace", action="store_true", help="replace a registered prior of that name"
    )
    parser.add_argument(
        "--trained-on", action="append", default=[], metavar="TEXT", help="recordings, for the card"
    )
    parser.add_argument(
        "--licence", default="unstated", metavar="TEXT", help="of the weights, for the card"
    )
    parser.add_registry()
    return parser


def remove_prior(prog: str) -> Parser:
    """`instglow remove-prior`."""
    parser = Parser(prog=prog, description="Delete a prior from the first folder that has it.")
    parser.add_argument("name", metavar="NAME")
    parser.add_registry()
    return parser


def training_help(prog: str, text: str) -> str:
    """The short help of `instglow fit` and its like, whose whole parser takes Lightning seconds."""
    configs = sorted(path.stem for path in configurations().glob("*.yaml"))
    return f"""usage: {prog} --config NAME.yaml [--config ...] [--SECTION.OPTION VALUE ...]

{text.capitalize()}: Lightning's command line over the configurations that come with InstGlow,
{textwrap.fill(", ".join(configs), 98)}.

  -c, --config FILE       a YAML file, ours or yours; a later one overrides an earlier one
  -d, --device D          auto, cpu, cuda, cuda:N or mps
  --print_config          print what would be run, every option with its value
  --ckpt_path FILE        the checkpoint to go on with, or to measure
  --model.OPTION, --data.OPTION, --trainer.OPTION, --publish.OPTION and others
                          any option of the configurations; the command line wins

`{prog} --help full` lists every option."""


def _presets() -> list[str]:
    return list(dict.fromkeys((*PRESETS, *plugins.offered("instglow.presets"))))


def _methods() -> list[str]:
    return list(dict.fromkeys((*METHODS, *plugins.offered("instglow.methods"))))
