import pytest

from instglow.cli.stem_files import stem_files
from instglow.errors import ConfigError


def test_a_mapping_file(tmp_path):
    path = tmp_path / "names.yaml"
    path.write_text("Bass: '01 - Bass (DI)'\ndrums: [Kick, 'Snare, top']\n")
    assert stem_files(str(path)) == {"bass": ["01 - Bass (DI)"], "drums": ["Kick", "Snare, top"]}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("bass", "is not STEM=NAME"),
        ("bass=", "is not STEM=NAME"),
        ("../bass=a", "cannot be the name of a stem"),
        ("nowhere.yaml", "No such file"),
    ],
)
def test_what_is_no_mapping_is_refused(text, reason):
    with pytest.raises(ConfigError, match=reason):
        stem_files(text)


@pytest.mark.parametrize(
    "content", ["", "- a", "bass: 3", "bass: [1]", "bass: []", "a: [b", "7: b"]
)
def test_a_file_without_names_is_refused_in_one_line(tmp_path, content):
    path = tmp_path / "names.yml"
    path.write_text(content)
    with pytest.raises(ConfigError, match="--stems") as error:
        stem_files(str(path))
    assert "\n" not in str(error.value)
