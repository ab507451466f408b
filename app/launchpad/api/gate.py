"""Who may call: API keys, and without any, only this machine."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from launchpad.api.errors import error_response
from launchpad.errors import AuthenticationError, ConfigurationError, ForbiddenError, LaunchpadError
from launchpad.settings import Settings

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_PADDED = 16
"""From this length on, a line that ends in `=` is a base64 key without a name; a shorter one is a
name whose key is missing, an unset variable for instance."""
OPEN_PATHS = frozenset({"/health"})
POLICY_VIOLATION = 1008
"""How a websocket that may not be opened is closed (RFC 6455, 7.4.1); servers make a 403 of it."""
_NEIGHBOURHOOD = frozenset({b"host", b"origin"})
_REMEMBERED = 256
"""Combinations of those headers that were let in once, and need no second look."""
_SHORT = 256


class Gate:
    """ASGI middleware that turns away who may not call.

    With API keys set, every path but `/health` needs one. Without, a request must be meant for
    this machine: a foreign `Host` (DNS rebinding) or `Origin` (another site's page) gets 403.
    The name of the key that was used is left in `scope["state"]["launchpad.key"]`. `keys` is what
    `read_keys` gave.
    """

    def __init__(self, app: ASGIApp, settings: Settings, keys: Mapping[str, bytes]) -> None:
        self._app = app
        self._keys = keys
        self._origins = frozenset(settings.cors_origins)
        self._any_host = settings.allow_unauthenticated
        self._hosts = LOOPBACK | {settings.host}
        self._let_in: set[tuple[tuple[bytes, bytes], ...]] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer it with 401 or 403."""
        if scope["type"] != "lifespan" and _path_within(scope) not in OPEN_PATHS:
            try:
                self._check(scope)
            except LaunchpadError as error:
                if scope["type"] == "websocket":
                    # None of ours; but a route of a user's own stands behind this gate too.
                    await send({"type": "websocket.close", "code": POLICY_VIOLATION})
                else:
                    await error_response(error)(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _check(self, scope: Scope) -> None:
        if not self._keys:
            headers = scope["headers"]
            asked = tuple([(name, value) for name, value in headers if name in _NEIGHBOURHOOD])
            if asked not in self._let_in:
                self._check_neighbourhood(Headers(scope=scope))
                if len(self._let_in) < _REMEMBERED and all(len(v) < _SHORT for _, v in asked):
                    self._let_in.add(asked)
            return
        name = self._key_name(_presented(Headers(scope=scope)))
        scope.setdefault("state", {})["launchpad.key"] = name

    def _check_neighbourhood(self, headers: Headers) -> None:
        given = headers.getlist("host")
        host = _hostname("//" + given[0]) if len(given) == 1 and "@" not in given[0] else None
        if not self._any_host and host not in self._hosts:
            asked = f" not to {host!r}." if host else " and the request names no host."
            raise ForbiddenError(
                f"This server answers to localhost only,{asked} Set LAUNCHPAD_API_KEYS to serve "
                "other host names."
            )
        origin = headers.get("origin")
        if origin is None or origin in self._origins or "*" in self._origins:
            return
        if _hostname(origin) not in LOOPBACK | {host}:
            raise ForbiddenError(
                "Pages of this origin may not call this server. Name it in LAUNCHPAD_CORS_ORIGINS."
            )

    def _key_name(self, presented: str | None) -> str:
        if presented is None:
            raise AuthenticationError(
                "No API key was given. Send it as 'Authorization: Bearer KEY' or 'x-api-key: KEY'."
            )
        digest = hashlib.sha256(_as_typed(presented).encode()).digest()
        found = None
        for name, known in self._keys.items():
            # All of them are compared, so that time tells nothing about which one was near.
            if hmac.compare_digest(digest, known):
                found = name
        if found is None:
            raise AuthenticationError("The API key is not known to this server.")
        return found


def _path_within(scope: Scope) -> str:
    """The path below where this application is mounted (ASGI's `root_path`)."""
    path: str = scope["path"]
    root: str = scope.get("root_path", "")
    return path[len(root) :] if root and path.startswith(root + "/") else path


def _presented(headers: Headers) -> str | None:
    scheme, _, token = headers.get("authorization", "").partition(" ")
    # Not more than HTTP's own blanks: others may be bytes of a letter.
    token = token.strip(" \t")
    if scheme.lower() == "bearer" and token:
        return token
    return headers.get("x-api-key") or None


def _as_typed(key: str) -> str:
    """A header's value, which ASGI servers decode as Latin-1, as the person typed it."""
    try:
        return key.encode("latin-1").decode()
    except UnicodeDecodeError:
        # Browsers send Latin-1.
        return key


def _hostname(url: str) -> str | None:
    try:
        return urlsplit(url).hostname
    except ValueError:
        return None


def read_keys(settings: Settings) -> Mapping[str, bytes]:
    """Every key's name and SHA-256 digest. Raises `ConfigurationError` for a line it can't read."""
    lines = [secret.get_secret_value() for secret in settings.api_keys]
    if settings.api_keys_file is not None:
        found = _lines_of(settings.api_keys_file)
        if not found:
            # An empty secret must not open the server to everybody.
            raise ConfigurationError(
                f"LAUNCHPAD_API_KEYS_FILE {settings.api_keys_file} holds no key; write name=key, "
                "one a line, or unset it."
            )
        lines += found
    keys: dict[str, bytes] = {}
    for number, line in enumerate(lines, 1):
        name, equals, value = line.partition("=")
        if not equals or (not value.strip("=") and len(line) >= _PADDED):
            name, value = f"key-{number}", line
        if not value.strip() or name.strip() in keys:
            raise ConfigurationError(
                f"API key {number} ({name.strip()}) is empty or its name is taken; write name=key, "
                "each name once."
            )
        keys[name.strip()] = _digest(name.strip(), value.strip())
    return keys


def _digest(name: str, value: str) -> bytes:
    if not value.startswith("sha256:"):
        return hashlib.sha256(value.encode()).digest()
    try:
        digest = bytes.fromhex(value.removeprefix("sha256:"))
    except ValueError:
        digest = b""
    if len(digest) != hashlib.sha256().digest_size:
        raise ConfigurationError(f"The hash of API key {name} is not 64 hexadecimal digits.")
    return digest


def _lines_of(path: Path) -> list[str]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not in UTF-8"
        raise ConfigurationError(
            f"LAUNCHPAD_API_KEYS_FILE {path} cannot be read: {reason}."
        ) from error
    lines = [line.strip() for line in text.splitlines()]
    return [line for line in lines if line and not line.startswith("#")]
