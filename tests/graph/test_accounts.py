"""Who asks: tokens of the store, JWTs of an identity provider on loopback, nobody; and what is written down of it."""

from __future__ import annotations

import base64
import datetime
import hashlib
import http.server
import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import jwt
import psycopg
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from graph import viewer
from graph.access import Accounts, check_guarded
from graph.commands import accounts_of
from graph.viewer import Provider, checked_url
from store import access
from store.errors import StoreError
from tests.command_line import run
from tests.graph.api import Api
from tests.graph.conftest import Serve

NAMES = "{ samples(first: 3) { nodes { name } } }"
HOUR = datetime.timedelta(hours=1)


def now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def people(api: Api, headers: dict[str, str] | None = None) -> list[str]:
    """Names of samples, as somebody sees them."""
    return [node["name"] for node in api.data(NAMES, headers=headers)["samples"]["nodes"]]


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is granted or revoked takes effect with the next request."""
    monkeypatch.setattr(viewer, "KNOWN_SECONDS", -1.0)


@pytest.fixture
def granted(own_family: str) -> str:
    """A store in which anna was granted one cohort, and its pedigree."""
    with psycopg.connect(own_family, autocommit=True) as conn:
        assert access.grant(conn, "anna", ["narrow", "narrow_ped", "later"]) == ["later"]
    return own_family


def token(url: str, subject: str, *scopes: str, expires: datetime.timedelta = HOUR) -> str:
    with psycopg.connect(url, autocommit=True) as conn:
        return access.create_token(conn, subject, scopes, now() + expires)[1]


def revoke(url: str, number: int) -> None:
    with psycopg.connect(url, autocommit=True) as conn:
        access.revoke_token(conn, number)


# ---- tokens of the store


def test_a_token_shows_what_its_subject_was_granted_as_far_as_its_scopes_go(granted: str, serve: Serve) -> None:
    api = serve(granted, accounts=Accounts())
    assert people(api) == []
    assert people(api, bearer(token(granted, "anna", "individual"))) == ["ALONE", "DAD", "DAD2"]
    assert people(api, bearer(token(granted, "anna"))) == [], "without a scope, open data"
    assert people(api, bearer(token(granted, "bert", "individual"))) == [], "nothing was granted"
    everybody = api.data("{ samples { totalCount } }", headers=bearer(token(granted, "root", "admin")))
    assert everybody["samples"]["totalCount"] > 300


def test_grants_and_tokens_end_when_they_are_taken_back(granted: str, serve: Serve) -> None:
    api, mine = serve(granted, accounts=Accounts()), bearer(token(granted, "anna", "individual"))
    assert people(api, mine) != []
    with psycopg.connect(granted, autocommit=True) as conn:
        access.withdraw(conn, "anna", ["narrow"])
        assert people(api, mine) != [], "the pedigree names them, too"
        access.withdraw(conn, "anna", [])
        assert people(api, mine) == []
        access.grant(conn, "anna", ["narrow"])
        assert people(api, mine) != []
    revoke(granted, 1)
    assert api.post(NAMES, headers=mine).status_code == 401


@pytest.mark.parametrize(
    ("header", "said"),
    [
        ("Bearer vkg_" + "x" * 43, "The token is not one of this store, or it expired or was revoked."),
        ("Bearer eyJhbGciOiJub25lIn0.e30.", "The token is not one of this store."),
        ("Basic YTpi", "The header Authorization is not `Bearer TOKEN`."),
        ("Bearer ", "The header Authorization is not `Bearer TOKEN`."),
        ("Bearer a b", "The header Authorization is not `Bearer TOKEN`."),
        ("Bearer vkg_' OR 1=1 --", "The header Authorization is not `Bearer TOKEN`."),
    ],
)
def test_credentials_that_are_not_good_are_refused_and_not_taken_for_none(family_url: str, serve: Serve, header: str, said: str) -> None:
    answer = serve(family_url, accounts=Accounts()).post("{ store { assembly } }", headers={"Authorization": header})
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert answer.json()["errors"] == [
        {
            "message": said,
            "extensions": {"code": "UNAUTHENTICATED", "hint": "Send `Authorization: Bearer TOKEN`, or no such header for open data."},
        }
    ]


def test_an_expired_token_is_refused(granted: str, serve: Serve) -> None:
    old = token(granted, "anna", "individual", expires=-HOUR)
    assert serve(granted, accounts=Accounts()).post(NAMES, headers=bearer(old)).status_code == 401


def test_a_viewer_is_remembered_no_longer_than_its_token_holds(granted: str, serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(viewer, "KNOWN_SECONDS", 3600.0)
    api, mine = serve(granted, accounts=Accounts()), bearer(token(granted, "anna", "individual"))
    assert people(api, mine) != []
    revoke(granted, 1)
    assert people(api, mine) != [], "it is known for a while"
    monkeypatch.setattr(viewer, "time", SimpleNamespace(monotonic=lambda: float("inf"), time=time.time))
    assert api.post(NAMES, headers=mine).status_code == 401


def test_the_store_has_no_token_and_shows_none_again(granted: str) -> None:
    made = token(granted, "anna", "individual")
    assert made.startswith("vkg_")
    with psycopg.connect(granted) as conn:
        (kept,) = conn.execute("SELECT hash FROM access_token").fetchall()[0]
        assert kept == hashlib.sha256(made.encode()).digest()
        assert all(made not in str(row) for row in conn.execute("SELECT t::text FROM access_token t"))
        conn.execute("SET ROLE vkg_open")
        for table in ("access_token", "access_grant", "access_audit"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege), conn.transaction():
                conn.execute(f"SELECT FROM {table}")


def test_without_accounts_everybody_is_the_owner_and_nothing_is_written_down(family_url: str, serve: Serve) -> None:
    answer = serve(family_url).ask("{ samples { totalCount } }", headers=bearer("nonsense"))
    assert answer["data"]["samples"]["totalCount"] > 300
    assert "withheld" not in answer["extensions"]
    with psycopg.connect(family_url) as conn:
        assert conn.execute("SELECT count(*) FROM access_audit").fetchone() == (0,)


def test_open_data_only_says_so_whoever_asks(granted: str, serve: Serve) -> None:
    api = serve(granted, accounts=Accounts(open_only=True))
    for headers in (None, bearer(token(granted, "root", "admin"))):
        answer = api.ask("{ samples(first: 3) { nodes { name } } callsets { name } }", headers=headers)
        assert answer["data"] == {"samples": {"nodes": []}, "callsets": [{"name": "narrow"}, {"name": "wide"}]}
        assert answer["extensions"]["withheld"] == "This server answers open data only: individual-level data is left out."


def test_a_server_may_refuse_whoever_has_no_credentials(granted: str, serve: Serve) -> None:
    api = serve(granted, accounts=Accounts(refused=True))
    refused = api.post("{ store { assembly } }")
    assert (refused.status_code, refused.json()["errors"][0]["extensions"]["code"]) == (401, "UNAUTHENTICATED")
    assert people(api, bearer(token(granted, "anna", "individual"))) != []


def test_cursors_and_named_releases_lead_to_nothing_that_is_not_granted(granted: str, serve: Serve) -> None:
    api = serve(granted, accounts=Accounts())
    page = "query ($after: String) { samples(first: 1, after: $after) { totalCount nodes { name cohort } pageInfo { endCursor } } }"
    root, anna = bearer(token(granted, "root", "admin")), bearer(token(granted, "anna", "individual"))
    with psycopg.connect(granted, autocommit=True) as conn:
        conn.execute("INSERT INTO release (loads, reason, name) SELECT loads, 'test', 'kept' FROM release ORDER BY release_id DESC LIMIT 1")
    cursor = api.data(page, headers=root)["samples"]["pageInfo"]["endCursor"]
    for headers in ({}, {"Vkg-Release": "kept"}):
        given = None if headers else cursor  # a cursor is of its own release
        assert api.data(page, {"after": given}, headers)["samples"]["nodes"] == []
        seen = api.data(page, {"after": given}, headers | anna)["samples"]
        assert [node["cohort"] for node in seen["nodes"]] == ["narrow"]
        assert seen["totalCount"] == 10


# ---- an identity provider


@dataclass
class Idp:
    """An OpenID Connect provider on loopback: its keys by their names, and what it was asked."""

    issuer: str = ""
    keys: dict[str, Any] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    down: bool = False

    def token(self, key: str = "one", algorithm: str = "RS256", named: str | None = None, **claims: Any) -> str:
        """A JWT; claims that are None are left out."""
        said = {"iss": self.issuer, "aud": "vkg", "sub": "anna", "exp": now() + HOUR, "scope": "openid vkg:individual"} | claims
        said = {name: value for name, value in said.items() if value is not None}
        return jwt.encode(said, self.keys[key], algorithm, {"kid": named or key})

    @property
    def jwks(self) -> dict[str, Any]:
        made = []
        for name, key in self.keys.items():
            algorithm = jwt.algorithms.RSAAlgorithm if isinstance(key, rsa.RSAPrivateKey) else jwt.algorithms.ECAlgorithm
            made.append(json.loads(algorithm.to_jwk(key.public_key())) | {"kid": name, "use": "sig"})
        return {"keys": [each for each in made if each["kid"] != "stranger"]}


@pytest.fixture(scope="module")
def keys_made() -> dict[str, Any]:
    made: dict[str, Any] = {name: rsa.generate_private_key(65537, 2048) for name in ("one", "stranger", "next")}
    return made | {"curve": ec.generate_private_key(ec.SECP256R1())}


@pytest.fixture
def idp(keys_made: dict[str, Any]) -> Iterator[Idp]:
    found = Idp(keys={name: key for name, key in keys_made.items() if name != "next"})

    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found.asked.append(self.path)
            said = {"/.well-known/openid-configuration": {"issuer": found.issuer, "jwks_uri": f"{found.issuer}/keys"}, "/keys": found.jwks}
            self.send_response(503 if found.down else 200)
            self.end_headers()
            self.wfile.write(json.dumps(said[self.path]).encode())

        def log_message(self, *_: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    found.issuer = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield found
    server.shutdown()
    server.server_close()


def provided(idp: Idp) -> Accounts:
    return Accounts(Provider(idp.issuer, "vkg"))


def test_a_jwt_of_the_provider_shows_what_its_subject_was_granted(granted: str, serve: Serve, idp: Idp) -> None:
    api = serve(granted, accounts=provided(idp))
    for made in (idp.token(), idp.token("curve", "ES256"), idp.token(scope=None, scp=["vkg:individual"]), idp.token(aud=["vkg", "other"])):
        assert people(api, bearer(made)) == ["ALONE", "DAD", "DAD2"]
    assert people(api, bearer(idp.token(scope="openid"))) == []
    assert people(api, bearer(idp.token(sub="bert"))) == []
    assert people(api, bearer(idp.token(scope=None, roles=["vkg:admin"], sub="root"))) != []
    assert people(api, bearer(token(granted, "anna", "individual"))) != [], "tokens of the store hold beside it"
    assert idp.asked == ["/.well-known/openid-configuration", "/keys"], "keys are kept"


def _unsigned(idp: Idp) -> str:
    _, body, _ = idp.token().split(".")
    return ".".join([base64.urlsafe_b64encode(b'{"alg":"none","kid":"one"}').decode().rstrip("="), body, ""])


def _by_the_public_key(idp: Idp) -> str:
    """Signed with the public key as if it were a secret (CVE-2015-9235)."""
    import hmac

    public = idp.keys["one"].public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    head = base64.urlsafe_b64encode(b'{"alg":"HS256","kid":"one","typ":"JWT"}').decode().rstrip("=")
    text = f"{head}.{idp.token().split('.')[1]}"
    return f"{text}.{base64.urlsafe_b64encode(hmac.digest(public, text.encode(), 'sha256')).decode().rstrip('=')}"


@pytest.mark.parametrize(
    "make",
    [
        lambda idp: idp.token(aud="other"),
        lambda idp: idp.token(aud=None),
        lambda idp: idp.token(iss="https://other.example"),
        lambda idp: idp.token(exp=now() - HOUR),
        lambda idp: idp.token(exp=None),
        lambda idp: idp.token(nbf=now() + HOUR),
        lambda idp: idp.token(sub=None),
        lambda idp: idp.token(sub=""),
        lambda idp: idp.token(sub="anna\x00"),
        lambda idp: idp.token("stranger"),
        lambda idp: idp.token("stranger", named="one"),
        lambda idp: idp.token("curve", "ES256", named="one"),
        lambda idp: idp.token()[:-4] + "AAAA",
        _unsigned,
        _by_the_public_key,
        lambda idp: "x.y.z",
        lambda idp: "no-jwt",
    ],
    ids=[
        "audience",
        "no_audience",
        "issuer",
        "expired",
        "no_expiry",
        "not_yet",
        "no_subject",
        "empty_subject",
        "odd_subject",
        "unknown_key",
        "another_key",
        "other_kind",
        "torn",
        "none",
        "hmac",
        "dots",
        "word",
    ],
)
def test_a_jwt_that_does_not_hold_is_refused(family_url: str, serve: Serve, idp: Idp, make: Callable[[Idp], str]) -> None:
    answer = serve(family_url, accounts=provided(idp)).post("{ store { assembly } }", headers=bearer(make(idp)))
    assert answer.status_code == 401, answer.json()
    assert answer.json()["errors"][0]["message"].startswith("The token ")


def test_keys_that_are_changed_are_fetched_but_strangers_cannot_make_it_ask_again_and_again(
    family_url: str, serve: Serve, idp: Idp, keys_made: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    api = serve(family_url, accounts=provided(idp))
    assert api.post(NAMES, headers=bearer(idp.token())).status_code == 200
    idp.keys["next"] = keys_made["next"]
    assert api.post(NAMES, headers=bearer(idp.token("next"))).status_code == 401, "it was asked a moment ago"
    with monkeypatch.context() as patch:
        patch.setattr(viewer, "BOTHER_SECONDS", -1.0)
        assert api.post(NAMES, headers=bearer(idp.token("next"))).status_code == 200
    times = len(idp.asked)
    for _ in range(5):
        assert api.post(NAMES, headers=bearer(idp.token("stranger"))).status_code == 401
    assert len(idp.asked) == times


def test_keys_hold_while_the_provider_is_away(family_url: str, serve: Serve, idp: Idp, monkeypatch: pytest.MonkeyPatch) -> None:
    api = serve(family_url, accounts=provided(idp))
    assert api.post(NAMES, headers=bearer(idp.token())).status_code == 200
    idp.down = True
    monkeypatch.setattr(viewer, "BOTHER_SECONDS", -1.0)
    monkeypatch.setattr(viewer, "KEYS_SECONDS", -1.0)
    assert api.post(NAMES, headers=bearer(idp.token())).status_code == 200
    monkeypatch.setattr(viewer, "OLDEST_KEYS", -1.0)
    assert api.post(NAMES, headers=bearer(idp.token())).status_code == 503


def test_a_provider_that_does_not_answer_is_no_fault_of_the_token(
    family_url: str, serve: Serve, idp: Idp, monkeypatch: pytest.MonkeyPatch
) -> None:
    idp.down = True
    api = serve(family_url, accounts=provided(idp))
    answer = api.post(NAMES, headers=bearer(idp.token()))
    assert (answer.status_code, answer.json()["errors"][0]["extensions"]["code"]) == (503, "STORE_UNAVAILABLE")
    idp.down = False
    assert api.post(NAMES, headers=bearer(idp.token())).status_code == 503
    assert len(idp.asked) == 1, "it is left alone for a while"
    monkeypatch.setattr(viewer, "BOTHER_SECONDS", -1.0)
    assert api.post(NAMES, headers=bearer(idp.token())).status_code == 200


@pytest.mark.parametrize(
    "url", ["http://idp.example", "ftp://idp.example", "file:///etc/passwd", "https://", "idp.example", "http://127.0.0.1.evil.example"]
)
def test_a_provider_is_asked_over_https_only(url: str) -> None:
    with pytest.raises(ValueError, match="is not a URL of https"):
        checked_url(url)
    with pytest.raises(StoreError, match="is not a URL of https"):
        accounts_of("127.0.0.1", False, url, "vkg", None, False, False, 5)


# ---- what is written down


def entries(url: str) -> list[access.Entry]:
    with psycopg.connect(url, autocommit=True) as conn:
        return access.audit(conn)


def test_what_is_read_of_persons_is_written_down_with_who_and_what(granted: str, serve: Serve) -> None:
    api, anna = serve(granted, accounts=Accounts()), bearer(token(granted, "anna", "individual"))
    api.data('{ store { assembly } variants(region: "20:2000100") { nodes { name } } }', headers=anna)
    assert people(api) == []
    assert entries(granted) == [], "open data is nobody's"

    api.post("query Two { samples(first: 2) { nodes { name } } }", None, anna, operationName="Two")
    (entry,) = entries(granted)
    assert (entry.subject, entry.operation_name) == ("anna", "Two")
    assert entry.operation == hashlib.sha256(b"query Two { samples(first: 2) { nodes { name } } }").hexdigest()
    assert entry.samples == ["narrow/ALONE", "narrow/DAD"]
    with psycopg.connect(granted) as conn:
        assert conn.execute("SELECT max(release_id) FROM release").fetchone() == (entry.release_id,)


@pytest.mark.parametrize(
    ("query", "of"),
    [
        ('{ sample(id: "SON") { id } }', {"SON"}),
        ('{ sample(id: "SON") { variants(first: 1) { nodes { name } } } }', {"SON"}),
        ('{ sample(id: "SON") { father { sex } } }', {"SON", "DAD"}),
        ('{ variant(id: "20-2000100-A-C") { carriers { edges { gt } } } }', {"SON"}),
        ('{ variant(id: "20-2000100-A-C") { genotype(sample: "GIRL") { gt } } }', {"GIRL"}),
        ("{ callsets { samples(first: 2) { totalCount } } }", {"ALONE", "DAD"}),
        ('{ search(text: "GIR") { __typename } }', {"GIRL"}),
        (
            '{ sample(id: "SON") { variants(region: "20:2000000-2300000", filter: { dataset: ["wide"] }, first: 1) { totalCount } } }',
            {"SON"},
        ),
        ('{ variant(id: "20-2000100-A-C") { name } }', set()),
    ],
)
def test_it_is_written_down_of_whom(granted: str, serve: Serve, query: str, of: set[str]) -> None:
    api, anna = serve(granted, accounts=Accounts()), bearer(token(granted, "anna", "individual"))
    assert "errors" not in api.ask(query, headers=anna)
    assert {sample.removeprefix("narrow/") for entry in entries(granted) for sample in entry.samples} == of


def test_totals_are_written_down_too_and_names_stay(granted: str, serve: Serve) -> None:
    api, anna = serve(granted, accounts=Accounts()), bearer(token(granted, "anna", "individual"))
    end = api.data("{ samples(first: 100) { pageInfo { endCursor } } }", headers=anna)["samples"]["pageInfo"]["endCursor"]
    api.data("query ($after: String) { samples(first: 1, after: $after, sex: MALE) { totalCount } }", {"after": end}, anna)
    everybody, nobody_named = entries(granted)
    assert len(everybody.samples) == 10
    assert nobody_named.samples == []
    with psycopg.connect(granted, autocommit=True) as conn:
        conn.execute("DELETE FROM sample")
    assert entries(granted)[0].samples == everybody.samples


def test_filters_mean_the_same_to_whoever_was_granted_one_cohort_only(granted: str, serve: Serve) -> None:
    """Records and frequencies of the other one are open data."""
    api, anna = serve(granted, accounts=Accounts()), bearer(token(granted, "anna", "individual"))
    root = bearer(token(granted, "root", "admin"))
    query = 'query ($f: VariantFilter) { sample(id: "narrow/SON") { variants(region: "20:2000000-2300000", filter: $f) { totalCount } } }'
    for f in (
        {"dataset": ["wide"]},
        {"not": {"dataset": ["wide"]}},
        {"frequency": [{"dataset": "wide", "max": 0.01}]},
        {"impact": ["HIGH"]},
    ):
        found = [api.data(query, {"f": f}, headers)["sample"]["variants"]["totalCount"] for headers in (anna, root)]
        assert found[0] == found[1], f
    assert api.data(query, {"f": {"frequency": [{"dataset": "wide", "max": 0.01}]}}, anna)["sample"]["variants"]["totalCount"] > 0


def test_what_cannot_be_written_down_is_not_answered(granted: str, serve: Serve) -> None:
    api, anna = serve(granted, accounts=Accounts()), bearer(token(granted, "anna", "individual"))
    with psycopg.connect(granted, autocommit=True) as conn:
        conn.execute("ALTER TABLE access_audit ADD CONSTRAINT full_up CHECK (false) NOT VALID")
        answer = api.ask(NAMES, headers=anna)
        assert answer["data"] is None
        assert answer["errors"][0]["extensions"]["code"] in ("INTERNAL", "STORE_UNAVAILABLE")
        assert "ALONE" not in str(answer)
        conn.execute("ALTER TABLE access_audit DROP CONSTRAINT full_up")
    assert people(api, anna) != []


def test_the_log_is_only_ever_added_to(granted: str, serve: Serve) -> None:
    people(serve(granted, accounts=Accounts()), bearer(token(granted, "anna", "individual")))
    with psycopg.connect(granted, autocommit=True) as conn:
        for change in ("UPDATE access_audit SET subject = 'x'", "DELETE FROM access_audit", "TRUNCATE access_audit"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege, match="only ever added to"):
                conn.execute(change)
    assert len(entries(granted)) == 1


# ---- at the shell


def test_tokens_grants_and_the_log_at_the_shell(granted: str, serve: Serve) -> None:
    made = run(granted, "token", "create", "bert", "--scope", "individual", "--expires", "2d", "--label", "his notebook")
    mine = bearer(made.out.strip())
    assert "token 1 of bert, until" in made.err
    assert run(granted, "grant", "add", "bert", "narrow").out == "bert may see narrow\n"
    assert "There is no dataset 'later' yet" in run(granted, "grant", "add", "bert", "later").err
    listed = run(granted, "grant", "list").out
    assert "bert\tlater\tsince" in listed
    assert "(no such dataset yet)" in listed
    assert "1\tbert\tindividual\tuntil" in run(granted, "token", "list").out
    assert json.loads(run(granted, "token", "list", "--json").out)[0]["label"] == "his notebook"
    api = serve(granted, accounts=Accounts())
    assert people(api, mine) == ["ALONE", "DAD", "DUO"]
    assert "\tbert\t- " in run(granted, "audit", "--sample", "narrow/DAD").out
    assert run(granted, "audit", "--sample", "SON").out == ""
    assert json.loads(run(granted, "audit", "--json", "--subject", "bert").out)[0]["samples"] == [
        "narrow/ALONE",
        "narrow/DAD",
        "narrow/DUO",
    ]
    assert run(granted, "token", "revoke", "1").out == "token 1 is revoked\n"
    assert api.post(NAMES, headers=mine).status_code == 401
    assert "1\tbert\tindividual\trevoked" in run(granted, "token", "list").out
    run(granted, "grant", "remove", "bert")
    assert "bert" not in run(granted, "grant", "list").out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["token", "create", "x", "--scope", "root"], "there is no scope 'root'"),
        (["token", "create", "x", "--expires", "soon"], "'soon' is neither a time such as 12h"),
        (["token", "create", "x", "--expires", "2001-01-01"], "is over already"),
        (["token", "revoke", "99"], "there is no token 99"),
        (["grant", "remove", "x", "narrow"], "x was not granted 'narrow'"),
        (["audit", "--since", "yesterday"], "is not a date or time"),
    ],
)
def test_what_is_asked_wrongly_is_told(family_url: str, arguments: list[str], said: str) -> None:
    found = run(family_url, *arguments)
    assert found.code != 0
    assert said in " ".join(found.err.replace("│", " ").split())


# ---- the address that a server listens on


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost", "127.1.2.3"])
def test_on_loopback_no_accounts_are_needed(host: str) -> None:
    assert accounts_of(host, False, None, None, None, False, False, 5) is None


def test_behind_a_proxy_loopback_is_reached_by_others() -> None:
    with pytest.raises(StoreError, match="through a proxy could read"):
        accounts_of("127.0.0.1", False, None, None, None, False, False, 5, reached=True)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7", "example.org", "", "127.0.0.1.example.org"])
def test_beyond_loopback_a_server_does_not_start_without_saying_who_sees_what(host: str) -> None:
    with pytest.raises(StoreError, match="could read all individual-level data"):
        accounts_of(host, False, None, None, None, False, False, 5)
    assert accounts_of(host, True, None, None, None, False, False, 5) == Accounts()
    assert accounts_of(host, False, None, None, None, True, False, 5) == Accounts(open_only=True)
    assert accounts_of(host, False, "https://idp.example", "vkg", None, False, True, 9) == Accounts(
        Provider("https://idp.example", "vkg"), refused=True, least=9
    )
    for options in ((True, "https://idp.example", None, None, False, False), (True, None, None, None, True, False)):
        with pytest.raises(StoreError):
            accounts_of(host, *options, 5)


async def test_a_server_that_cannot_keep_data_from_anybody_does_not_start(granted: str) -> None:
    await check_guarded(granted)
    with psycopg.connect(granted, autocommit=True) as conn:
        conn.execute("GRANT SELECT ON genotype TO vkg_open")
        with pytest.raises(StoreError, match="row-level security does not hold"):
            await check_guarded(granted)
        conn.execute("REVOKE SELECT ON genotype FROM vkg_open")
        await check_guarded(granted)
        conn.execute("ALTER TABLE sample DISABLE ROW LEVEL SECURITY")
        with pytest.raises(StoreError, match="row-level security does not hold"):
            await check_guarded(granted)
