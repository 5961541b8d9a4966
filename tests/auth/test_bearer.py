from __future__ import annotations

import base64

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from endoscope import Access, Granted, Refused
from endoscope_auth.bearer import decode, fingerprint, judge

SECRET = b"test-secret-123"
HEADER = "Bearer dGVzdC1zZWNyZXQtMTIz"
EXPECTED = fingerprint(SECRET)

secrets = st.binary(min_size=1, max_size=300)
latin1 = st.text(st.characters(max_codepoint=255))
spellings = st.lists(st.booleans(), min_size=6, max_size=6).map(
    lambda upper: "".join(c.upper() if u else c for c, u in zip("bearer", upper, strict=True))
)


def encoded(secret: bytes) -> str:
    return base64.b64encode(secret).decode()


def test_the_documented_header_is_granted_everything():
    assert judge((HEADER,), EXPECTED) == Granted("bearer", frozenset(Access))


@given(secrets, spellings)
@example(b"x" * 200, "bearer")
@example("päss-wörd-密".encode(), "BEARER")
@example(b"\xfb\xff\xfe", "Bearer")  # encodes to + and /
def test_the_secret_is_granted_with_the_scheme_in_any_case(secret, scheme):
    verdict = judge((f"{scheme} {encoded(secret)}",), fingerprint(secret))
    assert isinstance(verdict, Granted)


@given(secrets, secrets)
@example(SECRET, SECRET[:-1])
@example(SECRET, SECRET + b"\n")
def test_any_other_secret_is_refused(secret, other):
    assume(secret != other)
    assert judge((f"Bearer {encoded(other)}",), fingerprint(secret)) == Refused("wrong secret")


@given(latin1)
@example("Bearer")
@example("Bearer ")
@example("Bearer \xe9\xe9\xe9\xe9")
@example(HEADER + "\x00")
@example(HEADER[:-1])
@example(HEADER + "=")
@example(HEADER + ", " + HEADER)
@example("Bearer " + SECRET.decode())
def test_nothing_but_the_credential_is_granted(value):
    assume(value.strip(" \t")[:7].lower() != "bearer " or value.strip(" \t")[7:] != HEADER[7:])
    assert not isinstance(judge((value,), EXPECTED), Granted)


@given(latin1)
@example("dGVzdC1zZWNyZXQtMTI")
@example("dGVzdC1z ZWNyZXQtMTIz")
@example("dGVzdC1zZWNyZXQtMTIz\n\n")
def test_a_bearer_credential_is_judged_whatever_it_holds(credential):
    assume(credential.strip(" \t") != HEADER[7:])
    assert isinstance(judge((f"bearer {credential}",), EXPECTED), Refused)


@given(st.sampled_from(["Basic", "Digest", "Negotiate", "Bearers", "Bear", ""]), latin1)
def test_another_scheme_is_left_to_others(scheme, credential):
    assert judge((f"{scheme} {credential}",), EXPECTED) is None


def test_no_header_is_left_to_others():
    assert judge((), EXPECTED) is None


@pytest.mark.parametrize(
    "values", [(HEADER, HEADER), (HEADER, "Basic eA=="), ("Basic eA==", HEADER), ("", "")]
)
def test_several_headers_are_refused_even_if_one_is_right(values):
    assert isinstance(judge(values, EXPECTED), Refused)


@pytest.mark.parametrize(
    "value",
    [f"  {HEADER}\t", "Bearer    dGVzdC1zZWNyZXQtMTIz"],
    ids=["around the value", "after the scheme"],
)
def test_spaces_that_http_permits_do_not_matter(value):
    assert isinstance(judge((value,), EXPECTED), Granted)


@given(st.binary(min_size=4, max_size=60))
def test_a_reason_holds_nothing_of_the_credential(other):
    assume(other != SECRET)
    for credential in (encoded(other), encoded(other) + "!", "§" + encoded(other)):
        verdict = judge((f"Bearer {credential}",), EXPECTED)
        assert isinstance(verdict, Refused)
        assert credential not in verdict.reason
        assert encoded(other) not in verdict.reason


@given(st.binary(max_size=300))
def test_decode_is_the_inverse_of_encoding(data):
    assert decode(encoded(data)) == data


@given(latin1)
@example("YQ==YQ==")
@example("=")
@example("-_-_")  # the URL alphabet
def test_decode_takes_one_spelling_only(credential):
    decoded = decode(credential)
    assert decoded is None or encoded(decoded) == credential


@pytest.mark.parametrize("credential", ["YR==", "YWJ=", "YW=", "YW", "YQ=", "Y Q==", "YQ==\n"])
def test_decode_refuses_spellings_that_lenient_decoders_take(credential):
    assert decode(credential) is None


def test_fingerprints_have_one_length():
    assert {len(fingerprint(b"x" * size)) for size in (0, 1, 200, 10_000)} == {32}
