from __future__ import annotations

import contextlib
import string

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from endoscope.configuration import Configuration, expand, has_reference, is_reference, read
from endoscope.errors import SettingsError

TEXT = """\
host: value
plugins:
  other: [1, 2]
  experimental_diagnostics:
    enabled: true
    listen: "127.0.0.1:8089"
    allowed_hosts:
      - a.example
      - b.example
    memory:
      keep_dumps: 5
"""


def test_the_section_below_plugins(write):
    found = read(write(TEXT))
    assert found.prefix == "plugins.experimental_diagnostics"
    assert found.values["allowed_hosts"] == ["a.example", "b.example"]
    assert found.values["memory"] == {"keep_dumps": 5}


def test_the_section_at_the_top(write):
    found = read(write("experimental_diagnostics: {enabled: true}\n"))
    assert found.prefix == "experimental_diagnostics"
    assert found.values == {"enabled": True}


def test_every_key_has_its_line(write):
    path = write(TEXT)
    found = read(path)
    assert found.place(("enabled",)) == f"{path}:5"
    assert found.place(("allowed_hosts", 1)) == f"{path}:9"
    assert found.place(("memory", "keep_dumps")) == f"{path}:11"
    assert found.place(("memory", "unheard_of")) == f"{path}:10", "its nearest ancestor"
    assert found.place(("unheard_of",)) == str(path)
    assert Configuration().place(("enabled",)) == "configuration"


@pytest.mark.parametrize("empty", ["", "~", "{}"])
def test_an_empty_section_is_one(write, empty):
    assert read(write(f"experimental_diagnostics: {empty}\n")).values == {}


@pytest.mark.parametrize(
    "text", ["", "\n", "# nothing\n", "other: 1\n", "[1, 2]\n", "text\n", "plugins:\n"]
)
def test_a_file_without_the_section(write, text):
    with pytest.raises(SettingsError, match=r"has no section `plugins\.experimental_diagnostics`"):
        read(write(text))


def test_both_sections_are_one_too_many(write):
    text = TEXT + "experimental_diagnostics:\n  enabled: false\n"
    with pytest.raises(SettingsError, match=r"both .*line 5.*line 13"):
        read(write(text))


@pytest.mark.parametrize("value", ["true", "[1]", '"text"'])
def test_a_section_that_is_no_mapping(write, value):
    with pytest.raises(SettingsError, match="`experimental_diagnostics` is not a mapping"):
        read(write(f"experimental_diagnostics: {value}\n"))


def test_no_such_file(tmp_path):
    with pytest.raises(SettingsError, match="cannot be read: No such file") as caught:
        read(tmp_path / "absent.yaml")
    assert "--config" in caught.value.remedy


def test_a_folder(tmp_path):
    with pytest.raises(SettingsError, match="cannot be read: Is a directory"):
        read(tmp_path)


def test_a_file_that_is_not_utf_8(tmp_path):
    path = tmp_path / "router.yaml"
    path.write_bytes(b"experimental_diagnostics:\n  service_name: \xe4\n")
    with pytest.raises(SettingsError, match="not UTF-8"):
        read(path)


@pytest.mark.parametrize(
    "line",
    [
        "shared_secret: hunter2hunter2: x",
        "shared_secret: 'hunter2hunter2",
        'shared_secret: "hunter2hunter2\\q"',
        "shared_secret: *hunter2hunter2",
        "shared_secret: !hunter2hunter2 x",
        "shared_secret: @hunter2hunter2",
        "shared_secret: !!int hunter2hunter2",
        "shared_secret: [hunter2hunter2",
        "shared_secret: 2001-99-99",
        "shared_secret: !!binary hunter2hunter2=",
        "\thunter2hunter2: 1",
    ],
)
def test_what_is_not_yaml_is_told_without_quoting_it(write, line):
    path = write(f"experimental_diagnostics:\n  enabled: true\n  {line}\n")
    with pytest.raises(SettingsError, match="is not YAML") as caught:
        read(path)
    assert "hunter2" not in f"{caught.value} {caught.value.remedy} {caught.value.__cause__!r}"
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_line_of_what_is_not_yaml(write):
    path = write("experimental_diagnostics:\n  enabled: true\n  a: b: c\n")
    with pytest.raises(SettingsError, match=f"{path}:3: is not YAML"):
        read(path)


def test_two_documents(write):
    with pytest.raises(SettingsError, match="is not YAML"):
        read(write("experimental_diagnostics: {}\n---\nexperimental_diagnostics: {}\n"))


def test_the_rest_of_the_file_may_use_tags_and_keys_that_only_the_host_knows(write):
    text = "secrets: !vault |\n  abc\n? [a, b]\n: 1\n" + TEXT.replace("host: value", "h: !Ref x")
    assert read(write(text)).values["enabled"] is True


@pytest.mark.parametrize(
    ("text", "first", "second"),
    [
        ("experimental_diagnostics:\n  enabled: true\n  listen: a\n  enabled: false\n", 2, 4),
        ("experimental_diagnostics:\n  memory:\n    a: 1\n    a: 2\n", 3, 4),
        ("experimental_diagnostics: {}\nother: 1\nexperimental_diagnostics: {}\n", 1, 3),
        (f"{TEXT}plugins: {{}}\n", 2, 12),
    ],
)
def test_a_key_that_stands_twice(write, text, first, second):
    path = write(text)
    with pytest.raises(SettingsError, match=f"{path}:{second}: .* line {first} already"):
        read(path)


def test_a_key_that_stands_twice_in_the_host_s_own_part_is_the_host_s_matter(write):
    assert read(write("a: 1\na: 2\nexperimental_diagnostics: {enabled: true}\n")).values


def test_aliases_and_merge_keys_work(write):
    text = (
        "common: &common {keep_dumps: 3}\n"
        "experimental_diagnostics:\n"
        "  memory: {<<: *common, profiler: auto}\n"
        "  other: *common\n"
    )
    values = read(write(text)).values
    assert values["memory"] == {"keep_dumps": 3, "profiler": "auto"}
    assert values["other"] == {"keep_dumps": 3}


def test_an_alias_bomb_is_refused_at_once(write):
    lines = ["b0: &b0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"b{n}: &b{n} [{', '.join([f'*b{n - 1}'] * 9)}]" for n in range(1, 12)]
    text = "\n".join(lines) + "\nexperimental_diagnostics:\n  allowed_hosts: *b11\n"
    with pytest.raises(SettingsError, match="more than 10000 values"):
        read(write(text))


def test_an_alias_that_holds_itself_is_refused(write):
    with pytest.raises(SettingsError, match="an alias that holds itself"):
        read(write("experimental_diagnostics: &me\n  memory: *me\n"))


def test_endless_nesting_is_refused(write):
    with pytest.raises(SettingsError, match="nested too deeply"):
        read(write("experimental_diagnostics: " + "[" * 3000 + "]" * 3000 + "\n"))


@pytest.mark.parametrize("key", ["1", "true", "~", "2001-01-01", "1.5"])
def test_keys_that_are_no_text_have_a_line(write, key):
    path = write(f"experimental_diagnostics:\n  enabled: true\n  {key}: x\n")
    assert len(read(path).values) == 2


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.text(alphabet=string.printable + "\x00\x85\u2028\ud7ff", max_size=60))
def test_any_text_is_a_section_or_a_settings_error(tmp_path, text):
    path = tmp_path / "any.yaml"
    path.write_text(f"experimental_diagnostics:\n  {text}\n", encoding="utf-8")
    with contextlib.suppress(SettingsError):
        assert isinstance(read(path).values, dict)


# --- references -------------------------------------------------------------------------------


def test_references_are_replaced_everywhere(monkeypatch, tmp_path):
    monkeypatch.setenv("EXAMPLE", "value")
    file = tmp_path / "secret"
    file.write_text("from file\n")
    value = {"a": "${env.EXAMPLE}", "b": ["x-${env.EXAMPLE}-y", 1], "c": {"d": f"${{file.{file}}}"}}
    expanded, mistakes = expand(value)
    assert mistakes == ()
    assert expanded == {"a": "value", "b": ["x-value-y", 1], "c": {"d": "from file"}}


def test_a_file_loses_one_newline_only(tmp_path):
    file = tmp_path / "secret"
    file.write_text(" two \n\n")
    assert expand(f"${{file.{file}}}") == (" two \n", ())


def test_what_was_inserted_is_not_looked_at_again(monkeypatch):
    monkeypatch.setenv("OUTER", "${env.INNER}")
    monkeypatch.setenv("INNER", "inner")
    assert expand("${env.OUTER}") == ("${env.INNER}", ())


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("${env.UNHEARD_OF}", "the environment variable UNHEARD_OF is not set"),
        ("${file./no/such/file}", "the file /no/such/file cannot be read: No such file"),
        ("${file./}", "the file / cannot be read: Is a directory"),
        ("${file.}", "${file.} names nothing"),
        ("${env.}", "${env.} names nothing"),
        ("${file./a\0b}", "characters no name has"),
        ("${env.\ud800}", "characters no name has"),
    ],
)
def test_what_cannot_be_resolved_is_none_and_a_mistake(text, says):
    value, mistakes = expand({"a": {"b": [text]}})
    assert value == {"a": {"b": [None]}}
    (mistake,) = mistakes
    assert mistake.key == ("a", "b", 0)
    assert says in mistake.message


def test_all_mistakes_are_found():
    _, mistakes = expand({"a": "${env.NO_ONE}", "b": "${env.NO_TWO}", "c": "${file./no}"})
    assert [mistake.key for mistake in mistakes] == [("a",), ("b",), ("c",)]


def test_a_file_that_is_not_utf_8_is_not_quoted(tmp_path):
    file = tmp_path / "secret"
    file.write_bytes(b"hunter2\xff")
    _, (mistake,) = expand(f"${{file.{file}}}")
    assert "not UTF-8" in mistake.message
    assert "hunter2" not in mistake.message


@settings(max_examples=300, deadline=None)
@given(st.text(), st.sampled_from(["env.", "file.", "file./proc/", ""]))
def test_expanding_never_raises(text, kind):
    value, mistakes = expand(f"${{{kind}{text}}}")
    assert (value is None) == bool(mistakes)


@given(st.text(alphabet=st.characters(exclude_characters="$")))
def test_text_without_a_dollar_is_left_alone(text):
    assert expand(text) == (text, ())
    assert not has_reference(text)


def test_what_counts_as_a_reference():
    assert has_reference("a${env.X}b")
    assert not is_reference("a${env.X}b")
    assert is_reference("${file./x}")
    assert not has_reference("$env.X ${X} {env.X}")
    assert not has_reference(5)
