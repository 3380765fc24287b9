"""The registry: priors by name, looked up in several folders one after the other."""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import platformdirs

import instglow
from instglow.errors import (
    CardError,
    InvalidName,
    PriorExists,
    PriorNotFound,
    RegistryError,
)
from instglow.registry.card import CARD, WEIGHTS, PriorCard, Source, validate_name
from instglow.registry.layer import Layer
from instglow.registry.model_card import model_card

# Priors are listed in less time than torch takes to import: only what loads or adds one needs it.
if TYPE_CHECKING:
    from instglow.prior import Prior
    from instglow.registry.weights import Storage


@dataclass(frozen=True)
class Entry:
    """A prior as the registry finds it.

    Attributes:
        name: what the user calls it.
        path: its folder.
        layer: the label of the layer that the folder is in.
        card: None where it cannot be used.
        problem: why not, in one line; None for a sound card.
        hides: folders of priors of the same name in later layers.
    """

    name: str
    path: Path
    layer: str
    card: PriorCard | None
    problem: str | None = None
    hides: tuple[Path, ...] = ()

    def require_card(self) -> PriorCard:
        """The card.

        Raises:
            CardError: says why there is none.
        """
        if self.card is None:
            raise CardError(self.problem)
        return self.card


class Registry:
    """Priors in layers of folders; of two priors of one name, that of the earlier layer counts."""

    def __init__(self, layers: Sequence[Layer]) -> None:
        first: dict[Path, Layer] = {}
        for layer in layers:
            first.setdefault(layer.path.resolve(), layer)
        self.layers = tuple(first.values())

    @classmethod
    def default(cls, extra: Path | None = None) -> Registry:
        """The folders that every command looks at; `extra` is that of `--registry`."""
        layers = [] if extra is None else [Layer(extra.expanduser(), "--registry", asked=True)]
        if named := os.environ.get("INSTGLOW_PRIORS"):
            layers.append(Layer(Path(named).expanduser(), "$INSTGLOW_PRIORS"))
        here = Path.cwd() / "priors"
        if here.is_dir():  # never created unasked: the working directory is the user's
            layers.append(Layer(here, "working directory"))
        data = platformdirs.user_data_path("instglow") / "priors"
        layers.append(Layer(data, "user data"))
        layers.append(Layer(_shipped(), "shipped", read_only=True))
        return cls(layers)

    def list(self) -> list[Entry]:
        """Every prior, by name; one with a broken card says what is wrong with it.

        Raises:
            RegistryError: where the folder asked for is missing.
        """
        self._require_asked()
        names = sorted({name for layer in self.layers for name in layer.names()})
        return [entry for name in names if (entry := self._entry(name))]

    def find(self, name: str) -> Entry:
        """The prior of that name; its card may be broken.

        Raises:
            InvalidName: for a name that cannot be one.
            PriorNotFound: where no layer has it; names the near ones.
            RegistryError: where the folder asked for is missing.
        """
        validate_name(name)
        self._require_asked()
        if entry := self._entry(name):
            return entry
        names = [entry.name for entry in self.list()]
        near = difflib.get_close_matches(name, names)
        raise PriorNotFound(
            f"no prior {name!r}; "
            + (f"near: {', '.join(near)}; " if near else "")
            + f"there are: {', '.join(names) or 'none yet'}; "
            f"`instglow add-prior {name}` adds it once it is trained"
        )

    def load(self, name: str) -> Prior:
        """Build the prior from its card and weights, on the CPU and in evaluation mode.

        Raises:
            InvalidName, PriorNotFound: see `find`.
            CardError: for a card that is broken, or does not suit its family.
            WeightsError: for weights that are missing, damaged, or do not fit the card.
            RegistryError: for a family that no installed package brings.
        """
        from instglow.registry.building import restore

        entry = self.find(name)
        try:
            return restore(entry.path, entry.require_card())
        except RegistryError:
            again = self.find(name)
            if again == entry:
                raise
            # somebody replaced the prior between our reading its card and its weights
            return restore(again.path, again.require_card())

    def destination(self) -> Layer:
        """Where `add` writes: the first layer that can be written to; the one asked for or none.

        Raises:
            RegistryError: where there is none.
        """
        for layer in self.layers:
            if layer.writable():
                return layer
            if layer.asked:
                raise RegistryError(
                    f"cannot write to {layer.label} {layer.path}; permit it or name another folder"
                )
        looked = ", ".join(str(layer.path) for layer in self.layers)
        raise RegistryError(f"cannot write to any of {looked}; name a folder with --registry")

    def require_free(self, name: str, advice: str) -> None:
        """Refuse before hours of training what `add` would refuse after them.

        Args:
            name: of the prior to be added.
            advice: how to replace one of that name, for the message.

        Raises:
            InvalidName: for a name that cannot be one.
            PriorExists: for a name that is taken.
            RegistryError: where no layer can be written to.
        """
        if taken := self._destination_of(name).folder(name):
            raise PriorExists(f"prior {name!r} is registered already in {taken}: {advice}")

    def add(
        self,
        name: str,
        prior: Prior,
        *,
        licence: str,
        trained_on: Sequence[Source] = (),
        training: Mapping[str, Any] | None = None,
        bits_per_dim: Mapping[str, float] | None = None,
        replace: bool = False,
        storage: Storage = "float32",
    ) -> Path:
        """Write a prior with its card and README.md into the first writable layer.

        A kill at any moment leaves what was there before, or the new prior.

        Args:
            name: as `validate_name` wants it.
            prior: in the form its family builds, so before `freeze`.
            licence: of the weights.
            trained_on: the recordings.
            training: settings, plain values.
            bits_per_dim: instrument -> held-out bits per dimension.
            replace: a prior of that name in the same layer.
            storage: of floating numbers; "float16" loses nothing that can be heard.

        Returns:
            The prior's folder.

        Raises:
            InvalidName: for a name that cannot be one.
            PriorExists: for a name that is taken, unless it is to be replaced.
            CardError: for an architecture or settings that are not plain values.
            WeightsError: for a prior that its family would not build, or an unknown storage.
            RegistryError, OutputError: where it cannot be written.
        """
        from instglow.registry.building import weights_and_card

        destination = self._destination_of(name)
        weights, card = weights_and_card(
            validate_name(name),
            prior,
            storage,
            licence=licence,
            trained_on=list(trained_on),
            training=dict(training or {}),
            bits_per_dim=dict(bits_per_dim or {}),
        )
        readme = model_card(card).encode(errors="backslashreplace")
        files = {WEIGHTS: weights, CARD: card.to_yaml().encode(), "README.md": readme}
        return destination.place(name, files, replace)

    def remove(self, name: str) -> Entry:
        """Delete a prior from the layer asked for, else the first that has it -> what was removed.

        What it `hides` is visible again: the first of these.

        Raises:
            InvalidName: for a name that cannot be one.
            PriorNotFound: where the layer asked for, or none, has it.
            RegistryError, OutputError: for a shipped prior, or one that cannot be deleted.
        """
        entry = self.find(name)
        layer = next(layer for layer in self.layers if layer.folder(name))
        for asked in self.layers:
            if asked.asked and asked != layer:
                raise PriorNotFound(
                    f"no prior {name!r} in {asked.label} {asked.path}; there is one in "
                    f"{entry.path}: leave out {asked.label} to remove that"
                )
        if layer.read_only:
            raise RegistryError(
                f"prior {name!r} is shipped with InstGlow ({entry.path}) and cannot be removed; "
                "one of the same name added elsewhere hides it"
            )
        layer.remove(name)
        return entry

    def _destination_of(self, name: str) -> Layer:
        destination = self.destination()
        for layer in self.layers[: self.layers.index(destination)]:
            if hiding := layer.folder(validate_name(name)):
                raise PriorExists(
                    f"prior {name!r} in {hiding} cannot be written to and would hide one added to "
                    f"{destination.path}; choose another name"
                )
        return destination

    def _require_asked(self) -> None:
        for layer in self.layers:
            if layer.asked and not layer.path.is_dir():
                raise RegistryError(
                    f"{layer.label} {layer.path}: no such folder; check the spelling or add a "
                    "prior to it first"
                )

    def _entry(self, name: str) -> Entry | None:
        hits = [(layer, folder) for layer in self.layers if (folder := layer.folder(name))]
        if not hits:
            return None
        layer, folder = hits[0]
        card, problem = None, None
        try:
            card = _read_card(name, folder)
        except (CardError, InvalidName) as error:
            problem = str(error)
        return Entry(name, folder, layer.label, card, problem, tuple(path for _, path in hits[1:]))


def _shipped() -> Path:
    package = Path(instglow.__file__).parent
    checkout = package.parent
    if (checkout / "pyproject.toml").is_file():
        return checkout / "priors"
    return package / "shipped"


def _read_card(name: str, folder: Path) -> PriorCard:
    path = folder / CARD
    try:
        validate_name(name)
        text = path.read_text(encoding="utf-8")
    except InvalidName as error:
        raise CardError(f"{folder}: {error}; rename the folder") from error
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise CardError(f"{path}: cannot be read: {reason}; add the prior again") from error
    card = PriorCard.from_yaml(text, path)
    if card.name != name:
        raise CardError(
            f"{path}: field 'name' is {card.name!r}, the folder is {name!r}; make them equal"
        )
    return card
