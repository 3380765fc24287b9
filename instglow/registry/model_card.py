"""The README.md of a prior, written from its card."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import yaml

from instglow.registry.card import PriorCard, Source


def model_card(card: PriorCard) -> str:
    """Markdown for people: what the prior is, how to use it, where it comes from, its limits."""
    return (
        "\n\n".join(
            (
                f"# {card.name}",
                _summary(card),
                _use(card),
                "## Trained on\n\n" + _sources(card.trained_on),
                "## Settings\n\n" + _settings(card),
                "## Bits per dimension\n\n" + _bits(card),
                "## Limits\n\n" + _limits(card),
            )
        )
        + "\n"
    )


def confusion(name: str, bits_per_dim: Mapping[str, float]) -> str | None:
    """What to say of a prior that finds another instrument at least as likely as its own.

    Args:
        name: of the prior.
        bits_per_dim: instrument -> held-out bits per dimension. The own instrument is that of the
            prior's name, else the first.

    Returns:
        One line, or None where there is nothing to say.

    >>> confusion("guitar", {"guitar": 1.5, "piano": 1.25, "bass": 2.0})
    "prior 'guitar' finds piano likelier than guitar: 1.250 against 1.500 bits per dimension; it \
may not tell them apart"
    """
    own = name if name in bits_per_dim else next(iter(bits_per_dim), name)
    others = {
        other: bits
        for other, bits in sorted(bits_per_dim.items(), key=lambda item: item[1])
        if other != own and bits <= bits_per_dim[own]
    }
    if not others:
        return None
    figures = " and ".join(f"{bits:.3f}" for bits in others.values())
    comparison = "likelier than" if min(others.values()) < bits_per_dim[own] else "as likely as"
    return (
        f"prior {name!r} finds {' and '.join(others)} {comparison} {own}: {figures} against "
        f"{bits_per_dim[own]:.3f} bits per dimension; it may not tell them apart"
    )


def _summary(card: PriorCard) -> str:
    return (
        "A generative prior of the magnitude spectrograms of one instrument, for music source "
        f"separation with InstGlow. Family `{card.family}`, {card.parameters:,} parameters, "
        f"made with InstGlow {card.instglow}. Licence of the weights: {card.licence}."
    )


def _use(card: PriorCard) -> str:
    return f"""## Use

```
instglow separate song.wav --priors {card.name},OTHERS
```

```python
from instglow.registry import Registry

prior = Registry.default().load("{card.name}")
```"""


def _sources(sources: list[Source]) -> str:
    if not sources:
        return "Not recorded."
    rows = [
        (
            source.name,
            "unknown" if source.hours is None else f"{source.hours:g}",
            source.licence,
            source.note,
        )
        for source in sources
    ]
    return _table(("recordings", "hours", "licence", "note"), rows)


def _settings(card: PriorCard) -> str:
    settings = {
        "frontend": card.frontend.to_dict(),
        "architecture": card.architecture,
        "training": card.training,
    }
    return f"```yaml\n{yaml.safe_dump(settings, sort_keys=False, allow_unicode=True)}```"


def _bits(card: PriorCard) -> str:
    if not card.bits_per_dim:
        return "Not measured."
    rows = [(instrument, f"{bits:.3f}") for instrument, bits in card.bits_per_dim.items()]
    table = _table(("instrument", "bits"), rows)
    doubt = confusion(card.name, card.bits_per_dim)
    warning = f"\n\n**{doubt[0].upper()}{doubt[1:]}.**" if doubt else ""
    return f"On held-out recordings; lower is likelier.\n\n{table}{warning}"


def _limits(card: PriorCard) -> str:
    frontend = card.frontend
    return "\n".join(
        (
            f"- It models one channel at {frontend.sample_rate} Hz, so nothing above "
            f"{frontend.sample_rate / 2:g} Hz; phase is not modelled at all.",
            "- It can share a search only with priors of the same frontend: "
            f"n_fft {frontend.n_fft}, hop_length {frontend.hop_length}.",
            "- Playing, instruments or recording conditions unlike those it was trained on are "
            "explained less well, and part of them may end up in another stem.",
            "- Bits per dimension compare priors of the same frontend only.",
        )
    )


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join("| " + " | ".join(map(_cell, line)) + " |" for line in lines)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
