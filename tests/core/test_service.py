import click
import pytest

from endoscope.client import Client, Target
from endoscope.errors import EndoscopeError
from endoscope.service import (
    access_options,
    process_query,
    read_secret,
    secret_of,
    service_options,
)


def options_of(decorator, *words):
    """Return the values that a command with these options gets."""
    taken = {}
    command = click.command()(decorator(lambda **options: taken.update(options)))
    command.main(words, standalone_mode=False)
    return taken


def test_the_options_to_be_let_in_are_among_those_of_a_service():
    access, service = options_of(access_options), options_of(service_options)
    assert set(access) == {"secret", "secret_file", "ca"}
    assert set(service) == {"url", "config", *access}


def test_the_secret_of_the_options(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("from file\n")
    monkeypatch.delenv("ENDOSCOPE_SECRET", raising=False)
    words = ["--secret-file", str(tmp_path / "file")]
    assert secret_of(options_of(access_options)) is None
    assert secret_of(options_of(access_options, *words)) == "from file"
    assert secret_of(options_of(access_options, "--secret", "given", *words)) == "given"
    monkeypatch.setenv("ENDOSCOPE_SECRET", "environment")
    assert secret_of(options_of(access_options)) == "environment"


@pytest.mark.parametrize(("content", "secret"), [("a\n", "a"), ("a", "a"), (" a \n\n", " a \n")])
def test_a_file_has_the_secret_and_the_end_of_its_line(tmp_path, content, secret):
    (tmp_path / "file").write_text(content)
    assert read_secret(tmp_path / "file") == secret


@pytest.mark.parametrize(("content", "said"), [(None, "No such file"), (b"\xff", "not UTF-8")])
def test_a_secret_that_cannot_be_read(tmp_path, content, said):
    if content is not None:
        (tmp_path / "file").write_bytes(content)
    with pytest.raises(EndoscopeError, match=said) as caught:
        read_secret(tmp_path / "file")
    assert caught.value.remedy


def test_the_only_process_is_asked_plainly(serve):
    service = serve()
    client = Client(Target.from_url(str(service.address), service.settings["shared_secret"]))
    assert process_query(client, None) == {}
    assert process_query(client, "all") == {"process": "all"}


def test_who_names_a_process_costs_no_question():
    nobody = Client(Target.from_url("unix:/no/such/socket", None))
    assert process_query(nobody, "4711") == {"process": "4711"}
