from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Annotated

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import Field, SecretStr, field_validator

from endoscope import PluginSettings
from endoscope.configuration import Configuration, read
from endoscope.errors import SettingsError
from endoscope.settings import MASK, RESERVED_NAMES, CoreSettings, describe, early, resolve

HIDDEN = "hunter2-hunter2"


class ExampleSettings(PluginSettings):
    limit: Annotated[int, Field(ge=1)] = 3
    names: tuple[str, ...] = ()
    api_token: str = ""
    nested: dict[str, str] = {}  # noqa: RUF012  pydantic copies defaults


class KeeperSettings(PluginSettings):
    shared_secret: SecretStr

    @field_validator("shared_secret")
    @classmethod
    def _not_blank(cls, value):
        if not value.get_secret_value().strip():
            raise ValueError("shared_secret is blank")
        return value


PLUGINS = {"example": ExampleSettings, "keeper": KeeperSettings}


def of(**values):
    return Configuration(values=values)


def section(write, body: str) -> Configuration:
    indented = "".join(f"    {line}\n" for line in body.splitlines())
    return read(write(f"plugins:\n  experimental_diagnostics:\n{indented}"))


def mistakes(source, plugins=PLUGINS) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        resolve(source, plugins)
    assert caught.value.__cause__ is None
    lines = caught.value.message.splitlines()
    return lines if len(lines) == 1 else lines[1:]


def test_defaults():
    core = resolve(Configuration(), {}).core
    assert not core.enabled
    assert core.listen == "127.0.0.1:8089"
    assert core.plugins.required == ("auth",)
    assert core.grace_seconds == 2.0


def test_sections_reach_their_plugins():
    found = resolve(of(shared_secret="s", example={"limit": 7}), PLUGINS)
    assert found.sections["example"] == ExampleSettings(limit=7)
    assert found.sections["keeper"].shared_secret.get_secret_value() == "s"


def test_every_mistake_at_once_with_its_place_and_remedy(write):
    source = section(
        write,
        "enabledd: true\n"
        "listen: nonsense\n"
        "grace_seconds: 900\n"
        "shared_secret: '${env.UNHEARD_OF}'\n"
        "plugins: {requird: [auth]}\n"
        "example:\n"
        "  limit: 0\n"
        "  nams: [x]\n"
        "tls: {certificate: /no/such/file}\n",
    )
    found = "\n".join(mistakes(source))
    path = source.path
    for line, text in [
        (3, "`enabledd`: unknown key. Did you mean `enabled`?"),
        (4, "`listen`: 'nonsense' is not an address"),
        (5, "`grace_seconds`: input should be less than or equal to 60"),
        (6, "`shared_secret`: the environment variable UNHEARD_OF is not set. Set UNHEARD_OF"),
        (7, "`plugins.requird`: unknown key. Did you mean `required`?"),
        (9, "`example.limit`: input should be greater than or equal to 1"),
        (10, "`example.nams`: unknown key. Did you mean `names`?"),
        (11, "`tls.certificate`: the file /no/such/file cannot be read"),
        (11, "`tls.key`: is missing. Add it."),
    ]:
        assert f"{path}:{line}: {text}" in found
    assert len(mistakes(source)) == 9


def test_the_count_of_mistakes_is_told():
    with pytest.raises(SettingsError, match=r"^2 mistakes in the settings:\n") as caught:
        resolve(of(listen="x", grace_seconds=-1), {})
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("secret", [None, "", "   ", "\n"])
def test_a_missing_empty_or_blank_secret_is_named(secret):
    (line,) = mistakes(of(**({} if secret is None else {"shared_secret": secret})))
    assert "shared_secret" in line


def test_a_missing_secret_says_how_to_set_one():
    (line,) = mistakes(of())
    assert "${env.DIAGNOSTICS_SECRET}" in line


@pytest.mark.parametrize("value", [12345, ["a"], {"a": HIDDEN}, [HIDDEN], True])
def test_a_secret_that_is_no_text_is_one_mistake_and_not_quoted(value):
    (line,) = mistakes(of(shared_secret=value))
    assert "`shared_secret`: input should be a valid string" in line
    assert HIDDEN not in line


def test_a_secret_in_a_plugin_s_own_section_is_misplaced():
    assert any(
        "`keeper.shared_secret`: stands in the wrong place. Move it one level up." in line
        or "`shared_secret`: stands in the wrong place" in line
        for line in mistakes(of(shared_secret="s", keeper={"shared_secret": HIDDEN}))
    )


def test_no_repr_error_or_yaml_shows_the_secret(write):
    source = section(
        write, f"shared_secret: {HIDDEN}\nexample: {{api_token: {HIDDEN}, limit: 1}}\n"
    )
    found = resolve(source, PLUGINS)
    assert HIDDEN not in f"{found!r}".replace(f"api_token='{HIDDEN}'", "")
    assert HIDDEN not in repr(found.core)
    assert HIDDEN not in found.effective
    broken = section(write, f"shared_secret: {HIDDEN}\nlisten: x\nexample: {{limit: 0}}\n")
    assert HIDDEN not in "\n".join(mistakes(broken))


def test_secrets_are_what_the_masks_hide(write, monkeypatch):
    monkeypatch.setenv("FROM_OUTSIDE", "taken-from-outside")
    source = section(
        write,
        "shared_secret: 'first-${env.FROM_OUTSIDE}'\n"
        "service_name: public\nexample: {api_token: second-secret, limit: 1}\n",
    )
    found = resolve(source, PLUGINS)
    assert found.secrets == {"first-taken-from-outside", "second-secret"}


# --- the effective configuration ----------------------------------------------------------------


def effective(source, plugins=PLUGINS):
    return yaml.safe_load(resolve(source, plugins).effective)["plugins"]["experimental_diagnostics"]


def test_the_effective_configuration_has_defaults_and_masks():
    shown = effective(of(shared_secret=HIDDEN, example={"api_token": HIDDEN}))
    assert shown["listen"] == "127.0.0.1:8089"
    assert shown["shared_secret"].strip("*") == ""
    assert shown["example"]["api_token"] == MASK
    assert shown["example"]["limit"] == 3
    assert "shared_secret" not in shown["keeper"]


def test_references_are_shown_as_they_were_written(monkeypatch):
    monkeypatch.setenv("EXAMPLE", HIDDEN)
    shown = effective(
        of(
            shared_secret="${env.EXAMPLE}",
            service_version="v-${env.EXAMPLE}",
            example={"names": ["a", "${env.EXAMPLE}"]},
        )
    )
    assert shown["shared_secret"] == "${env.EXAMPLE}"
    assert shown["service_version"] == "v-${env.EXAMPLE}"
    assert shown["example"]["names"] == ["a", "${env.EXAMPLE}"]


def test_what_is_written_beside_a_reference_in_a_secret_is_masked(monkeypatch):
    monkeypatch.setenv("EXAMPLE", "x")
    shown = effective(
        of(
            shared_secret=HIDDEN + "${env.EXAMPLE}",
            example={"api_token": HIDDEN + "${env.EXAMPLE}"},
        )
    )
    assert HIDDEN not in str(shown)


def test_secrets_are_known_by_name_at_any_depth():
    nested = {"password": HIDDEN, "db_pass": HIDDEN, "ssh_key": HIDDEN, "monkey": "shown"}
    shown = effective(of(shared_secret="s" * 8, example={"nested": nested}))
    assert HIDDEN not in str(shown)
    assert shown["example"]["nested"]["monkey"] == "shown"


def test_the_effective_configuration_can_be_read_again(write):
    text = resolve(of(shared_secret="${env.HOME}", listen="[::1]:0"), PLUGINS).effective
    assert resolve(read(write(text)), {"example": ExampleSettings}).core.listen == "[::1]:0"


# --- the environment -----------------------------------------------------------------------------


def test_variables_override_the_file(monkeypatch):
    monkeypatch.setenv("ENDOSCOPE_LISTEN", "127.0.0.1:1")
    monkeypatch.setenv("ENDOSCOPE_ENABLED", "true")
    monkeypatch.setenv("ENDOSCOPE_ALLOWED_HOSTS", '["a.example"]')
    monkeypatch.setenv("ENDOSCOPE_PLUGINS__DISABLED", '["memory"]')
    monkeypatch.setenv("ENDOSCOPE_EXAMPLE__LIMIT", "9")
    monkeypatch.setenv("ENDOSCOPE_SHARED_SECRET", "12345678")
    source = of(
        listen="127.0.0.1:2", enabled=False, example={"limit": 1, "names": ["kept"]}, plugins={}
    )
    found = resolve(source, PLUGINS)
    assert found.core.enabled
    assert found.core.listen == "127.0.0.1:1"
    assert found.core.allowed_hosts == ("a.example",)
    assert found.core.plugins.disabled == ("memory",)
    assert found.sections["example"] == ExampleSettings(limit=9, names=("kept",))
    assert found.core.shared_secret.get_secret_value() == "12345678"
    assert "12345678" not in found.effective


def test_a_variable_s_mistake_names_the_variable(monkeypatch):
    monkeypatch.setenv("ENDOSCOPE_GRACE_SECONDS", "soon")
    monkeypatch.setenv("ENDOSCOPE_EXAMPLE__LIMT", "1")
    found = "\n".join(mistakes(of(shared_secret="s" * 8)))
    assert "environment variable ENDOSCOPE_GRACE_SECONDS: `grace_seconds`" in found
    assert "environment variable ENDOSCOPE_EXAMPLE__LIMT: `example.limt`: unknown key" in found


def test_variables_that_are_not_json_cost_no_other_variable(monkeypatch):
    monkeypatch.setenv("ENDOSCOPE_ALLOWED_HOSTS", "a.example")
    monkeypatch.setenv("ENDOSCOPE_EXAMPLE__NAMES", "x,y")
    monkeypatch.setenv("ENDOSCOPE_SHARED_SECRET", "s" * 8)
    lines = mistakes(of())
    assert len(lines) == 2
    assert "ENDOSCOPE_ALLOWED_HOSTS as JSON" in lines[0]
    assert "ENDOSCOPE_EXAMPLE" in lines[1]


def test_variables_of_no_setting_are_a_warning(monkeypatch):
    monkeypatch.setenv("ENDOSCOPE_LISTN", "127.0.0.1:1")
    monkeypatch.setenv("ENDOSCOPE_SECRET", "the client's")
    source = of()
    (warning,) = resolve(source, {}).warnings
    assert "Did you mean ENDOSCOPE_LISTEN?" in describe(source, warning)


# --- what is not there ---------------------------------------------------------------------------


def test_sections_of_plugins_that_are_not_installed_are_warnings():
    source = of(memory={"keep_dumps": 3}, stranger={"a": 1})
    lines = [describe(source, warning) for warning in resolve(source, {}).warnings]
    assert any("pip install endoscope-memory" in line for line in lines)
    assert any("`stranger`: no plugin of that name" in line for line in lines)


def test_sections_of_plugins_that_are_left_out_are_passed_over():
    assert resolve(of(broken={"a": 1}), {}, left_out=["broken"]).warnings == ()


def test_a_section_that_is_nearly_right_is_a_mistake():
    (line,) = mistakes(of(exampel={"limit": 1}, shared_secret="s" * 8))
    assert "Did you mean `example`?" in line


@pytest.mark.parametrize("key", [1, True, None, 2.5, ("a",)])
def test_keys_that_are_no_text(key):
    source = Configuration(values={key: "x", "shared_secret": "s" * 8})
    (line,) = mistakes(source)
    assert "keys should be strings" in line
    source = Configuration(values={key: {"a": 1}, "shared_secret": "s" * 8})
    assert [warning.key for warning in resolve(source, PLUGINS).warnings] == [(key,)]


@pytest.mark.parametrize("value", [None, 5, "text", [1]])
def test_a_plugin_s_section_that_is_no_mapping(value):
    (line,) = mistakes(of(example=value, shared_secret="s" * 8))
    assert "`example`" in line


def test_an_unauthenticated_service_only_near_at_hand():
    (line,) = mistakes(of(allow_unauthenticated=True, listen="0.0.0.0:80"), {})
    assert "allow_unauthenticated" in line
    for near in ("127.0.0.1:0", "[::1]:0", "localhost:0", "unix:/run/x"):
        assert resolve(of(allow_unauthenticated=True, listen=near), {}).core.allow_unauthenticated


@pytest.mark.parametrize(
    "name", ["", "a/b", "../x", ".x", "a b", "ä", "x" * 65, 'a"b', "a\n", "-x"]
)
def test_service_names_that_files_cannot_be_called_after(name):
    (line,) = mistakes(of(service_name=name), {})
    assert "service_name" in line


# --- before the plugins ---------------------------------------------------------------------------


def test_early_settings(monkeypatch):
    monkeypatch.setenv("EXAMPLE", "true")
    assert early(of(enabled="${env.EXAMPLE}")).enabled
    assert not early(of()).enabled
    assert early(of(plugins={"disabled": ["memory"]})).plugins.disabled == ("memory",)


@pytest.mark.parametrize(
    "values",
    [{"enabled": "perhaps"}, {"enabled": "${env.UNHEARD_OF}"}, {"plugins": 5, "enabled": False}],
)
def test_early_mistakes_are_left_to_be_told_later(values):
    assert early(Configuration(values=values)).enabled


def test_an_early_variable_that_is_not_json_does_not_switch_diagnostics_off(monkeypatch):
    monkeypatch.setenv("ENDOSCOPE_ENABLED", "true")
    monkeypatch.setenv("ENDOSCOPE_PLUGINS__DISABLED", "memory")
    assert early(of()).enabled


def test_names_that_no_plugin_can_have():
    assert {"listen", "plugins", "tls", "copy", "json", "model_config", "address"} <= RESERVED_NAMES
    assert not {"auth", "memory", "export", "threads"} & RESERVED_NAMES


def test_paths_are_paths():
    assert isinstance(CoreSettings().output_directory, Path)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(st.text(), below, max_size=3),
    max_leaves=8,
)
KEYS = [*CoreSettings.model_fields, "example", "keeper", "stranger"]


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=8), values, max_size=5))
def test_any_values_are_settings_or_a_settings_error(given_values):
    source = Configuration(values=given_values)
    early(source)
    with contextlib.suppress(SettingsError):
        assert yaml.safe_load(resolve(source, PLUGINS).effective)
