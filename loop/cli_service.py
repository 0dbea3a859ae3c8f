"""`latentloop serve` and `latentloop token`."""

import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

token = typer.Typer(no_args_is_help=True, help="Make, list and revoke the tokens of a server.", rich_markup_mode=None)
_out = Console(highlight=False, soft_wrap=True)

Root = Annotated[Path, typer.Option("--root", metavar="DIR", help="The server's root folder.")]


def serve(
    root: Annotated[Path, typer.Option("--root", metavar="DIR", help="Folder that holds the campaigns; made if need be.")],
    host: Annotated[str, typer.Option("--host", help="Address to listen at.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="Port to listen at; 0 for a free one.")] = 8000,
    ray: Annotated[str | None, typer.Option("--ray", metavar="ADDRESS", help="Drive campaigns on this running Ray cluster.")] = None,
    config: Annotated[Path | None, typer.Option("--config", metavar="FILE", help="The server's configuration (YAML).")] = None,
    no_auth: Annotated[bool, typer.Option("--no-auth", help="Ask for no token; only at loopback addresses.")] = False,
) -> None:
    """Serve the campaigns under a folder: a live page, REST and an event stream."""
    from .service.server import serve as run

    run(root, host, port, ray=ray, config=config, has_authentication=not no_auth)


@token.command()
def create(
    root: Root,
    role: Annotated[str, typer.Option("--role", help="viewer, operator, instrument or admin.")],
    name: Annotated[str, typer.Option("--name", help="Whose it is: stands in the journal beside what its owner decides.")] = "",
    campaign: Annotated[list[str] | None, typer.Option("--campaign", metavar="NAME", help="Good for this one only; repeatable.")] = None,
    days: Annotated[float | None, typer.Option("--days", min=0, help="Expires after so many days.")] = None,
) -> None:
    """Make a token and print it: this is the only time that it is shown."""
    from .service.tokens import TokenFile, prepare_root, require_role

    require_role(role)  # before a folder is made
    print(TokenFile(prepare_root(root)).create(name or role, role, campaign or None, days))


@token.command("list")
def list_tokens(root: Root) -> None:
    """List the tokens, without their secrets."""
    from .service.tokens import TokenFile

    table = Table(box=None, padding=(0, 2, 0, 0))
    for column in ("id", "name", "role", "campaigns", "made", "state"):
        table.add_column(column)
    now = time.time()
    for known in TokenFile(root.expanduser().resolve()).all().values():
        state = "revoked" if known.revoked_at is not None else "good" if known.is_valid(now) else "expired"
        made = time.strftime("%Y-%m-%d", time.localtime(known.created_at))
        table.add_row(known.id, known.name, known.role, "all" if known.campaigns is None else ", ".join(known.campaigns), made, state)
    _out.print(table)


@token.command()
def revoke(root: Root, token_id: Annotated[str, typer.Argument(metavar="ID", help="Its id, from `latentloop token list`.")]) -> None:
    """Make a token worthless at once."""
    from .service.tokens import TokenFile

    revoked = TokenFile(root.expanduser().resolve()).revoke(token_id)
    _out.print(f"token {revoked.id} ({revoked.name}) is revoked", markup=False)
