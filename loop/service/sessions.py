"""Logins of browsers: a cookie with a random session id instead of the token, because EventSource sends no header.

``ROOT/.latentloop/sessions.json`` holds the SHA-256 of each id, the token it came from and its end, so that a restart of the server logs
nobody out and the file lets nobody in. A session is worth no more than its token: revoking that ends it.
"""

import hashlib
import json
import time
from pathlib import Path
from secrets import token_urlsafe

from .tokens import FOLDER, write_private

COOKIE = "latentloop_session"
_MOST = 10_000
"""Sessions kept; beyond, the oldest end."""


class SessionFile:
    """The open logins of one server.

    Args:
        root: the server's root folder.
        hours: how long a login lasts.
    """

    def __init__(self, root: Path, hours: float) -> None:
        self.path = root / FOLDER / "sessions.json"
        self.seconds = 3600.0 * hours
        try:
            raw = json.loads(self.path.read_text(encoding="utf-8"))
            self._sessions = {str(mark): (str(token), float(end)) for mark, (token, end) in raw.items()}
        except (OSError, ValueError, TypeError, AttributeError):
            self._sessions = {}  # nobody is let in by a file that cannot be read

    def open(self, token_id: str) -> str:
        """Open a session for a token; return its id, which goes into the cookie."""
        session = token_urlsafe(32)
        now = time.time()
        kept = {mark: entry for mark, entry in self._sessions.items() if entry[1] > now}
        newest = dict(sorted(kept.items(), key=lambda item: item[1][1])[-_MOST + 1 :])
        self._sessions = {**newest, _mark(session): (token_id, now + self.seconds)}
        self._save()
        return session

    def token_of(self, session: str) -> str | None:
        """Return the id of the token that a session came from; None for one that is unknown or over."""
        entry = self._sessions.get(_mark(session))
        return entry[0] if entry is not None and time.time() < entry[1] else None

    def close(self, session: str) -> None:
        """End a session."""
        if self._sessions.pop(_mark(session), None) is not None:
            self._save()

    def _save(self) -> None:
        write_private(self.path, json.dumps(self._sessions))


def _mark(session: str) -> str:
    return hashlib.sha256(session.encode()).hexdigest()
