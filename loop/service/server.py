"""Runs the application under uvicorn: limits on slow connections, and an end that lets streams go at once."""

import asyncio
import ipaddress
import logging
import socket
from pathlib import Path
from types import FrameType
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from ..errors import ConfigError, StoreError
from .app import make_app
from .launcher import Launcher, LocalLauncher
from .settings import ServerSettings, load_settings
from .tokens import TokenFile, prepare_root

log = logging.getLogger("latentloop.service")

_GRACE_SECONDS = 1
_KEEP_ALIVE_SECONDS = 15
_FORMAT = "%(asctime)s %(levelname)s %(message)s"


def serve(root: Path, host: str, port: int, *, ray: str | None, config: Path | None, has_authentication: bool) -> None:
    """Serve the campaigns under a root until told to stop.

    Args:
        root: the folder that holds them; made if need be.
        host: address to listen at.
        port: port to listen at; 0 for a free one.
        ray: address of a Ray cluster whose actors drive the campaigns; None for processes of this machine.
        config: the server's configuration.
        has_authentication: False asks for no token.

    Raises:
        ConfigError: an address that is not loopback without authentication, or a configuration that is wrong.
        StoreError: the root cannot be used, or the port is taken.
    """
    if not has_authentication and not is_loopback(host):
        raise ConfigError(
            f"--no-auth lets everybody do everything, and {host} can be reached from outside; use --host 127.0.0.1, or tokens"
        )
    logging.basicConfig(level=logging.INFO, format=_FORMAT)
    settings = load_settings(config)
    prepared = prepare_root(root)
    app = make_app(prepared, settings, has_authentication=has_authentication, launcher=_launcher(prepared, ray))
    if has_authentication and not TokenFile(prepared).all():
        log.warning("nobody can log in yet: make a token with `latentloop token create --root %s --role admin`", root)
    listening = _listen(host, port)
    server = Server(app, settings, listening)
    log.info("latentloop serves %s at http://%s:%d", prepared, host if ":" not in host else f"[{host}]", listening.getsockname()[1])
    asyncio.run(server.serve(sockets=[listening]))


def is_loopback(host: str) -> bool:
    """Return whether an address can be reached from this machine only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


class Server(uvicorn.Server):
    """uvicorn, which lets the streams end before it waits for its connections.

    Args:
        app: the application.
        settings: its limits.
        listening: the socket.
    """

    def __init__(self, app: Any, settings: ServerSettings, listening: socket.socket) -> None:
        protocol = type("Protocol", (_Punctual,), {"head_seconds": settings.limits.body_seconds})
        config = uvicorn.Config(
            app,
            http=protocol,
            ws="none",
            loop="asyncio",
            lifespan="on",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=_KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=_GRACE_SECONDS,
            limit_concurrency=settings.limits.watchers + 1000,
            backlog=2048,
        )
        super().__init__(config)
        self._desk = app.state.desk
        self._listening = listening

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002 - the signature that signal wants
        """Stop in peace; at once when asked again. Being told to stop is no failure: the process ends with 0."""
        self.force_exit = self.should_exit
        self.should_exit = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Let the streams end, then wait for what is under way."""
        self._desk.close()
        await super().shutdown(sockets)


class _Punctual(H11Protocol):
    """A connection that has to say within some seconds what it wants."""

    head_seconds = 15.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for the head of a request."""
        super().connection_made(transport)
        self.loop.call_later(self.head_seconds, self._give_up)

    def _give_up(self) -> None:
        has_said_nothing: bool = getattr(self, "cycle", None) is None  # uvicorn's annotation knows no None
        if has_said_nothing and not self.transport.is_closing():
            log.warning("a connection from %s said nothing for %g s", self.client[0] if self.client else "?", self.head_seconds)
            self.transport.close()


def _launcher(root: Path, ray: str | None) -> Launcher:
    if ray is None:
        return LocalLauncher(root)
    from .ray_launcher import RayLauncher

    return RayLauncher(root, ray)


def _listen(host: str, port: int) -> socket.socket:
    """Return a listening socket."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    made = socket.socket(family, socket.SOCK_STREAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        made.bind((host.strip("[]"), port))
    except OSError as error:
        made.close()
        raise StoreError(f"cannot listen at {host} port {port}: {error.strerror}; choose another --port") from error
    made.listen(2048)
    made.set_inheritable(False)
    return made
