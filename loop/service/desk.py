"""What every route needs: the server's parts in one place, and the way there from a request."""

import asyncio
from dataclasses import dataclass, field
from typing import Annotated, Any

from fastapi import Depends, Path, Request

from .catalogue import Catalogue
from .sessions import SessionFile
from .settings import ServerSettings
from .snapshots import Snapshots
from .studio import Studio
from .tokens import TokenFile


@dataclass(slots=True)
class Desk:
    """The parts of one server."""

    settings: ServerSettings
    catalogue: Catalogue
    studio: Studio
    snapshots: Snapshots
    tokens: TokenFile | None
    """None where the server asks for no token."""
    sessions: SessionFile
    gate: Any = None
    """The `Gate`, once it stands."""
    closing: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the server stops: streams end."""
    n_streams: int = 0

    def close(self) -> None:
        """Let streams end, and whatever waits for a figure; campaigns go on."""
        self.closing.set()
        self.studio.close()
        for watch in self.catalogue.watched().values():
            watch.wake()


def the_desk(request: Request) -> Desk:
    """Return the parts of the server that a request came to."""
    desk: Desk = request.app.state.desk
    return desk


TheDesk = Annotated[Desk, Depends(the_desk)]
Campaign = Annotated[str, Path(min_length=1, max_length=200, description="Name of the campaign: its folder under the server's root.")]
Number = Annotated[int, Path(ge=0, le=2**31, description="Number of the trial.")]
