"""The card of a prior: what it is, what it was trained on, and how its file must look."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path, PurePath
from reprlib import repr as short
from typing import Any

import yaml

from instglow.audio.frontend import Frontend
from instglow.errors import CardError, ConfigError, InvalidName

FORMAT = 2
"""1 had no `storage`."""
CARD = "card.yaml"
WEIGHTS = "weights.safetensors"
NAME = r"[a-z0-9][a-z0-9_-]{0,63}"


def validate_name(name: str) -> str:
    """The name itself where it is one; a name becomes a folder and must never be a path."""
    if not isinstance(name, str) or not re.fullmatch(NAME, name):
        raise InvalidName(
            f"{short(name)} is no name for a prior: use lower case letters, digits, '-' and '_', "
            "a letter or digit first, at most 64 characters"
        )
    return name


@dataclass(frozen=True)
class Source:
    """Recordings that a prior was trained on.

    Args:
        name: of the dataset or collection.
        hours: of sound used; None where nobody counted.
        licence: of the recordings.
        note: anything else, in words.
    """

    name: str
    hours: float | None
    licence: str
    note: str = ""


@dataclass(frozen=True)
class PriorCard:
    """All there is to know of a prior besides its weights.

    Args:
        name: what the user calls it; also the name of its folder.
        family: the entry point that offers its class.
        architecture: arguments of that class beside the frontend; plain values.
        frontend: the spectrogram it was trained on.
        sha256: of the weights file, 64 hexadecimal digits.
        trained_on: the recordings.
        licence: of the weights.
        instglow: the version that made it.
        parameters: how many numbers were learnt.
        training: settings; plain values.
        bits_per_dim: instrument -> held-out bits per dimension; lower is likelier. May be empty.
        weights: the file's name, in the card's folder.
        storage: in what the file holds floating numbers, such as "float16"; None where a card of
            format 1 does not say.
        format: of the card.
    """

    name: str
    family: str
    architecture: dict[str, Any]
    frontend: Frontend
    sha256: str
    trained_on: list[Source]
    licence: str
    instglow: str
    parameters: int
    training: dict[str, Any] = field(default_factory=dict)
    bits_per_dim: dict[str, float] = field(default_factory=dict)
    weights: str = WEIGHTS
    storage: str | None = "float32"
    format: int = FORMAT

    def to_dict(self) -> dict[str, Any]:
        """Plain values in the order in which the card shows them."""
        values = asdict(self)
        return {key: values[key] for key in _ORDER if values[key] is not None}

    def to_yaml(self) -> str:
        """The text of `card.yaml`; the inverse of `from_yaml`."""
        # ASCII: PyYAML writes some line breaks of Unicode bare, which come back as spaces
        return yaml.safe_dump(self.to_dict(), sort_keys=False, allow_unicode=False, width=100)

    @classmethod
    def from_yaml(cls, text: str, where: str | Path) -> PriorCard:
        """Read a card and check every field; `where` is the file that errors name."""
        try:
            return cls._from_values(yaml.safe_load(text), str(where))
        except yaml.YAMLError as error:
            raise CardError(
                f"{where}: not YAML: {_complaint(error)}; correct it by hand"
            ) from error
        except (RecursionError, ValueError, OverflowError) as error:
            reason = " ".join(str(error).split())
            raise CardError(f"{where}: not YAML of a card: {reason}; correct it by hand") from error

    @classmethod
    def _from_values(cls, values: Any, where: str) -> PriorCard:
        if not isinstance(values, dict):
            raise CardError(f"{where}: a card is a mapping of fields, not {short(values)}")
        read = _Reader(where, values)
        version = read.whole("format", 1)
        if version > FORMAT:
            # before anything else is looked at: a newer format may hold fields unknown here
            raise CardError(
                f"{where}: format {version} is newer than this InstGlow (format {FORMAT}); upgrade"
            )
        read.no_others(_ORDER)
        return cls(
            format=version,
            name=read.name(),
            family=read.text("family"),
            architecture=read.mapping("architecture"),
            frontend=read.frontend(),
            weights=read.matching(
                "weights", r"[\w-][\w.-]*\.safetensors", f"a name like {WEIGHTS}"
            ),
            storage=read.text("storage") if version > 1 or "storage" in values else None,
            sha256=read.matching("sha256", r"[0-9a-f]{64}", "64 hexadecimal digits"),
            trained_on=read.sources(),
            licence=read.text("licence"),
            training=read.mapping("training"),
            instglow=read.text("instglow"),
            bits_per_dim=read.numbers("bits_per_dim"),
            parameters=read.whole("parameters", 0),
        )


_ORDER = (
    *("format", "name", "family", "architecture", "frontend", "weights", "storage", "sha256"),
    *("parameters", "trained_on", "licence", "training", "instglow", "bits_per_dim"),
)


def plain(value: Any, where: str, path: str) -> Any:
    """The value in what YAML can say (tuples become lists); errors say that `path` is at fault."""
    fault = f"{where}: field '{path}'"
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, (str, PurePath)):
        return str(value)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise CardError(f"{fault} is {value}; it must be a finite number")
        return float(value)
    if isinstance(value, (list, tuple)):
        return [plain(item, where, f"{path}[{index}]") for index, item in enumerate(value)]
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise CardError(f"{fault} has the key {short(key)}; keys are text, so quote it")
        return {key: plain(item, where, f"{path}.{key}") for key, item in value.items()}
    raise CardError(
        f"{fault} is {short(value)} ({type(value).__name__}); "
        "a card holds text, numbers, lists and mappings only"
    )


def _complaint(error: yaml.YAMLError) -> str:
    """PyYAML's several lines as part of one."""
    problem, mark = getattr(error, "problem", None), getattr(error, "problem_mark", None)
    if problem and mark:
        return f"{problem} in line {mark.line + 1}"
    return " ".join(str(error).split())


@dataclass(frozen=True)
class _Reader:
    """Takes fields out of a mapping, one kind of value a method; `within` leads to a nested one."""

    where: str
    values: dict[Any, Any]
    within: str = ""

    def label(self, key: object) -> str:
        return f"{self.where}: field '{self.within}{key}'"

    def take(self, key: str) -> Any:
        if key not in self.values:
            raise CardError(f"{self.label(key)} is missing; write it in, or add the prior again")
        return self.values[key]

    def wrong(self, key: str, wanted: str) -> CardError:
        return CardError(f"{self.label(key)} is {short(self.values[key])}; it must be {wanted}")

    def no_others(self, known: tuple[str, ...]) -> None:
        for key in self.values:
            if key not in known:
                near = difflib.get_close_matches(str(key), known, n=1)
                hint = f"did you mean {near[0]!r}?" if near else "take it out"
                raise CardError(f"{self.label(key)} is unknown; {hint}")

    def text(self, key: str) -> str:
        value = self.take(key)
        if not isinstance(value, str) or not value.strip():
            raise self.wrong(key, "text (in quotes, should it look like a number or a date)")
        return value

    def matching(self, key: str, pattern: str, wanted: str) -> str:
        value = self.take(key)
        if not isinstance(value, str) or not re.fullmatch(pattern, value):
            raise self.wrong(key, wanted)
        return value

    def whole(self, key: str, least: int) -> int:
        value = self.take(key)
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise self.wrong(key, f"a whole number, at least {least}")
        return value

    def number(self, key: str) -> float:
        value = self.take(key)
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise self.wrong(key, "a number")
        if not math.isfinite(value):
            raise self.wrong(key, "a finite number")
        return float(value)

    def mapping(self, key: str) -> dict[str, Any]:
        if not isinstance(self.take(key), dict):
            raise self.wrong(key, "a mapping ({} for none)")
        mapping: dict[str, Any] = plain(self.values[key], self.where, f"{self.within}{key}")
        return mapping

    def numbers(self, key: str) -> dict[str, float]:
        inner = _Reader(self.where, self.mapping(key), f"{key}.")
        return {name: inner.number(name) for name in inner.values}

    def name(self) -> str:
        try:
            return validate_name(self.take("name"))
        except InvalidName as error:
            raise CardError(f"{self.label('name')}: {error}") from error

    def frontend(self) -> Frontend:
        inner = _Reader(self.where, self.mapping("frontend"), "frontend.")
        known = tuple(part.name for part in fields(Frontend))
        inner.no_others(known)
        try:
            return Frontend(**{key: inner.whole(key, 1) for key in known})
        except ConfigError as error:
            raise CardError(f"{self.label('frontend')}: {error}") from error

    def sources(self) -> list[Source]:
        items = self.take("trained_on")
        if not isinstance(items, list):
            raise self.wrong("trained_on", "a list of sources ([] for none)")
        return [self.source(index, item) for index, item in enumerate(items)]

    def source(self, index: int, item: Any) -> Source:
        within = f"trained_on[{index}]"
        if not isinstance(item, dict):
            raise CardError(
                f"{self.label(within)} is {short(item)}; it must be a mapping of name, hours, "
                "licence and note"
            )
        read = _Reader(self.where, item, f"{within}.")
        read.no_others(("name", "hours", "licence", "note"))
        hours = None if read.take("hours") is None else read.number("hours")
        if hours is not None and hours < 0:
            raise read.wrong("hours", "0 or more, or null where nobody counted")
        note = read.take("note")
        if not isinstance(note, str):
            raise read.wrong("note", "text ('' for none)")
        return Source(read.text("name"), hours, read.text("licence"), note)
