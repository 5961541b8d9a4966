from __future__ import annotations

import pytest

from endoscope_export.redaction.key_names import Kind, kind_of

SECRET = """
    password PASSWORD Passwd pwd DB_PASS dbPass smtppass db.password keyStorePassword userPassword
    mypassword passphrase PASSWORD2 old-password secret client-secret clientSecret secret_key
    api_key apiKey APIKey X-Api-Key AWS_SECRET_ACCESS_KEY access_key_id private_key AccountKey
    SharedAccessKey signing-key client-key-data tls.key session_id JSESSIONID sessionKey token
    authToken _authToken otp spring.datasource.password REDIS_PW password_hash token_for_prod
"""
PLAIN = """
    max_tokens token_count tokenLength password_file passwordPath cookie_name token_url
    password_policy token_type secretName tokenExpiry token_ttl session_cookie_name secret_manager
    jwt_algorithm key_id primary_port bypass compass public_key ssh_public_keys tokenize
    secretary author passenger min_password_length num_tokens session user host
"""


@pytest.mark.parametrize("name", SECRET.split())
def test_names_of_secrets(name):
    assert kind_of(name.encode()) is Kind.SECRET


@pytest.mark.parametrize("name", PLAIN.split())
def test_names_of_other_things(name):
    assert kind_of(name.encode()) is Kind.PLAIN


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        (b"tokens", Kind.PLURAL),
        (b"api_keys", Kind.PLURAL),
        (b"credentials", Kind.PLURAL),
        (b"Set-Cookie", Kind.HEADER),
        (b"Proxy-Authorization", Kind.AUTHORIZATION),
        (b"_auth", Kind.LIKELY),
        (b"routing_key", Kind.LIKELY),
        (b"AUTH_SALT", Kind.LIKELY),
        (b"", Kind.PLAIN),
        (b"\xff\xfe", Kind.PLAIN),
    ],
)
def test_names_between(name, kind):
    assert kind_of(name) is kind
