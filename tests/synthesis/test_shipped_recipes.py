"""Every shipped prior has a recipe, and the recipe is what its card says."""

import sys
from pathlib import Path

import pytest

from instglow.registry.card import CARD, PriorCard

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "benchmarks"))

import make_prior  # noqa: E402 - a script, not a package
from make_prior import Recipe, hours, parsed, settings  # noqa: E402

NAMES = sorted(path.parent.name for path in (ROOT / "priors").glob(f"*/{CARD}"))


def card(name: str) -> PriorCard:
    path = ROOT / "priors" / name / CARD
    return PriorCard.from_yaml(path.read_text(), path)


@pytest.mark.parametrize("name", NAMES)
def test_a_recipe_gives_what_the_card_says(name, tmp_path):
    shipped, recipe = card(name), Recipe.read(name)
    legs = [parsed(recipe, index, tmp_path) for index in range(len(recipe.legs))]
    *earlier, last = map(settings, legs)
    training = dict(shipped.training)
    assert training.pop("earlier_legs", []) == earlier
    # older cards know fewer changes, and call that of the level otherwise
    changes = training.pop("augmentation", {"level": training.pop("level_jitter", None)})
    assert {key: value for key, value in last.pop("augmentation").items() if value} == {
        key: value for key, value in changes.items() if value
    }
    assert training == last

    prior = legs[-1]["model"]["init_args"]["prior"]["init_args"]
    said = {**shipped.architecture, "frontend": shipped.frontend.to_dict()}
    # 0: as many channels as the spectrogram needs
    known = {key for key in said if prior.get(key)}
    assert {key: prior[key] for key in known} == {key: said[key] for key in known}
    registries = [leg["publish"]["registry"] for leg in legs]
    assert registries == [str(make_prior.RUNS)] * len(earlier) + [str(make_prior.PRIORS)]


@pytest.mark.parametrize("name", NAMES)
def test_the_card_names_the_recordings_of_the_recipe_with_their_hours(name):
    shipped, about = card(name), Recipe.read(name).about()
    assert shipped.licence == about["licence"]
    said = {source["name"]: source["licence"] for source in about["trained_on"]}
    for source in shipped.trained_on:
        assert said[source.name] == source.licence
        assert source.hours
        assert source.hours <= round(about["source"]["init_args"]["minutes"] / 60, 2) + 0.01


def test_hours_are_counted_by_piece_and_bank_and_what_was_not_heard_is_left_out():
    about = {
        "trained_on": [
            {"name": "Songs", "licence": "MIT", "pieces": ["songs"]},
            {"name": "Drums", "licence": "MIT", "pieces": ["drums"]},
            {"name": "Banks", "licence": "CC0", "banks": ["a", "b"]},
        ]
    }
    manifest = {
        "recordings": [
            {"piece": "songs/x.mid", "bank": bank, "seconds": seconds}
            for bank, seconds in (("a", 1800), ("b", 900), ("c", 900))
        ]
    }
    found = {source.name: source.hours for source in hours(about, manifest)}
    assert found == {"Songs": 1.0, "Banks": 0.75}
