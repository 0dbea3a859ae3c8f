"""What people said to campaigns that were only starting: kept under the root until there is an inbox to put it into.

A driver imports, prepares its evaluator and makes its folder before it can listen, which takes seconds. A pause or a stop that comes then
is left in ``ROOT/.latentloop/wishes/NAME``, an inbox like the campaign's own, and put into that one as soon as the folder is there: the
driver looks into it before it proposes the first trial. A server that is started anew meanwhile goes on with that.
"""

import asyncio
import logging
import shutil
from collections.abc import Callable
from pathlib import Path

from ..errors import StoreError
from ..store.creation import ROOT
from ..store.inbox import Command, Inbox
from ..store.objects import open_objects
from .tokens import FOLDER

log = logging.getLogger("latentloop.service")

_LOOK_SECONDS = 0.05


class Wishes:
    """The commands that wait for campaigns without a folder.

    Args:
        root: the server's root folder.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._folder = root / FOLDER / "wishes"
        self._carrying: dict[str, asyncio.Task[None]] = {}

    def keep(self, name: str, command: Command) -> str:
        """Keep a command for a campaign; return its name.

        Raises:
            StoreError: the disk refused.
        """
        folder = self._folder / name
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(f"cannot keep what was said to {name}: {error.strerror}") from error
        return Inbox(open_objects(folder)).drop(command)

    def names(self) -> list[str]:
        """Return the campaigns for which something is kept."""
        return sorted(path.name for path in self._folder.iterdir()) if self._folder.is_dir() else []

    def has(self, name: str) -> bool:
        """Return whether something is kept for a campaign."""
        return (self._folder / name).is_dir()

    def forget(self, name: str) -> None:
        """Drop what is kept for a campaign."""
        shutil.rmtree(self._folder / name, ignore_errors=True)

    def carry(self, name: str, is_awaited: Callable[[], bool]) -> None:
        """Put what is kept for a campaign into its inbox as soon as there is one; drop it where its driver ends before.

        Args:
            name: of the campaign.
            is_awaited: whether its driver still lives.
        """
        task = self._carrying.get(name)
        if task is None or task.done():
            self._carrying[name] = asyncio.create_task(self._carry(name, is_awaited))

    def close(self) -> None:
        """Carry nothing more; what is kept stays kept."""
        for task in self._carrying.values():
            task.cancel()

    async def _carry(self, name: str, is_awaited: Callable[[], bool]) -> None:
        while not (self._root / name / ROOT).exists():  # a store has this last
            if not is_awaited():
                log.warning("%s did not start: what was said to it meanwhile is dropped", name)
                self.forget(name)
                return
            await asyncio.sleep(_LOOK_SECONDS)
        kept, inbox = Inbox(open_objects(self._folder / name)), Inbox(open_objects(self._root / name))
        for found, command in kept.waiting():
            if command is not None:
                inbox.drop(command)
            kept.remove(found)
        self.forget(name)
