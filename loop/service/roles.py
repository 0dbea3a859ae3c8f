"""What a route needs of whoever calls it: a role, and that the campaign in its address is one of theirs.

Every route under the gate carries one `Needs`; a test walks all routes and finds those that were forgotten.
"""

from typing import Annotated

from fastapi import Depends, Request

from .problems import refuse
from .tokens import Principal


class Needs:
    """A dependency that lets only some roles through.

    Args:
        act: viewer, operator, instrument, admin, or any.
    """

    def __init__(self, act: str) -> None:
        self.act = act

    def __call__(self, request: Request) -> Principal:
        """Return who asks. Raises HTTPException for those who may not."""
        principal: Principal | None = getattr(request.state, "principal", None)
        if principal is None:
            raise refuse(401, "log in, or send a token: Authorization: Bearer ll_...")
        if not principal.may(self.act):
            raise refuse(403, f"this needs the role {self.act}, and token {principal.name!r} has the role {principal.role}")
        campaign = request.path_params.get("campaign")
        if campaign is not None and not principal.sees(campaign):
            raise refuse(403, f"token {principal.name!r} is for other campaigns")
        return principal


needs_any, needs_viewer, needs_operator = Needs("any"), Needs("viewer"), Needs("operator")
needs_instrument, needs_admin = Needs("instrument"), Needs("admin")

Anyone = Annotated[Principal, Depends(needs_any)]
Viewer = Annotated[Principal, Depends(needs_viewer)]
Operator = Annotated[Principal, Depends(needs_operator)]
Instrument = Annotated[Principal, Depends(needs_instrument)]
Admin = Annotated[Principal, Depends(needs_admin)]
