from __future__ import annotations

import pytest

from endoscope_export.redaction import Rules

RULES = Rules.of((), {})

STAY = r"""
password: str
password: str | None = None,
def token(self) -> str:
import secrets
secret = os.environ["X"]
tokens = tokenize(x)
token = self._next_token()
connect(user, password=password)
connect(password=self.password, port=1)
    password=settings.DB_PASSWORD,
token, value = get_token(value)
credentials: Credentials
def f(tokens: list[Token]) -> None:
password: null
password = ""
password: ${DB_PASSWORD}
password: {{ db_password }}
password: <your password>
password = $DB_PASSWORD
password=%s
"password": "%(password)s"
password: ********
api_key: ***
cookie: true
tokens: 4096
secrets: []
credentials: {}
private_key: /etc/ssl/private.key
usage: tool --password PASSWORD --token <token>
TypeError: unexpected token '<'
invalid token for user bob
:param token: the token to use
--- PASS: TestToken (0.00s)
docker run -u 1000:1000 image
git push -u origin main:main2
key: value
sort(key=len)
<token>
["username", "password", "email"]
if token == other:
std::token::type
getpass("Password: ")
""".strip().splitlines()

GO = r"""
password: hunter2 with spaces
password = hunter2
PASSWORD:hunter2
  - password: 'hunter2'
say password=hunter2, x
say password=hunter2&x
(password=hunter2)
password='a''hunter2'
password="a\"hunter2"
password: !!str hunter2
password: &anchor hunter2
password: "hunter2
password = [hunter2
password = {hunter2}x
password='a'hunter2
password==hunter2
password: 'hunter2' # note
token: abc(hunter2
if token == "hunter2":
--password hunter2
--password "hunter2"
-Ddb.password=hunter2
'--password=x hunter2'
Server=x;Pwd=a hunter2;
API Key: hunter2
"password" : "hunter2"
{\"password\":\"hunter2\"}
'password' => 'hunter2'
:password => "hunter2"
b'password': b'hunter2'
#define PASSWORD "hunter2"
password := "hunter2"
export PASSWORD=hunter2
set password = hunter2
$db['password'] = 'hunter2';
os.environ["TOKEN"] = "hunter2"
os.getenv("TOKEN", "hunter2")
<password>hunter2</password>
<a password="hunter2"/>
<a name="password" value="hunter2"/>
password%3Dhunter2
CREATE USER x IDENTIFIED BY PASSWORD 'hunter2'
""".strip().splitlines()


@pytest.mark.parametrize("line", STAY)
def test_what_gives_nothing_away_stays(line):
    assert RULES.redacted(f"x\n{line}\nx") == f"x\n{line}\nx"


@pytest.mark.parametrize("line", GO)
def test_secrets_go(line):
    result = RULES.redacted(f"before\n{line}\nafter")
    assert "hunter2" not in result
    assert result.startswith("before\n")
    assert result.endswith("\nafter")
