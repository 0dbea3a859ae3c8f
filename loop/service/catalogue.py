"""The campaigns under the root: found, looked up by name, started, resumed, deleted.

A request's name is looked up among the names of the folders that are there; no path is ever made of it. Only folders directly under the
root count, and no links, so that nothing outside it can be reached.
"""

import asyncio
import logging
import os
import re
import shutil
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from secrets import token_hex
from typing import Any

from ..config import CampaignConfig
from ..errors import StoreError
from ..messages import CampaignSummary
from ..store.inbox import Command
from .launcher import Launcher
from .problems import refuse
from .reduced import checked_changes
from .settings import ServerSettings
from .tokens import FOLDER, Principal
from .watch import CampaignWatch
from .wishes import Wishes
from .wording import for_others

log = logging.getLogger("latentloop.service")

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z")
_SUPERVISE_SECONDS = 2.0
_SCAN_SECONDS = 0.5
_LEAVING_SECONDS = 10.0
"""Time that the process of a driver takes to end, Ray and torch included, after it has let go of its campaign."""
_RESTARTS = 3
"""Times that a driver which died is started again within an hour."""
_HOUR = 3600.0
_PATIENCE = 1.0
"""Seconds that a list of campaigns waits for journals that are read for the first time."""


class Catalogue:
    """The campaigns of one server.

    Args:
        root: the folder that holds them.
        settings: limits, and what is done with unfinished ones.
        launcher: starts their drivers.
    """

    def __init__(self, root: Path, settings: ServerSettings, launcher: Launcher) -> None:
        self.root = root
        self.settings = settings
        self.launcher = launcher
        self._watches: dict[str, CampaignWatch] = {}
        self._scanned_at = -_HOUR
        self._restarts: dict[str, list[float]] = {}
        self._sessions: dict[str, int] = {}
        self._wishes = Wishes(root)
        self._creating = asyncio.Lock()

    def scan(self, *, now: bool = False) -> None:
        """Look which campaigns there are; at most twice a second unless ``now``."""
        if not now and time.monotonic() - self._scanned_at < _SCAN_SECONDS:
            return
        self._scanned_at = time.monotonic()
        found: dict[str, Path] = {}
        with os.scandir(self.root) as entries:
            for entry in entries:
                path = Path(entry.path)
                if not entry.name.startswith(".") and entry.is_dir(follow_symlinks=False) and (path / "journal").is_dir():
                    found[entry.name] = path
        for name in set(self._watches) - set(found):
            self._watches.pop(name).close()
        for name, path in found.items():
            if name not in self._watches:
                self._watches[name] = CampaignWatch(name, path, partial(self._is_awaited, name))

    def names(self) -> list[str]:
        """Return the names of all campaigns, those that are only starting included."""
        self.scan()
        return sorted({*self._watches, *self.launcher.names()})

    def get(self, name: str) -> CampaignWatch:
        """Return a campaign that has a folder.

        Raises:
            HTTPException: there is none of this name, or it is only starting.
        """
        self.scan()
        if name not in self._watches:
            self.scan(now=True)
        watch = self._watches.get(name)
        if watch is None:
            if name in self.launcher.names():
                raise refuse(409, f"campaign {name!r} has no folder yet: {self._early(name).reason or 'it is starting'}")
            raise refuse(404, f"there is no campaign {name[:80]!r}; the list of campaigns has those that you may see")
        return watch

    async def ready(self, name: str) -> CampaignWatch:
        """Return a campaign with its history up to date; one that is read for the first time, as far as it is within a second."""
        watch = self.get(name)
        await watch.ready(_PATIENCE)
        if watch.problem and not watch.history.configuration:
            raise refuse(409, f"campaign {name!r} cannot be read: {watch.problem}")
        if not watch.history.configuration:
            raise refuse(409, f"campaign {name!r} is only being made")
        return watch

    async def summary(self, name: str) -> CampaignSummary:
        """Return a campaign at a glance, also one that is only starting or could not be started."""
        self.scan()
        if name in self._watches or name not in self.launcher.names():
            watch = self.get(name)
            await watch.ready(_PATIENCE)
            return watch.summary()
        return self._early(name)

    async def summaries(self, principal: Principal) -> list[CampaignSummary]:
        """Return all campaigns that somebody may see, at a glance."""
        names = [name for name in self.names() if principal.sees(name)]
        await asyncio.gather(*(self._watches[name].ready(_PATIENCE) for name in names if name in self._watches))
        return [self._watches[name].summary() if name in self._watches else self._early(name) for name in names]

    async def summary_json(self, name: str) -> bytes:
        """Return a campaign at a glance as JSON, made at most twice a second."""
        watch = self._watches.get(name)
        if watch is None:
            return self._early(name).model_dump_json().encode()
        await watch.ready(_PATIENCE)
        return watch.summary_json()

    def get_or_starting(self, name: str) -> CampaignWatch | None:
        """Return a campaign that has a folder, or None for one that is starting or failed at that.

        Raises:
            HTTPException: there is none of this name.
        """
        self.scan()
        return None if name not in self._watches and name in self.launcher.names() else self.get(name)

    def early(self, name: str) -> CampaignSummary:
        """Return what can be said of a campaign that has no folder."""
        return self._early(name)

    def watched(self) -> dict[str, CampaignWatch]:
        """Return the campaigns that have a folder, by name."""
        self.scan()
        return dict(self._watches)

    async def create(self, name: str, config: CampaignConfig) -> CampaignSummary:
        """Start a new campaign.

        Raises:
            HTTPException: the name is taken or no name, or the server has enough to do.
        """
        async with self._creating:
            self._require_free(name)
            self._require_room()
            self._wishes.forget(name)
            await asyncio.to_thread(self.launcher.run, name, config)
        return self._early(name)

    async def fork(self, source: str, name: str, at_trial: int, overrides: Mapping[str, Any]) -> CampaignSummary:
        """Make a new campaign from the trials of another one before a trial; it is resumed like any other.

        Raises:
            HTTPException: the name is taken or no name, there are not so many trials, or the server holds enough campaigns.
            ConfigError: a changed key that the server does not allow.
        """
        watch = self.get(source)
        changes = checked_changes(overrides)
        async with self._creating:
            self._require_free(name)
            await asyncio.to_thread(_make_fork, watch.path, at_trial, self.root / name, changes)
        return await self.summary(name)

    async def resume(self, name: str) -> None:
        """Start a driver for a campaign that has none.

        Raises:
            HTTPException: it has one, or the server has enough to do.
        """
        watch = self.get(name)
        await self._let_leave(name)
        if watch.store.is_driven() or self.launcher.is_alive(name):
            raise refuse(409, f"campaign {name!r} is being driven already")
        self._require_room()
        for kept, command in watch.store.inbox.waiting():
            if command is not None and command.action == "stop":  # meant for a driver that ended before it heard
                watch.store.inbox.remove(kept)
        self._sessions[name] = watch.history.epoch
        await asyncio.to_thread(self.launcher.resume, name)

    async def is_starting(self, name: str) -> bool:
        """Return whether a campaign's driver has been started and does not listen yet.

        Raises:
            HTTPException: there is no such campaign.
        """
        watch = self.get_or_starting(name)
        if watch is not None:
            await watch.ready(_PATIENCE)
        return self._is_awaited(name)

    def keep_wish(self, name: str, command: Command) -> str:
        """Keep what is said to a campaign that is starting until its driver listens; return the command's name."""
        kept = self._wishes.keep(name, command)
        self._wishes.carry(name, partial(self.launcher.is_alive, name))
        return kept

    async def delete(self, name: str) -> None:
        """Remove a campaign that nobody drives, with all its data.

        Raises:
            HTTPException: it is driven, or there is none.
        """
        await self._let_leave(name)
        if self.launcher.is_alive(name):
            raise refuse(409, f"campaign {name!r} is being driven; stop it first")
        self.scan(now=True)
        if name not in self._watches and name in self.launcher.names():  # it never got a folder
            self.launcher.forget(name)
            return
        watch = self.get(name)
        if watch.store.is_driven():
            raise refuse(409, f"campaign {name!r} is being driven; stop it first")
        bin_folder = self.root / FOLDER / "deleted"
        aside = bin_folder / f"{name}.{token_hex(4)}"
        try:
            bin_folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            watch.path.rename(aside)  # gone at once for everybody; its files follow
        except OSError as error:
            raise StoreError(f"cannot delete {name}: {error.strerror}") from error
        watch.checkpoint.forget()
        self.launcher.forget(name)
        self.scan(now=True)
        await asyncio.to_thread(shutil.rmtree, aside, ignore_errors=True)

    async def supervise(self) -> None:
        """Look after drivers for ever: take note of those that end, and resume campaigns as configured."""
        first = True
        while True:
            try:
                for name in self._wishes.names():  # also those that a server before this one has kept
                    self._wishes.carry(name, partial(self.launcher.is_alive, name))
                for watch in list(self.watched().values()):
                    if not watch.is_loaded:
                        await watch.ready(_HOUR)
                    await watch.checkpoint.keep(watch)
                    await self.look_again(watch)
                await self._resume_unfinished(is_start=first)
            except Exception:  # supervision outlives whatever happens to one campaign
                log.exception("supervision failed")
            first = False
            await asyncio.sleep(_SUPERVISE_SECONDS)

    def close(self) -> None:
        """Follow no more campaigns; their drivers go on."""
        self._wishes.close()
        for watch in self._watches.values():
            watch.close()

    async def _resume_unfinished(self, *, is_start: bool) -> None:
        for name in self.launcher.names():
            self.launcher.is_alive(name)  # takes note of those that have ended
        if self.settings.resume == "never" or (self.settings.resume == "on_start" and not is_start):
            return
        for name, watch in self.watched().items():
            await watch.ready()
            # One that was stopped or paused by a person ended with a word; one whose driver died, without.
            died = bool(watch.history.n_events) and watch.history.last_session in ("", "open") and not watch.problem
            if not died or watch.store.is_driven() or self.launcher.is_alive(name):
                continue
            now = time.monotonic()
            recent = [at for at in self._restarts.get(name, []) if now - at < _HOUR]
            if len(recent) >= _RESTARTS:
                continue
            self._restarts[name] = [*recent, now]
            log.warning("campaign %s has lost its driver; resuming it", name)
            await self.resume(name)

    async def look_again(self, watch: CampaignWatch) -> None:
        """Read a damaged campaign anew, at most a twentieth of the time: it may only have been copied just then.

        The log hears of it when something has changed.
        """
        if not watch.problem or time.monotonic() < watch.next_try:
            return
        start = time.monotonic()
        anew = CampaignWatch(watch.name, watch.path, watch.is_awaited, known_problem=watch.problem)
        await anew.ready(_HOUR)
        watch.next_try = anew.next_try = time.monotonic() + 20 * (time.monotonic() - start)
        if anew.problem == watch.problem or self._watches.get(watch.name) is not watch:
            anew.close()
            return
        if not anew.problem:
            log.info("campaign %s can be read again", watch.name)
        self._watches[watch.name] = anew
        watch.close()

    async def _let_leave(self, name: str) -> None:
        """Wait for a driver that has let go of its campaign, and is only leaving."""
        end = time.monotonic() + _LEAVING_SECONDS
        watch = self._watches.get(name)
        while watch is not None and self.launcher.is_alive(name) and not watch.store.is_driven() and time.monotonic() < end:
            await asyncio.sleep(_SCAN_SECONDS / 5)

    def _is_awaited(self, name: str) -> bool:
        """Return whether a campaign's driver has been started and its session has not begun."""
        watch = self._watches.get(name)
        n_sessions = 0 if watch is None else watch.history.epoch
        if n_sessions > self._sessions.get(name, 0):
            return False
        return self.launcher.is_alive(name) or (watch is not None and watch.is_driven())

    def _require_free(self, name: str) -> None:
        """Refuse a name that is none or taken, and one campaign too many."""
        if not NAME.match(name):
            raise refuse(422, "name: a campaign's name has up to 64 letters, digits, '.', '_' and '-', and starts with a letter or digit")
        self.scan(now=True)  # campaigns are made rarely, and one that was copied here a moment ago counts
        taken = {known.lower() for known in self.names()}
        if name.lower() in taken or os.path.lexists(self.root / name):
            raise refuse(409, f"there is a campaign or a file {name!r} already; choose another name")
        if len(taken) >= self.settings.limits.campaigns:
            raise refuse(429, f"this server holds {len(taken)} campaigns, its limit; delete one first")

    def _require_room(self) -> None:
        n_running = sum(watch.is_driven() for watch in self._watches.values())
        n_starting = sum(self.launcher.is_alive(name) for name in self.launcher.names() if name not in self._watches)
        if n_running + n_starting >= self.settings.limits.running:
            raise refuse(429, f"{n_running + n_starting} campaigns are running, this server's limit; stop one first")

    def _early(self, name: str) -> CampaignSummary:
        """Return what can be said of a campaign that has no folder."""
        is_alive = self.launcher.is_alive(name)
        return CampaignSummary(
            name=name,
            title=name,
            state="starting" if is_alive else "failed",
            reason="" if is_alive else for_others(self.launcher.last_words(name)) or "its process ended before it had a folder",
        )


def _make_fork(source: Path, at_trial: int, target: Path, changes: list[str]) -> None:
    from ..fork import fork_campaign

    fork_campaign(source, at_trial, changes, target)
