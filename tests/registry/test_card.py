import dataclasses

import pytest
import yaml

from instglow.audio.frontend import Frontend
from instglow.errors import CardError, InvalidName
from instglow.registry.card import PriorCard, Source, plain, validate_name
from instglow.registry.model_card import model_card

CARD = PriorCard(
    name="guitar",
    family="glow",
    architecture={"steps": 12, "amplitude": {"kind": "power", "exponent": 0.5}, "groups": [4, 4]},
    frontend=Frontend(22050, 1024, 256),
    sha256="0f" * 32,
    trained_on=[
        Source("GuitarSet", 3.0, "CC BY 4.0", "hexaphonic | mixed"),
        Source("ours", None, "CC0"),
    ],
    licence="CC BY 4.0",
    instglow="0.1.0",
    parameters=28_000_000,
    training={"steps": 1000, "learning_rate": 1e-5, "seed": None, "tf32": True},
    bits_per_dim={"guitar": -3.25, "bass": 1e20},
)


def changed(**values):
    """The card's text with some fields changed; `...` takes a field out."""
    fields = {**CARD.to_dict(), **values}
    return yaml.safe_dump({key: value for key, value in fields.items() if value is not ...})


def test_yaml_round_trip_is_the_identity():
    assert PriorCard.from_yaml(CARD.to_yaml(), "card.yaml") == CARD
    assert PriorCard.from_yaml(CARD.to_yaml(), "card.yaml").to_yaml() == CARD.to_yaml()


@pytest.mark.parametrize(
    "text",
    ["yes", "1.0", "2024-01-01", "null", " a: b #c", "naïve\nGlow\x85", "'\"", "~", "\ud800"],
)
def test_text_that_looks_like_something_else_survives(text):
    card = dataclasses.replace(
        CARD, licence=text, training={text: text}, trained_on=[Source(text, 1.5, text, text)]
    )
    assert PriorCard.from_yaml(card.to_yaml(), "card.yaml") == card


def test_fields_come_in_a_stable_order():
    assert list(yaml.safe_load(CARD.to_yaml())) == [
        *("format", "name", "family", "architecture", "frontend", "weights", "storage"),
        *("sha256", "parameters", "trained_on", "licence", "training", "instglow", "bits_per_dim"),
    ]
    assert set(CARD.to_dict()) == {field.name for field in dataclasses.fields(PriorCard)}


def test_a_card_of_format_1_says_no_storage():
    card = PriorCard.from_yaml(changed(format=1, storage=...), "card.yaml")
    assert card.storage is None
    assert PriorCard.from_yaml(card.to_yaml(), "card.yaml") == card


def test_whole_numbers_of_hours_are_read_as_numbers():
    text = changed(
        trained_on=[{"name": "a", "hours": 3, "licence": "CC0", "note": ""}],
        bits_per_dim={"guitar": 2},
    )
    card = PriorCard.from_yaml(text, "card.yaml")
    assert isinstance(card.trained_on[0].hours, float)
    assert isinstance(card.bits_per_dim["guitar"], float)


@pytest.mark.parametrize("field", list(CARD.to_dict()))
def test_every_field_is_needed(field):
    with pytest.raises(CardError) as caught:
        PriorCard.from_yaml(changed(**{field: ...}), "p/card.yaml")
    assert str(caught.value) == (
        f"p/card.yaml: field '{field}' is missing; write it in, or add the prior again"
    )


SOURCE = {"name": "a", "hours": 1.0, "licence": "CC0", "note": ""}
WHOLE = "; it must be a whole number, at least "
TEXT = "; it must be text (in quotes, should it look like a number or a date)"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"format": 3, "new": 1}, "format 3 is newer than this InstGlow (format 2); upgrade"),
        ({"format": 0}, "field 'format' is 0" + WHOLE + "1"),
        ({"format": True}, "field 'format' is True" + WHOLE + "1"),
        ({"format": "1"}, "field 'format' is '1'" + WHOLE + "1"),
        ({"colour": 1}, "field 'colour' is unknown; take it out"),
        ({"license": "MIT"}, "field 'license' is unknown; did you mean 'licence'?"),
        (
            {"name": "../x"},
            "field 'name': '../x' is no name for a prior: use lower case letters, digits, '-' and "
            "'_', a letter or digit first, at most 64 characters",
        ),
        ({"family": 3}, "field 'family' is 3" + TEXT),
        ({"licence": " "}, "field 'licence' is ' '" + TEXT),
        ({"instglow": 0.1}, "field 'instglow' is 0.1" + TEXT),
        (
            {"architecture": [1]},
            "field 'architecture' is [1]; it must be a mapping ({} for none)",
        ),
        (
            {"architecture": {1: 2}},
            "field 'architecture' has the key 1; keys are text, so quote it",
        ),
        (
            {"training": {"rate": {"of": [float("nan")]}}},
            "field 'training.rate.of[0]' is nan; it must be a finite number",
        ),
        (
            {"frontend": {"sample_rate": 22050, "n_fft": 1024}},
            "field 'frontend.hop_length' is missing; write it in, or add the prior again",
        ),
        (
            {"frontend": {"sample_rate": 22050.5, "n_fft": 1024, "hop_length": 256}},
            "field 'frontend.sample_rate' is 22050.5" + WHOLE + "1",
        ),
        (
            {"frontend": {"sample_rate": 22050, "n_fft": 1024, "hop_length": 256, "win": 1}},
            "field 'frontend.win' is unknown; take it out",
        ),
        (
            {"frontend": {"sample_rate": 22050, "n_fft": 1024, "hop_length": 600}},
            "field 'frontend': hop_length 600 is more than half of n_fft 1024: such a spectrogram "
            "cannot be inverted; use a shorter hop",
        ),
        (
            {"weights": "../weights.safetensors"},
            "field 'weights' is '../weights.safetensors'; it must be a name like "
            "weights.safetensors",
        ),
        ({"weights": "model.pt"}, "'model.pt'; it must be a name like weights.safetensors"),
        ({"sha256": "0F" * 32}, "; it must be 64 hexadecimal digits"),
        ({"sha256": 5}, "field 'sha256' is 5; it must be 64 hexadecimal digits"),
        ({"trained_on": "GuitarSet"}, "is 'GuitarSet'; it must be a list of sources ([] for none)"),
        (
            {"trained_on": ["a"]},
            "field 'trained_on[0]' is 'a'; it must be a mapping of name, hours, licence and note",
        ),
        (
            {"trained_on": [SOURCE, {**SOURCE, "hours": -1}]},
            "field 'trained_on[1].hours' is -1; it must be 0 or more, or null where nobody counted",
        ),
        (
            {"trained_on": [{**SOURCE, "hours": "three"}]},
            "field 'trained_on[0].hours' is 'three'; it must be a number",
        ),
        (
            {"trained_on": [{**SOURCE, "hours": float("inf")}]},
            "field 'trained_on[0].hours' is inf; it must be a finite number",
        ),
        (
            {"trained_on": [{**SOURCE, "note": None}]},
            "field 'trained_on[0].note' is None; it must be text ('' for none)",
        ),
        ({"trained_on": [{**SOURCE, "url": "x"}]}, "'trained_on[0].url' is unknown; take it out"),
        ({"bits_per_dim": {"bass": "low"}}, "field 'bits_per_dim.bass' is 'low'; it must be a num"),
        ({"bits_per_dim": {"bass": float("-inf")}}, "'bits_per_dim.bass' is -inf; it must be a fi"),
        ({"bits_per_dim": {"bass": 10**400}}, "p/card.yaml: not YAML of a card: int too large"),
        ({"parameters": -1}, "field 'parameters' is -1" + WHOLE + "0"),
        ({"parameters": 1.5}, "field 'parameters' is 1.5" + WHOLE + "0"),
    ],
)
def test_a_wrong_field_is_named_with_its_value_and_a_remedy(values, message):
    with pytest.raises(CardError) as caught:
        PriorCard.from_yaml(changed(**values), "p/card.yaml")
    assert message in str(caught.value)
    assert str(caught.value).startswith("p/card.yaml: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "a card is a mapping of fields, not None"),
        ("- a", "a card is a mapping of fields, not ['a']"),
        (
            "a: [",
            "not YAML: expected the node content, but found '<stream end>' in line 1; correct",
        ),
        ("a: b\nc: d: e", "not YAML: mapping values are not allowed here in line 2; correct it"),
        ("a: \x07", "not YAML: unacceptable character #x0007: special characters are not allowed"),
        ("a: 2024-13-45", "not YAML of a card: month must be in 1..12; correct it by hand"),
        ("a: !!python/object/apply:os.getcwd []", "not YAML: could not determine a constructor"),
        ("[" * 5000, "not YAML of a card: maximum recursion depth exceeded"),
        ("format: 1\narchitecture: &a {b: *a}", "field 'name' is missing"),
    ],
)
def test_what_is_no_card_is_an_error_of_one_line(text, message):
    with pytest.raises(CardError) as caught:
        PriorCard.from_yaml(text, "p/card.yaml")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_card_that_contains_itself_is_an_error():
    text = changed(training=...) + "training: &a {b: *a}\n"
    with pytest.raises(CardError, match=r"p/card.yaml: not YAML of a card: maximum recursion"):
        PriorCard.from_yaml(text, "p/card.yaml")


def test_plain_turns_tuples_into_lists_and_refuses_objects():
    assert plain({"a": (1, 2.5, ("b",))}, "prior 'x'", "training") == {"a": [1, 2.5, ["b"]]}
    message = r"^prior 'x': field 'training.a' is .* \(complex\); a card holds text, numbers, lists"
    with pytest.raises(CardError, match=message):
        plain({"a": 1j}, "prior 'x'", "training")


@pytest.mark.parametrize("name", ["a", "0", "bass", "e-guitar_2", "x" * 64])
def test_names(name):
    assert validate_name(name) == name


@pytest.mark.parametrize(
    "name",
    ["", "../x", "Guitar", "a/b", ".x", "-x", "_x", "a b", "a\n", "é", "x" * 65, "a\\b", None],
)
def test_what_is_no_name(name):
    with pytest.raises(InvalidName) as caught:
        validate_name(name)
    rule = "use lower case letters, digits, '-' and '_', a letter or digit first, at most 64"
    assert rule in str(caught.value)
    assert repr(name)[:8] in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_model_card_tells_where_a_prior_comes_from():
    text = model_card(CARD)
    assert text.startswith("# guitar\n")
    assert "| GuitarSet | 3 | CC BY 4.0 | hexaphonic \\| mixed |" in text
    assert "| ours | unknown | CC0 |  |" in text
    assert "Licence of the weights: CC BY 4.0." in text
    assert "28,000,000 parameters" in text
    assert "nothing above 11025 Hz" in text
    assert "| guitar | -3.250 |" in text
    assert "learning_rate: 1.0e-05" in text
    bare = model_card(dataclasses.replace(CARD, trained_on=[], bits_per_dim={}))
    assert "Not recorded." in bare
    assert "Not measured." in bare
