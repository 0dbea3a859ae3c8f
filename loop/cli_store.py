"""Commands about a store as such: is it whole?"""

import json
from typing import Annotated

import typer
from rich.console import Console

_DAMAGED = 1
_out = Console(highlight=False, soft_wrap=True)

Store = Annotated[str, typer.Argument(help="Folder or URL of the campaign.")]


def verify(
    store: Store,
    repair: Annotated[
        bool, typer.Option("--repair", help="Give up the events from the first damaged one on; they are kept in journal/damaged.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Check every object of a campaign's store: events, arrays, models; exit code 1 when one is damaged."""
    from .verification import verify as check

    found = check(store, repair=repair)
    if as_json:
        damages = {damage.name: damage.reason for damage in found.damages}
        facts = {"events": found.n_events, "trials": found.n_trials, "objects": found.n_objects, "manifest": found.has_manifest}
        print(json.dumps({**facts, "moved": list(found.moved), "damaged": damages, "foreign": list(found.foreign)}))
    else:
        for name in found.moved:
            _out.print(f"moved aside: {name}", markup=False)
        for damage in found.damages:
            _out.print(f"{damage.name}: {damage.reason}", markup=False)
        for name in found.foreign:
            _out.print(f"{name}: foreign, no part of this campaign; not checked", markup=False)
        extent = "and the manifest agree" if found.has_manifest else "agree (no manifest: the last session is open, or did not end well)"
        result = extent if found.is_good else f"were checked: {len(found.damages)} damaged"
        _out.print(f"{found.n_events} events, {found.n_trials} trials, {found.n_objects} objects {result}", markup=False)
    if not found.is_good:
        raise typer.Exit(_DAMAGED)


def replay(
    store: Store,
    tolerance: Annotated[
        float, typer.Option("--tolerance", min=0.0, help="What passes where processor, libraries or threads differ, in widths of the box.")
    ] = 1e-9,
) -> None:
    """Derive every proposal again from the journal; exit code 1 at the first that differs."""
    _out.print(f"latentloop replay {store}", markup=False)
    from .replay import replay as derive

    found = derive(store, tolerance)
    if found.n_others:
        _out.print(f"{found.n_others} trials were not proposed by the optimizer (controls, repeats, an operator's own)", markup=False)
    _out.print(found.sentence, markup=False)
    if found.first is not None:
        raise typer.Exit(_DAMAGED)
