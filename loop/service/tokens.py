"""Who may do what: bearer tokens with roles, kept as hashes.

A token is ``ll_<id>_<secret>`` with 32 random bytes of secret; shown once, when it is made. The file ``ROOT/.latentloop/tokens.json``
(mode 600) holds the SHA-256 of each secret: 256 random bits need no slow hash, which is for what people choose. A token may be limited to
some campaigns and to a time. A revoked one stays in the list and is refused from the next request on, open streams within seconds.
"""

import hashlib
import hmac
import json
import os
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from secrets import token_hex, token_urlsafe
from typing import get_args

from ..errors import ConfigError, StoreError
from ..messages import Role

ROLES: tuple[Role, ...] = get_args(Role)
GRANTS: dict[str, frozenset[str]] = {
    "viewer": frozenset({"viewer"}),
    "operator": frozenset({"viewer", "operator"}),
    "instrument": frozenset({"instrument"}),
    "admin": frozenset({"viewer", "operator", "instrument", "admin"}),
}
"""What each role may do, in the words of the routes."""
FOLDER = ".latentloop"
"""The server's own folder under its root."""


@dataclass(frozen=True, slots=True)
class Token:
    """What is known of a token; its secret is not."""

    id: str
    name: str
    role: Role
    campaigns: tuple[str, ...] | None
    """Names of the campaigns it is good for; None for all."""
    sha256: str
    created_at: float
    expires_at: float | None = None
    revoked_at: float | None = None

    def is_valid(self, now: float) -> bool:
        """Return whether it is neither revoked nor expired."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)


@dataclass(frozen=True, slots=True)
class Principal:
    """Whoever makes a request."""

    name: str
    role: Role
    campaigns: tuple[str, ...] | None
    token: str
    """Id of the token; empty where the server asks for none."""

    def may(self, act: str) -> bool:
        """Return whether its role allows an act: viewer, operator, instrument, admin, or any."""
        return act == "any" or act in GRANTS[self.role]

    def sees(self, campaign: str) -> bool:
        """Return whether it has to do with a campaign."""
        return self.campaigns is None or campaign in self.campaigns


class TokenFile:
    """The tokens of one server.

    Args:
        root: the server's root folder.
    """

    def __init__(self, root: Path) -> None:
        self.path = root / FOLDER / "tokens.json"
        self._read_at = (-1, -1)
        self._tokens: dict[str, Token] = {}

    def create(self, name: str, role: str, campaigns: Sequence[str] | None = None, days: float | None = None) -> str:
        """Make a token and return it; this is the only time that it is seen.

        Raises:
            ConfigError: an unknown role.
        """
        require_role(role)
        secret = token_urlsafe(32)
        now = time.time()
        made = Token(
            id=token_hex(5),
            name=name,
            role=next(known for known in ROLES if known == role),
            campaigns=None if campaigns is None else tuple(campaigns),
            sha256=hashlib.sha256(secret.encode()).hexdigest(),
            created_at=now,
            expires_at=None if days is None else now + 86400 * days,
        )
        self._write({**self.all(), made.id: made})
        return f"ll_{made.id}_{secret}"

    def all(self) -> dict[str, Token]:
        """Return all tokens by id, revoked ones included; reads the file again only when it has changed."""
        try:
            found = self.path.stat()
        except FileNotFoundError:
            return {}
        mark = (found.st_mtime_ns, found.st_ino)
        if mark != self._read_at:
            try:
                raw = json.loads(self.path.read_text(encoding="utf-8"))
                tokens = [Token(**{**item, "campaigns": _as_tuple(item["campaigns"])}) for item in raw]
            except (OSError, ValueError, TypeError, KeyError) as error:
                raise StoreError(f"cannot read the tokens in {self.path}: {error}; restore it, or delete it and make new ones") from error
            self._tokens, self._read_at = {token.id: token for token in tokens}, mark
        return dict(self._tokens)

    def revoke(self, token_id: str) -> Token:
        """Make a token worthless from now on.

        Raises:
            ConfigError: there is none with this id.
        """
        tokens = self.all()
        if token_id not in tokens:
            raise ConfigError(f"there is no token {token_id!r}; `latentloop token list` shows their ids")
        revoked = replace(tokens[token_id], revoked_at=tokens[token_id].revoked_at or time.time())
        self._write({**tokens, token_id: revoked})
        return revoked

    def check(self, text: str) -> Token | None:
        """Return the token that a text is; None for one that is wrong, revoked or expired."""
        parts = text.split("_", 2)
        if len(parts) != 3 or parts[0] != "ll":
            return None
        token = self.all().get(parts[1])
        given = hashlib.sha256(parts[2].encode()).hexdigest()
        if token is None or not hmac.compare_digest(given, token.sha256) or not token.is_valid(time.time()):
            return None
        return token

    def valid(self, token_id: str) -> Token | None:
        """Return the token with an id, unless it is revoked or expired."""
        token = self.all().get(token_id)
        return token if token is not None and token.is_valid(time.time()) else None

    def _write(self, tokens: dict[str, Token]) -> None:
        write_private(self.path, json.dumps([asdict(token) for token in tokens.values()], indent=1))


def prepare_root(root: Path) -> Path:
    """Return the root as an absolute path, made if need be, with the server's own folder in it.

    Raises:
        StoreError: it cannot be made.
    """
    try:
        made = root.expanduser().resolve()
        (made / FOLDER).mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"cannot use {root} as the server's root: {error.strerror}") from error
    return made


def write_private(path: Path, text: str) -> None:
    """Replace a file that nobody but this user may read.

    Raises:
        StoreError: the disk refused.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{token_hex(4)}.tmp")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise StoreError(f"cannot write {path}: {error.strerror}") from error


def _as_tuple(value: Sequence[str] | None) -> tuple[str, ...] | None:
    return None if value is None else tuple(value)


def require_role(role: str) -> None:
    """Raise ConfigError for a role that there is not."""
    if role not in ROLES:
        raise ConfigError(f"unknown role {role!r}; known are {', '.join(ROLES)}")
