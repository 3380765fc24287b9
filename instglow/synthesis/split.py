"""Which pieces and which SoundFonts are for training, and which are kept back for measuring."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import yaml

from instglow.errors import ConfigError, DataError
from instglow.synthesis.pieces import midi_files
from instglow.synthesis.rendered import find_soundfonts

SPLITS = ("train", "dev", "test")


def read_split(
    table: Path, midi_dir: Path, soundfont_dir: Path | None, split: str, instrument: str
) -> tuple[list[str], list[str]]:
    """What `render` takes as (`pieces`, `banks`) for one split and one instrument.

    Args:
        table: the rules, as configs/rendered-split.yaml has them.
        midi_dir: holds the folders of pieces that the table names.
        soundfont_dir: holds the banks; None where none is played, and `banks` are empty.
        split: "train", "dev" or "test".
        instrument: a key of `INSTRUMENTS`, or "vocals".

    Raises:
        ConfigError: for a split that is none of these, or a table without the rules.
        DataError: for a table that cannot be read, or an instrument without SoundFonts.
    """
    if split not in SPLITS:
        raise ConfigError(f"split '{split}' is none of {', '.join(SPLITS)}")
    try:
        rules = yaml.safe_load(table.read_text())
        pieces = [
            f"{folder}/{piece}"
            for folder, rule in rules["pieces"].items()
            if instrument in rule.get("instruments", [instrument])
            for piece in _pieces(midi_dir / folder, rule, split)
        ]
        held = rules.get("banks-of", {}).get(instrument, rules["banks"])
        left_out = rules.get("leave-out", {}).get(split, [])
        kept_back = {*held["dev"], *held["test"]}
    except (OSError, yaml.YAMLError) as error:
        raise DataError(f"cannot read the split {table}: {error}") from error
    except (KeyError, TypeError, AttributeError) as error:
        raise ConfigError(
            f"{table} is no table of splits ({error!r}); see configs/rendered-split.yaml"
        ) from error
    if soundfont_dir is None:
        return pieces, []
    found = [(path.parent.name, path.stem) for path in find_soundfonts(soundfont_dir, instrument)]
    return pieces, [
        name
        for bank, program in found
        if (bank in held[split] if split in held else bank not in kept_back)
        and (name := f"{bank}/{program}") not in left_out
    ]


def _pieces(folder: Path, rule: dict[str, Any], split: str) -> list[str]:
    """The files of a folder that belong to a split: by a column of its table, or by turns."""
    if "table" in rule:
        with (folder / rule["table"]).open(newline="") as file:
            rows = [r for r in csv.DictReader(file) if r[rule["split"]] == rule["names"][split]]
        return [row[rule["file"]] for row in rows]
    turns = {rule["test"]: "test", rule["dev"]: "dev"}
    files = enumerate(midi_files(folder))
    return [name for index, name in files if turns.get(index % rule["every"], "train") == split]
