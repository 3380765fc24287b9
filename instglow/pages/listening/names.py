"""Names of files that any disk, browser and web server takes as they are."""

from __future__ import annotations

import itertools
import re
import unicodedata

_LONGEST = 60  # characters; file systems end at 255, some archives at 100 for the whole path


class FileNames:
    """The names of one folder: lower case letters, digits and '-', no two alike."""

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def new(self, text: str) -> str:
        """A name that reminds of the text.

        >>> names = FileNames()
        >>> names.new("Déjà vu / AC&DC"), names.new("deja vu, ac dc"), names.new("../歌")
        ('deja-vu-ac-dc', 'deja-vu-ac-dc-2', 'untitled')
        """
        letters = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
        base = re.sub("[^a-z0-9]+", "-", letters)[:_LONGEST].strip("-") or "untitled"
        numbered = (f"{base}-{number}" for number in itertools.count(2))
        name = next(name for name in itertools.chain([base], numbered) if name not in self._taken)
        self._taken.add(name)
        return name
