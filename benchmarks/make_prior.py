"""`make prior`: a shipped prior again from scratch, exactly as its card says.

    python benchmarks/make_prior.py guitar --midi DIR --soundfonts DIR
    python benchmarks/make_prior.py vocals --midi DIR
    python benchmarks/make_prior.py guitar --midi DIR --soundfonts DIR --card

configs/shipped/<name>.yaml says how: the recordings, and legs of training, each of which starts
from the one before. What is made to train on is kept in data/, what the legs publish in
runs/shipped/, the last in priors/. `--card` trains nothing: it makes the recordings, counts their
hours and writes them, and what the recipe says of the earlier legs, into the card that is there.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from instglow.cli.main import main as instglow
from instglow.errors import InstGlowError
from instglow.files import write_text
from instglow.registry.card import CARD, PriorCard, Source
from instglow.registry.model_card import model_card
from instglow.synthesis.synthesised import Rendered, Sung

ROOT = Path(__file__).resolve().parents[1]
RECIPES = ROOT / "configs" / "shipped"
RECORDINGS, SPEECH = Path("data/rendered"), Path("data/speech")
RUNS = Path("runs/shipped")
PRIORS = Path("priors")
SAMPLE_RATE = 22050
SOURCES = {"rendered": Rendered, "sung": Sung}


@dataclasses.dataclass(frozen=True)
class Recipe:
    """How a shipped prior is made: what configs/shipped/<name>.yaml says.

    Attributes:
        name: of the prior.
        instrument: whose recordings it hears.
        recordings: where they come from, and whose they are: a file of configs/recordings.
        configs: that every leg starts from, as `instglow fit --config` finds them.
        legs: what each changes.
        storage: of the weights that the last leg publishes.
    """

    name: str
    instrument: str
    recordings: str
    configs: list[str]
    legs: list[dict[str, Any]]
    storage: str = "float16"

    @classmethod
    def read(cls, name: str) -> Recipe:
        """That of a prior, one of `RECIPES`."""
        return cls(name=name, **yaml.safe_load((RECIPES / f"{name}.yaml").read_text()))

    def about(self) -> dict[str, Any]:
        """What configs/recordings says of what it hears."""
        path = ROOT / "configs" / "recordings" / f"{self.recordings}.yaml"
        about: dict[str, Any] = yaml.safe_load(path.read_text())
        return about

    def source(self, midi: Path, soundfonts: Path | None) -> dict[str, Any]:
        """Arguments of the source of recordings."""
        found = {**self.about()["source"]["init_args"], "midi": str(midi)}
        found["split"] = str(ROOT / found["split"])
        found["folder"] = str(RECORDINGS)
        if self.recordings == "rendered":
            return {**found, "instrument": self.instrument, "soundfonts": str(soundfonts)}
        return {**found, "speech": str(SPEECH)}

    def leg(self, index: int) -> dict[str, Any]:
        """What one leg adds to the configurations, recordings apart."""
        leg = self.legs[index]
        model = {**leg["model"], "instrument": self.name}
        if index:
            model |= {"init": self.name, "registry": str(RUNS)}
        last = index + 1 == len(self.legs)
        publish = {"replace": True, "registry": str(PRIORS if last else RUNS)}
        if last:
            publish["storage"] = self.storage
        trainer = {**leg["trainer"], "logger": False}
        return {"model": model, "trainer": trainer, "publish": publish}


def settings(values: dict[str, Any]) -> dict[str, Any]:
    """What a card records of a leg's training, read off all that the leg's run is told."""
    model, data = values["model"]["init_args"], values["data"]["init_args"]
    started = {key: model[key] for key in ("init", "frozen")} if model["init"] else {}
    clutter = {"clutter": model["clutter"]} if model["clutter"] else {}
    return {
        "learning_rate": model["learning_rate"],
        "augmentation": model["augmentation"],
        "seed": model["seed"],
        "steps": values["trainer"]["max_steps"],
        "batch_size": data["batch_size"],
        "seconds": data["seconds"],
        "precision": str(values["trainer"]["precision"] or "32-true"),
        **started,
        **clutter,
    }


def parsed(recipe: Recipe, index: int, folder: Path) -> dict[str, Any]:
    """All that `instglow fit` is told in a leg, which is written to the folder."""
    path = folder / f"{recipe.name}-{index + 1}.yaml"
    write_text(path, yaml.safe_dump(recipe.leg(index)))
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        if status := instglow(["fit", *files(recipe, path), "--print_config"]):
            raise SystemExit(status)
    values: dict[str, Any] = yaml.safe_load(printed.getvalue())
    return values


def files(recipe: Recipe, leg: Path) -> list[str]:
    """The options that name configurations."""
    return [word for name in (*recipe.configs, str(leg)) for word in ("--config", name)]


def make_recordings(recipe: Recipe, midi: Path, soundfonts: Path | None) -> None:
    """What the prior hears; what is there already is kept."""
    script = str(ROOT / "benchmarks" / "make_speech.py")
    for folder, speech in recipe.about().get("speech", {}).items():
        options = ["--minutes", str(speech["minutes"]), "--seed", str(speech["seed"])]
        command = [sys.executable, script, str(SPEECH / folder), *options, "--voices"]
        subprocess.run([*command, *speech["voices"]], check=True)
    source = SOURCES[recipe.recordings](**recipe.source(midi, soundfonts))
    list(source.recordings("train", SAMPLE_RATE))


def hours(about: dict[str, Any], manifest: dict[str, Any]) -> list[Source]:
    """What the card says of the recordings; what was not heard is left out.

    Args:
        about: as `Recipe.about`.
        manifest: of the recordings to train on, which rendering wrote; {} for singing.
    """
    found = []
    for source in about["trained_on"]:
        if "speech" in source:
            minutes = about["speech"][source["speech"]]["minutes"]
        elif "pieces" in source or "banks" in source:
            minutes = sum(
                entry["seconds"] / 60
                for entry in manifest["recordings"]
                if entry["piece"].split("/")[0] in source.get("pieces", ())
                or entry["bank"] in source.get("banks", ())
            )
        else:
            minutes = about["source"]["init_args"]["minutes"]
        if minutes:
            words = {key: source[key] for key in ("name", "licence", "note") if key in source}
            found.append(Source(hours=round(minutes / 60, 2), **words))
    return found


def trained_on(recipe: Recipe) -> list[Source]:
    """What the card says of the recordings that are in data/."""
    path = RECORDINGS / recipe.instrument / "train" / "manifest.json"
    manifest = json.loads(path.read_text()) if recipe.recordings == "rendered" else {}
    return hours(recipe.about(), manifest)


def amend(folder: Path, recipe: Recipe, heard: list[Source]) -> None:
    """Write hours and earlier legs into a card, and the model card anew."""
    card = PriorCard.from_yaml((folder / CARD).read_text(), folder / CARD)
    earlier = [settings(parsed(recipe, index, RUNS)) for index in range(len(recipe.legs) - 1)]
    training = {**card.training, **({"earlier_legs": earlier} if earlier else {})}
    card = dataclasses.replace(card, trained_on=heard, training=training)
    write_text(folder / CARD, card.to_yaml())
    write_text(folder / "README.md", model_card(card))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    names = sorted(path.stem for path in RECIPES.glob("*.yaml"))
    parser.add_argument("name", choices=names, help="of a shipped prior")
    parser.add_argument("--midi", type=Path, required=True, help="holds freedoom/ and groove/")
    parser.add_argument("--soundfonts", type=Path, help="holds the banks")
    parser.add_argument("--card", action="store_true", help="correct the card, train nothing")
    arguments = parser.parse_args()
    recipe = Recipe.read(arguments.name)
    if recipe.recordings == "rendered":
        if arguments.soundfonts is None:
            parser.error(f"{recipe.name} is trained on MIDI × SoundFonts: give --soundfonts")
        make_recordings(recipe, arguments.midi, arguments.soundfonts)
    elif not arguments.card:
        make_recordings(recipe, arguments.midi, None)
    heard = trained_on(recipe)
    kind = recipe.about()["source"]["class_path"]
    source = recipe.source(arguments.midi, arguments.soundfonts)
    for index in () if arguments.card else range(len(recipe.legs)):
        leg = recipe.leg(index) | {"data": {"source": {"class_path": kind, "init_args": source}}}
        leg["publish"]["licence"] = recipe.about()["licence"]
        leg["publish"]["trained_on"] = [dataclasses.asdict(source) for source in heard]
        path = RUNS / f"{recipe.name}-{index + 1}.yaml"
        write_text(path, yaml.safe_dump(leg))
        fit = [sys.executable, "-m", "instglow.cli.main", "fit", *files(recipe, path)]
        subprocess.run(fit, check=True)
    amend(PRIORS / recipe.name, recipe, heard)


if __name__ == "__main__":
    try:
        main()
    except InstGlowError as mistake:
        print(f"make_prior: {mistake}", file=sys.stderr)
        sys.exit(2)
    except subprocess.CalledProcessError as failed:  # it has said what is wrong
        sys.exit(failed.returncode)
