"""Commands at an instrument: the client that fetches its trials, and the check that an evaluator keeps what every evaluator promises."""

import socket
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

_out = Console(highlight=False, soft_wrap=True)


def worker(
    url: Annotated[str, typer.Argument(help="Of the campaign's server, or of the service: http://host:port.")],
    evaluator: Annotated[str, typer.Option("--evaluator", metavar="MODULE:ATTRIBUTE", help="A function of a trajectory, or a class.")],
    token_file: Annotated[Path | None, typer.Option("--token-file", help="File with the token; or set LATENTLOOP_TOKEN.")] = None,
    campaign: Annotated[str, typer.Option("--campaign", help="Name of the campaign, where the server has several.")] = "",
    name: Annotated[str, typer.Option("--name", help="Name of this instrument, as people will read it.")] = socket.gethostname(),
    state: Annotated[Path | None, typer.Option("--state", help="Folder for what must outlive this process: keys fired, results.")] = None,
    trials: Annotated[int | None, typer.Option("--trials", min=1, help="End after so many trials that fired.")] = None,
    arguments: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="An argument that the class is made with, as JSON; repeatable.")
    ] = None,
) -> None:
    """Fetch trials from a campaign whose evaluator is `pull`, measure them here, and post the results, until Ctrl-C."""
    from .pull.worker_client import main

    given = {"--token-file": token_file, "--campaign": campaign, "--state": state, "--trials": trials}
    options = [f"{option}={value}" for option, value in given.items() if value not in (None, "")]
    options += [f"--set={argument}" for argument in arguments or []]
    raise typer.Exit(main([url, f"--evaluator={evaluator}", f"--name={name}", *options]))


def check_evaluator(
    target: Annotated[
        str,
        typer.Argument(metavar="MODULE:ATTRIBUTE", help="A function or class, the name of a known evaluator, or a campaign's file.yaml."),
    ],
    trajectory: Annotated[Path | None, typer.Option("--trajectory", help="Measure the first trajectory of this file.")] = None,
    steps: Annotated[int, typer.Option("--steps", min=2, help="Or a gentle sine wave of so many steps ...")] = 100,
    channels: Annotated[int, typer.Option("--channels", min=1, help="... and channels.")] = 1,
    overrides: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="A parameter of the evaluator, e.g. kind=physical; repeatable.")
    ] = None,
) -> None:
    """Check that an evaluator keeps what every evaluator promises; one that is physical, or does not say what it is, is fired once."""
    from .evaluator_check import check_table, check_target

    checks = check_target(target, trajectory, steps, channels, overrides or [])
    _out.print(check_table(checks))
    n_bad = sum(not check.is_good for check in checks)
    n_skipped = sum(check.is_skipped for check in checks)
    skipped = f", {n_skipped} skipped" if n_skipped else ""
    if n_bad:
        _out.print(f"{n_bad} of {len(checks)} checks failed{skipped}")
    else:
        _out.print(f"all {len(checks) - n_skipped} checks are good{skipped}")
    if n_bad:
        raise typer.Exit(1)
