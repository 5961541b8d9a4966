from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr, ValidationError

from endoscope_auth.settings import AuthSettings, secret_bytes, strength


def settings(secret: str) -> AuthSettings:
    return AuthSettings(shared_secret=SecretStr(secret))


@pytest.mark.parametrize("blank", ["", " ", "\t\n", "\u00a0", "\u2003"])
def test_a_blank_secret_is_refused_with_what_to_do(blank):
    with pytest.raises(ValidationError) as caught:
        AuthSettings.model_validate({"shared_secret": blank})
    (mistake,) = caught.value.errors()
    assert mistake["loc"] == ("shared_secret",)
    assert "shared_secret is empty or blank" in mistake["msg"]
    assert "${env.DIAGNOSTICS_SECRET}" in mistake["msg"]


def test_a_missing_secret_is_refused_by_name():
    with pytest.raises(ValidationError) as caught:
        AuthSettings.model_validate({})
    (mistake,) = caught.value.errors()
    assert (mistake["type"], mistake["loc"]) == ("missing", ("shared_secret",))


@pytest.mark.parametrize(
    "section",
    [
        {"shared_secret": "hunter2-hunter2\ud800"},
        {"shared_secret": ["hunter2-hunter2"]},
        {"shared_secret": "x" * 9, "unknown": "hunter2-hunter2"},
    ],
)
def test_a_refusal_does_not_quote_what_was_configured(section):
    with pytest.raises(ValidationError) as caught:
        AuthSettings.model_validate(section)
    assert "hunter2" not in str(caught.value)
    assert "hunter2" not in repr(caught.value)


@given(st.text(min_size=1).filter(str.strip))
def test_a_secret_is_sent_as_utf8(secret):
    assert secret_bytes(settings(secret).shared_secret) == secret.encode()


def test_a_secret_that_is_not_utf8_keeps_its_bytes():
    in_the_environment = b"caf\xe9-secret"
    as_python_reads_it = in_the_environment.decode("utf-8", "surrogateescape")
    assert secret_bytes(settings(as_python_reads_it).shared_secret) == in_the_environment


@pytest.mark.parametrize(
    ("secret", "severity"),
    [("1234567", "warning"), ("12345678", "info"), ("äöü", "warning"), ("äöüß", "info")],
)
def test_strength_counts_bytes(secret, severity):
    problem = strength(settings(secret))
    assert problem.severity == severity
    assert bool(problem.remedy) == (severity == "warning")
    assert secret not in f"{problem}"


def test_repr_hides_the_secret():
    shown = f"{settings('hunter2-hunter2')!r} {settings('hunter2-hunter2')}"
    assert "hunter2" not in shown
