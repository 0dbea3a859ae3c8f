"""The gate in front of every request: where it says it goes to, how much it brings, how often, and who it is.

Plain ASGI around the application, so that nothing behind it can be forgotten: whatever path is not open needs a token, and an answer
leaves with the security headers whoever made it. A cookie counts only when the request's Origin, where it has one, is this server; where
no token is asked for, the Host must be a loopback name as well, so that no foreign page can reach the server by a name that it rebinds.
"""

import asyncio
import logging
import time
from collections import OrderedDict
from http.cookies import CookieError, SimpleCookie
from urllib.parse import urlsplit

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .problems import problem
from .sessions import COOKIE, SessionFile
from .settings import ServerSettings
from .tokens import Principal, Token, TokenFile

log = logging.getLogger("latentloop.service")

LOGIN = "/api/v1/login"
OPEN_PATHS = frozenset({"/", "/login", "/healthz", "/readyz", LOGIN, "/favicon.ico"})
"""Paths that need no token: health, readiness, login and the page itself; static files are open, too."""
OPEN_FOLDER = "/static/"
LOOPBACK_HOSTS = frozenset({"127.0.0.1", "localhost", "::1"})
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; font-src 'self' data:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    b"content-security-policy": _CSP.encode(),
    b"x-content-type-options": b"nosniff",
    b"x-frame-options": b"DENY",
    b"referrer-policy": b"no-referrer",
    b"cross-origin-opener-policy": b"same-origin",
    b"cross-origin-resource-policy": b"same-origin",
    b"permissions-policy": b"camera=(), geolocation=(), microphone=()",
    b"cache-control": b"no-store",
}
"""Styles may be inline because Plotly sets them; scripts may not."""
_MOST_BUCKETS = 10_000
_MINUTE = 60.0


class Gate:
    """Checks requests before the application sees them.

    Args:
        app: the application.
        settings: limits and host names.
        tokens: None where no token is asked for.
        sessions: open logins.
    """

    def __init__(self, app: ASGIApp, settings: ServerSettings, tokens: TokenFile | None, sessions: SessionFile) -> None:
        self.app = app
        self._limits = settings.limits
        self._hosts = frozenset(settings.hosts) | (LOOPBACK_HOSTS if tokens is None or settings.hosts else frozenset())
        self._tokens = tokens
        self._sessions = sessions
        self._buckets = Buckets(settings.limits.requests_per_second, settings.limits.burst)
        self._failures = Buckets(settings.limits.failed_logins / _MINUTE, settings.limits.failed_logins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request pass, or answer it here."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self.app(scope, receive, send)
            return  # there are no other protocols here
        headers = {name.lower(): value.decode("latin-1") for name, value in scope["headers"]}
        address = scope["client"][0] if scope.get("client") else "local"
        who = address
        status = 500

        async def guarded(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                given = {name.lower() for name, _ in message["headers"]}
                message["headers"] = [*message["headers"], *((name, value) for name, value in HEADERS.items() if name not in given)]
            await send(message)

        try:
            self._require_host(headers)
            principal = self._principal(scope, headers, address)
            who = address if principal is None else f"{principal.name} ({principal.role}) at {address}"
            key = principal.token if principal is not None and principal.token else address
            self._require_patience(key)
            scope.setdefault("state", {})["principal"] = principal
            scope["state"]["address"] = address
            await self.app(scope, self._limited(scope, headers, receive), guarded)
        except HTTPException as error:
            await problem(error.status_code, str(error.detail), error.headers)(scope, receive, guarded)
        if status >= 400:
            log.warning("%s %s from %s: %d", scope["method"], scope["path"][:200].encode("unicode_escape").decode(), who, status)

    def note_failed_login(self, address: str) -> None:
        """Remember a wrong token; too many from one address are refused for a while. Raises HTTPException."""
        if not self._failures.take(address):
            raise HTTPException(429, "too many wrong tokens from this address; wait a minute", {"Retry-After": "60"})

    def _require_patience(self, key: str) -> None:
        """Refuse those who ask too often."""
        if not self._buckets.take(key):
            raise HTTPException(429, "too many requests; wait a moment", {"Retry-After": "1"})

    def _require_host(self, headers: dict[bytes, str]) -> None:
        """Refuse names that are not this server's: a foreign page may have its own name point here (DNS rebinding)."""
        if self._hosts and (_host_name(headers.get(b"host", "")) not in self._hosts):
            raise HTTPException(421, "this server does not go by that host name; address it as 127.0.0.1, or name it under hosts")

    def _principal(self, scope: Scope, headers: dict[bytes, str], address: str) -> Principal | None:
        """Return who makes a request; None where a path is open to all.

        Raises:
            HTTPException: nobody that is known, or a browser acting for a foreign page.
        """
        is_unsafe = scope["method"] not in _SAFE
        if self._tokens is None:
            if is_unsafe:
                _require_origin(headers, is_required=False)
            return Principal("anonymous", "admin", None, "")
        bearer = headers.get(b"authorization", "")
        token: Token | None = None
        if bearer:
            scheme, _, text = bearer.partition(" ")
            token = self._tokens.check(text.strip()) if scheme.lower() == "bearer" else None
            if token is None and (not _is_open(scope["path"]) or scope["path"] == LOGIN):  # that one would tell good from bad
                self.note_failed_login(address)
                raise HTTPException(401, "the token is wrong, revoked or expired", {"WWW-Authenticate": "Bearer"})
        elif session := _cookie(headers.get(b"cookie", "")):
            token_id = self._sessions.token_of(session)
            token = None if token_id is None else self._tokens.valid(token_id)
            # Reading too: an EventSource of another port of this host would send the cookie.
            if token is not None and (is_unsafe or scope["path"].startswith("/api/")):
                _require_origin(headers, is_required=is_unsafe)
        if token is not None:
            return Principal(token.name, token.role, token.campaigns, token.id)
        if _is_open(scope["path"]):
            if scope["path"] == LOGIN and headers.get(b"origin"):
                _require_origin(headers, is_required=True)
            return None
        raise HTTPException(401, "log in, or send a token: Authorization: Bearer ll_...", {"WWW-Authenticate": "Bearer"})

    def _limited(self, scope: Scope, headers: dict[bytes, str], receive: Receive) -> Receive:
        """Return `receive` with a limit on size and time of the body. Raises HTTPException at once where the size is announced."""
        limit = self._limits.result_bytes if scope["path"].endswith("/result") else self._limits.body_bytes
        announced = headers.get(b"content-length", "0")
        if announced.isdigit() and int(announced) > limit:
            raise _too_large(limit)
        deadline = time.monotonic() + self._limits.body_seconds
        received, is_done = 0, False

        async def limited() -> Message:
            nonlocal received, is_done
            if is_done:  # now it can only tell that the client has gone
                return await receive()
            try:
                async with asyncio.timeout(max(0.0, deadline - time.monotonic())):
                    message = await receive()
            except TimeoutError:
                raise HTTPException(
                    408, f"the request took longer than {self._limits.body_seconds:g} s to arrive", {"Connection": "close"}
                ) from None
            received += len(message.get("body", b""))
            is_done = message["type"] != "http.request" or not message.get("more_body", False)
            if received > limit:
                raise _too_large(limit)
            return message

        return limited


class Buckets:
    """How much each of many may still do: a bucket per key that fills at a steady rate.

    Args:
        rate: per second.
        size: at most at once.
    """

    def __init__(self, rate: float, size: int) -> None:
        self._rate, self._size = rate, float(size)
        self._levels: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, key: str) -> bool:
        """Take one out of a bucket; False when it is empty."""
        now = time.monotonic()
        level, at = self._levels.pop(key, (self._size, now))
        level = min(self._size, level + self._rate * (now - at))
        allowed = level >= 1.0
        self._levels[key] = (level - 1.0 if allowed else level, now)
        if len(self._levels) > _MOST_BUCKETS:
            self._levels.popitem(last=False)
        return allowed


def _too_large(limit: int) -> HTTPException:
    return HTTPException(413, f"the body is larger than the {limit} bytes that this server takes", {"Connection": "close"})


def _is_open(path: str) -> bool:
    return path in OPEN_PATHS or path.startswith(OPEN_FOLDER)


def _cookie(header: str) -> str | None:
    try:
        morsel = SimpleCookie(header).get(COOKIE)
    except CookieError:
        return None
    return None if morsel is None else morsel.value


def _host_name(host: str) -> str:
    """Return a Host header without its port, in lower case; empty for one that is none."""
    try:
        return (urlsplit(f"//{host}").hostname or "").lower()
    except ValueError:
        return ""


def _require_origin(headers: dict[bytes, str], *, is_required: bool) -> None:
    """Raise HTTPException when a browser sends a request for a page of another origin."""
    origin = headers.get(b"origin")
    site = headers.get(b"sec-fetch-site", "same-origin")
    if origin is None:
        if is_required or site not in ("same-origin", "none"):
            raise HTTPException(403, "a request with a cookie needs an Origin header that names this server")
        return
    try:
        place = urlsplit(origin).netloc.lower()
    except ValueError:
        place = ""
    if not place or place != headers.get(b"host", "").lower() or site not in ("same-origin", "none"):
        raise HTTPException(403, "this request comes from a page of another origin")
