"""Who asks: nobody in particular, the bearer of a token of this store, or somebody whom an identity provider vouches for.

A token is `vkg_` and 43 characters (`vkg token create`); its SHA-256 is in the store. Anything else is a JWT of the OpenID Connect provider: signed by
a key that it publishes (JWKS), for this audience, of this issuer, not expired (RFC 7519; OpenID Connect Core 1.0, 3.1.3.7). What somebody may see are
the datasets granted to the subject, as far as the scopes go: `individual`, or `admin`, who may see all.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import re
import threading
import time
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import jwt

from store.access import ADMIN, INDIVIDUAL, PREFIX
from store.database import Pools
from store.statements import statement

from .errors import UserError

log = logging.getLogger("vkg.graph")

KNOWN_SECONDS = 10.0
"""For so long a viewer is taken for who it was: what is granted or revoked takes effect as late as that."""

MOST_KNOWN = 10_000
KEYS_SECONDS, OLDEST_KEYS = 300.0, 86_400.0
"""Seconds after which the provider is asked for its keys again, and after which those that it told before hold no longer."""

BOTHER_SECONDS = 10.0
"""Seconds between two questions to the provider."""

LONGEST_SUBJECT = 255
"""Characters, as in OpenID Connect Core 1.0, 2."""

LEEWAY = 10
"""Seconds by which clocks may differ."""

ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
"""Signatures by public keys; a secret that both sides know is none that a provider could publish."""

_BEARER = re.compile(rb"bearer +([\x21-\x7e]{1,8192}) *", re.IGNORECASE)


@dataclass(frozen=True)
class Viewer:
    """Who asks, and the datasets whose individual-level data it may see; None for all."""

    subject: str | None
    datasets: frozenset[str] | None


OWNER = Viewer("local", None)
"""Who asks where no accounts are kept: whoever can reach this machine's loopback, or the command line."""

NOBODY = Viewer(None, frozenset())
"""Who asks without credentials: sees open data."""


@dataclass(frozen=True)
class Provider:
    """An OpenID Connect provider: its issuer, the audience that its tokens must be for, where its keys are (found by discovery where not given)."""

    issuer: str
    audience: str
    jwks: str | None = None


class Viewers:
    """Tells who asks by the header Authorization."""

    def __init__(self, pools: Pools, provider: Provider | None = None) -> None:
        self._pools, self._provider = pools, provider
        self._keys: dict[str | None, jwt.PyJWK] = {}  # by their names
        self._asked = self._told = float("-inf")  # when the provider was asked for keys, and when it told them
        self._asking = threading.Lock()
        self._known: dict[bytes, tuple[float, Viewer]] = {}  # by the hash of the credentials

    def known(self, headers: Mapping[bytes, bytes]) -> Viewer | None:
        """Who asks, where these credentials were looked at lately."""
        found = _BEARER.fullmatch(headers.get(b"authorization", b""))
        until, viewer = self._known.get(hashlib.sha256(found[1]).digest(), (0.0, NOBODY)) if found else (0.0, NOBODY)
        return viewer if time.monotonic() < until else None

    async def of(self, headers: Mapping[bytes, bytes]) -> Viewer:
        """The viewer of a request. Raises UserError UNAUTHENTICATED for credentials that are none, or are not good any more."""
        given = headers.get(b"authorization")
        if given is None:
            return NOBODY
        found = _BEARER.fullmatch(given)
        if found is None:
            raise _refused("The header Authorization is not `Bearer TOKEN`.")
        if (known := self.known(headers)) is not None:
            return known
        digest, now = hashlib.sha256(found[1]).digest(), time.monotonic()
        if found[1].startswith(PREFIX.encode()):
            subject, scopes, left = await self._of_token(digest)
        else:
            subject, scopes, left = await self._of_jwt(found[1].decode())
        viewer = Viewer(subject, await self._datasets(subject, scopes))
        if len(self._known) >= MOST_KNOWN:
            self._known.clear()
        self._known[digest] = now + min(KNOWN_SECONDS, left), viewer
        return viewer

    async def _of_token(self, digest: bytes) -> tuple[str, list[str], float]:
        rows = await self._pools.fetch(statement("token_subject"), digest)
        if not rows:
            raise _refused("The token is not one of this store, or it expired or was revoked.")
        return rows[0]["subject"], rows[0]["scopes"], rows[0]["expires_at"].timestamp() - time.time()

    async def _of_jwt(self, token: str) -> tuple[str, list[str], float]:
        provider = self._provider
        if provider is None:
            raise _refused("The token is not one of this store.")
        try:
            claims = await asyncio.to_thread(self._claims, token, provider)
        except jwt.PyJWKClientConnectionError as error:
            raise UserError(
                "STORE_UNAVAILABLE", "The identity provider does not answer just now.", hint="Try again in a moment."
            ) from error
        except jwt.PyJWTError as error:
            raise _refused(f"The token is not good: {error}.") from None
        subject = claims["sub"]
        if not isinstance(subject, str) or not subject or not subject.isprintable() or len(subject) > LONGEST_SUBJECT:
            raise _refused("The token names no subject.")
        return subject, _scopes(claims), float(claims["exp"]) - time.time()

    def _claims(self, token: str, provider: Provider) -> dict[str, Any]:
        """The claims of a JWT that holds; may ask the provider for its keys. Runs in a thread."""
        return jwt.decode(
            token, self._key(token, provider), algorithms=list(ALGORITHMS), audience=provider.audience, issuer=provider.issuer, leeway=LEEWAY,
            options={"require": ["exp", "iss", "aud", "sub"]},
        )  # fmt: skip

    def _key(self, token: str, provider: Provider) -> jwt.PyJWK:
        """The key that a token says it is signed with. The provider is asked for keys that are old or not known: by one thread, and as often as it may be
        bothered. Where it does not answer, keys that are not too old hold. Raises jwt.PyJWTError."""
        name, now = jwt.get_unverified_header(token).get("kid"), time.monotonic()
        if (
            (name not in self._keys or now - self._told > KEYS_SECONDS)
            and now - self._asked > BOTHER_SECONDS
            and self._asking.acquire(blocking=False)
        ):
            try:
                self._asked = now
                self._keys = {key.key_id: key for key in jwt.PyJWKSet.from_dict(_told(provider.jwks or _discovered(provider))).keys}
                self._told = now
            except (OSError, ValueError, KeyError, TypeError, AttributeError, jwt.PyJWTError) as error:
                log.error("cannot learn the keys of %s: %s", provider.issuer, error)
            finally:
                self._asking.release()
        if now - self._told > OLDEST_KEYS:
            raise jwt.PyJWKClientConnectionError("no keys")
        if name not in self._keys:
            raise jwt.InvalidKeyError("no key of the provider has its kid")
        return self._keys[name]

    async def _datasets(self, subject: str, scopes: list[str]) -> frozenset[str] | None:
        if ADMIN in scopes:
            return None
        if INDIVIDUAL not in scopes:
            return frozenset()
        (row,) = await self._pools.fetch(statement("granted_datasets"), subject)
        return frozenset(row["datasets"])


def _scopes(claims: Mapping[str, Any]) -> list[str]:
    """Our scopes among those of a JWT: `vkg:individual` and `vkg:admin` in `scope` (RFC 8693, separated by spaces), `scp` or `roles`."""
    found: list[str] = []
    for claim in ("scope", "scp", "roles"):
        value = claims.get(claim)
        texts = value.split() if isinstance(value, str) else value if isinstance(value, list) else []
        found += [text for text in texts if isinstance(text, str)]
    return [each.removeprefix("vkg:") for each in found if each.startswith("vkg:")]


def _discovered(provider: Provider) -> str:
    """Where an issuer has its keys (OpenID Connect Discovery 1.0, 4). Raises OSError, ValueError, KeyError or TypeError."""
    said = _told(provider.issuer.rstrip("/") + "/.well-known/openid-configuration")
    if said["issuer"] != provider.issuer:
        raise ValueError(f"it says that it is {said['issuer']!r}")
    return checked_url(said["jwks_uri"])


def _told(url: str) -> Any:
    """The JSON at an address, whose scheme was looked at. Raises OSError or ValueError."""
    with urllib.request.urlopen(url, timeout=5) as answer:
        return json.loads(answer.read(1 << 20))


def checked_url(url: str) -> str:
    """A URL of a provider. Raises ValueError where it is neither https nor on loopback: what came over it could be anybody's."""
    parts = urlsplit(url)
    if (parts.scheme == "https" and parts.hostname) or (parts.scheme == "http" and parts.hostname in ("127.0.0.1", "localhost", "::1")):
        return url
    raise ValueError(f"{url!r} is not a URL of https (or of http on loopback)")


def _refused(what: str) -> UserError:
    return UserError("UNAUTHENTICATED", what, hint="Send `Authorization: Bearer TOKEN`, or no such header for open data.")
