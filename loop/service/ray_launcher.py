"""Drives campaigns on a Ray cluster that was started outside the server: a detached actor each, which outlives the server.

The root has to be a folder that server and cluster share. What is known of a launch is kept there as for processes; the actor is found
again by its name, in the namespace ``latentloop``. An actor that ends a campaign ends itself.
"""

import hashlib
import json
import logging
import os
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ..errors import ExecutorError, StoreError
from .launcher import Launch, LocalLauncher
from .tokens import write_private

log = logging.getLogger("latentloop.service")

NAMESPACE = "latentloop"
_ANSWER_SECONDS = 10.0
_LOOK_SECONDS = 1.0
_QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}


class RayLauncher(LocalLauncher):
    """Starts drivers as detached actors.

    Args:
        root: the server's root folder, shared with the cluster.
        address: of the cluster's head.

    Raises:
        ExecutorError: the cluster cannot be reached.
    """

    def __init__(self, root: Path, address: str) -> None:
        super().__init__(root)
        for name, value in _QUIET.items():
            os.environ.setdefault(name, value)
        if _has_token():  # `ray start` asks for the token as soon as there is one; a client only shows it when told so beforehand
            os.environ.setdefault("RAY_AUTH_MODE", "token")
        import ray

        self._ray = ray
        try:
            ray.init(address=address, namespace=NAMESPACE, log_to_driver=False, logging_level=logging.ERROR)
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise ExecutorError(f"cannot reach a Ray cluster at {address}: {error}; start one with `ray start --head`") from error
        self._seen: dict[str, tuple[float, bool]] = {}

    def is_alive(self, name: str) -> bool:
        """Return whether a campaign has an actor, as of at most a second ago."""
        at, found = self._seen.get(name, (float("-inf"), False))
        now = time.monotonic()
        if now - at > _LOOK_SECONDS:
            found = self._actor(name) is not None
            self._seen[name] = (now, found)
        return found

    def _start(self, name: str, command: str, *arguments: str) -> None:
        if self._actor(name) is not None:
            raise StoreError(f"campaign {name} has a driver already; stop that one first, or wait for it")
        path = self._log(name)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        remote: Any = self._ray.remote(CampaignActor).options(
            name=self._name(name),
            namespace=NAMESPACE,
            lifetime="detached",
            num_cpus=0,
            max_restarts=0,  # a campaign is resumed by a person, or by the server as it is configured
            max_task_retries=0,
            max_concurrency=2,
            runtime_env={"env_vars": {**_QUIET, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}},
        )
        try:
            actor = remote.remote()
            process = self._ray.get(actor.process.remote(), timeout=60.0)
        except self._ray.exceptions.RayError as error:
            raise ExecutorError(f"Ray cannot start a driver for {name}: {error}") from error
        actor.drive.remote(command, arguments, str(path))
        self._seen.pop(name, None)
        write_private(self._record(name), json.dumps(asdict(Launch(name, process, "ray", time.time(), command))))
        log.info("started actor %s to %s %s", self._name(name), command, name)

    def _actor(self, name: str) -> Any:
        """Return a campaign's actor; None where there is none, or it has ended."""
        try:
            actor: Any = self._ray.get_actor(self._name(name), namespace=NAMESPACE)
        except ValueError:
            return None
        try:
            self._ray.get(actor.process.remote(), timeout=_ANSWER_SECONDS)
        except self._ray.exceptions.RayError as error:
            return actor if isinstance(error, TimeoutError) else None  # one that is too busy to answer is there
        return actor

    def _name(self, name: str) -> str:
        return f"campaign-{hashlib.sha256(str(self.root).encode()).hexdigest()[:8]}-{name}"


def _has_token() -> bool:
    """Return whether this user has a token for Ray clusters."""
    named = any(os.environ.get(name) for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"))
    return named or (Path.home() / ".ray" / "auth_token").exists()


class CampaignActor:
    """Ray's side: drives one campaign, then ends."""

    def process(self) -> int:
        """Return the number of the actor's process."""
        return os.getpid()

    def drive(self, command: str, arguments: Sequence[str], log_path: str) -> None:
        """Run or resume a campaign to its end, and end the actor.

        Args:
            command: ``run`` or ``resume``.
            arguments: those of the command line.
            log_path: file to which it says how it ended.
        """
        import ray

        from ..config import load_config
        from ..run import open_campaign, run_campaign

        try:
            history = open_campaign(arguments[0]) if command == "resume" else run_campaign(load_config(arguments[0]), arguments[2])
            said = f"{history.last_session} after {len(history.trials)} of {history.budget} trials {history.reason}".strip()
        except Exception as error:  # noqa: BLE001 - whatever it is, the log is where people look for it
            said = f"error: {error}"
        with suppress(OSError), Path(log_path).open("a", encoding="utf-8") as file:
            file.write(f"{said}\n")
        exit_actor: Callable[[], None] = ray.actor.exit_actor
        exit_actor()
