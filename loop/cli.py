"""The command line. Heavy libraries are imported inside the commands, after their first line of output."""

import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from ..models.errors import ModelError
from ..simulators.errors import SimulatorError
from .cli_ferrosim import app as ferrosim
from .cli_instrument import check_evaluator, worker
from .cli_latent import latent
from .cli_operator import go_on, pause, stop, trials
from .cli_service import serve
from .cli_service import token as token_commands
from .cli_store import replay, verify
from .errors import LatentloopError
from .terminal import forgiving
from .threads import limit_threads

if TYPE_CHECKING:
    from .observer import StopFlag
    from .progress import TerminalObserver
    from .store.history import History

_STOPPED = 1
_USER_ERROR = 2
_INTERRUPTED = 130

app = typer.Typer(
    name="latentloop",
    help="Find the best process trajectory for an instrument or a simulator in as few experiments as possible.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
_out = Console(highlight=False, soft_wrap=True)
_err = Console(stderr=True, highlight=False, soft_wrap=True)

Store = Annotated[str, typer.Argument(help="Folder or URL of the campaign.")]
Source = Annotated[str, typer.Argument(metavar="CONFIG_OR_PRESET", help="A YAML file, or the name of a preset (see `latentloop presets`).")]
Trials = Annotated[int | None, typer.Option("--trials", min=1, help="Trials in all, initial and earlier ones included.")]
ExecutorName = Annotated[str | None, typer.Option("--executor", help="Where measurements run: local or ray.")]
Workers = Annotated[int | None, typer.Option("--workers", min=1, help="Measurements at the same time, with ray.")]
Overrides = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change one key, e.g. acquisition=ucb; repeatable.")
]
Seed = Annotated[int | None, typer.Option("--seed", min=0, help="Seed of every random stream.")]


def _print_version(is_wanted: bool) -> None:
    if is_wanted:
        from importlib.metadata import version

        print(f"latentloop {version('latentloop')}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")] = False,
) -> None:
    """Find the best process trajectory for an instrument or a simulator in as few experiments as possible."""


@app.command()
@forgiving(_out, _err)
def run(
    config: Source,
    store: Annotated[str, typer.Option("--store", help="Folder to make, or s3://bucket/prefix; it will hold the whole campaign.")],
    trials: Trials = None,
    seed: Seed = None,
    executor: ExecutorName = None,
    workers: Workers = None,
    overrides: Overrides = None,
    prior: Annotated[
        Path | None, typer.Option("--prior", help="Start from earlier measurements: another campaign's folder, or a .csv file.")
    ] = None,
    report: Annotated[Path | None, typer.Option("--report", help="Also write the report to this file at the end.")] = None,
) -> None:
    """Run a new campaign: train the latent model, optimize, stream every trial to the store."""
    _out.print(f"latentloop run {config} -> {store}", markup=False)
    from .config import load_config
    from .run import run_campaign

    loaded = load_config(config, _all_overrides(overrides, trials=trials, seed=seed, executor=executor, workers=workers))
    with _watching(store) as (observer, should_stop):
        history = run_campaign(loaded, store, prior=prior, observer=observer, should_stop=should_stop)
    _finish(history, store, report)


@app.command()
@forgiving(_out, _err)
def resume(store: Store, trials: Trials = None, executor: ExecutorName = None) -> None:
    """Continue a campaign: after Ctrl-C, after a kill, after a pause, or with more trials."""
    _out.print(f"latentloop resume {store}", markup=False)
    if go_on(store):
        return
    from .run import open_campaign

    with _watching(store) as (observer, should_stop):
        history = open_campaign(store, trials=trials, executor=executor, observer=observer, should_stop=should_stop)
    _finish(history, store, None)


@app.command()
@forgiving(_out, _err)
def fork(
    store: Store,
    at_trial: Annotated[int, typer.Option("--at-trial", min=1, help="Number of the first trial that the new campaign proposes itself.")],
    new: Annotated[str, typer.Option("--store", help="Folder to make, or s3://bucket/prefix, for the new campaign.")],
    overrides: Overrides = None,
    only_make: Annotated[bool, typer.Option("--only-make", help="Make the new campaign, and leave it to `latentloop resume`.")] = False,
) -> None:
    """Continue a campaign from one of its trials with another method, as a new campaign; the old one stays as it is."""
    _out.print(f"latentloop fork {store} at trial {at_trial} -> {new}", markup=False)
    from .fork import fork_campaign
    from .run import open_campaign

    fork_campaign(store, at_trial, overrides or [], new)
    if only_make:
        _out.print(f"continue with: latentloop resume {new}", markup=False)
        return
    with _watching(store) as (observer, should_stop):
        history = open_campaign(new, observer=observer, should_stop=should_stop)
    _finish(history, new, None)


@app.command()
def status(store: Store, as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False) -> None:
    """Say how a campaign stands, also while it runs."""
    from .status import campaign_status, status_table

    facts = campaign_status(store)
    if as_json:
        print(json.dumps(facts))
    else:
        _out.print(status_table(facts))


@app.command()
def report(
    store: Store,
    output: Annotated[Path, typer.Option("-o", "--output", help="The HTML file to write.")],
    ground_truth: Annotated[
        Path | None, typer.Option("--ground-truth", help="What `latentloop ground-truth` wrote for this configuration, to show beside it.")
    ] = None,
) -> None:
    """Write one self-contained HTML file with figures, configuration and trials."""
    _out.print(f"latentloop report {store}", markup=False)
    from .report import write_report

    _out.print(f"report: {write_report(store, output, ground_truth)}", markup=False)


@app.command()
def presets() -> None:
    """List the built-in campaigns."""
    from .config import load_config, preset_names

    for name in preset_names():
        _out.print(f"{name:20} {load_config(name).description}", markup=False)


@app.command()
def init(preset: Annotated[str, typer.Argument(help="Name of a preset.")]) -> None:
    """Print a preset as YAML, to start a configuration of one's own: latentloop init quick > campaign.yaml."""
    from .config import preset_text

    print(preset_text(preset), end="")


@app.command()
def schema() -> None:
    """Print the JSON Schema of configurations."""
    from .config import CampaignConfig

    print(json.dumps(CampaignConfig.model_json_schema(), indent=2))


@app.command("ground-truth")
def ground_truth(
    config: Source,
    output: Annotated[Path, typer.Option("-o", "--output", help="Zarr group to make; its picture is written beside it.")],
    grid: Annotated[int, typer.Option("--grid", min=2, help="Points along each latent dimension.")] = 100,
    seed: Seed = None,
    executor: ExecutorName = None,
    workers: Workers = None,
    overrides: Overrides = None,
) -> None:
    """Measure the objective over the whole latent grid: what an optimizer should find."""
    _out.print(f"latentloop ground-truth {config} -> {output}", markup=False)
    from .config import load_config
    from .errors import StoreError
    from .ground_truth import measure_ground_truth, write_ground_truth_files

    loaded = load_config(config, _all_overrides(overrides, trials=None, seed=seed, executor=executor, workers=workers))
    if output.exists():
        raise StoreError(f"{output} exists already; choose another path, or move it away")
    if output.suffix == ".html":
        raise StoreError(f"{output} is to be a Zarr group, and its picture takes the name with .html; say -o {output.stem}.zarr")
    with _watching() as (observer, should_stop):
        truth = measure_ground_truth(loaded, grid, observer, should_stop)
    picture = write_ground_truth_files(truth, loaded, output)
    _out.print(f"points: {truth.objective.size}, failed: {truth.n_failed}")
    _out.print(f"ground truth: {output}\npicture: {picture}", markup=False)


# Registered in the order in which `--help` lists them.
app.add_typer(ferrosim, name="ferrosim")
app.command("latent")(latent)
app.command("check-evaluator")(check_evaluator)
app.command()(worker)
app.command()(serve)
app.add_typer(token_commands, name="token")
for operator_command in (trials, pause, stop):
    app.command()(operator_command)
app.command()(verify)
app.command()(replay)


def main() -> None:
    """Run the command line; errors that a user can mend become one sentence and exit code 2."""
    limit_threads(1)  # workers and training set their own
    try:
        app()
    except (LatentloopError, ModelError, SimulatorError) as error:
        _err.print(f"error: {error}", style="red", markup=False)
        raise SystemExit(_USER_ERROR) from None
    except KeyboardInterrupt:
        _err.print("stopped at once")
        raise SystemExit(_INTERRUPTED) from None
    except BrokenPipeError:  # `latentloop presets | head -1`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(1) from None


def _all_overrides(overrides: list[str] | None, **options: object) -> list[str]:
    keys = {"trials": "budget.trials", "seed": "seed", "executor": "executor.name", "workers": "executor.workers"}
    return [*(overrides or []), *(f"{keys[name]}={value}" for name, value in options.items() if value is not None)]


@contextmanager
def _watching(store: str = "STORE") -> Iterator[tuple["TerminalObserver", "StopFlag"]]:
    """Show progress, and turn the first Ctrl-C, SIGTERM or closed terminal into a request to stop after the measurements under way."""
    from .observer import StopFlag
    from .progress import TerminalObserver

    should_stop = StopFlag()
    hangup: signal.Signals | None = getattr(signal, "SIGHUP", None)  # Windows has none
    if hangup and signal.getsignal(hangup) is signal.SIG_IGN:
        hangup = None  # `nohup latentloop run` does not hear of its terminal

    def stop(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - the signature that signal wants
        if should_stop.is_set:
            if number == hangup:  # a terminal that is closed says so more than once
                return
            raise KeyboardInterrupt
        should_stop.set()
        _err.print("\nstopping after the measurements under way; Ctrl-C again stops at once")

    handlers: dict[signal.Signals, Callable[..., object] | int | None] = {}
    for number in (signal.SIGINT, signal.SIGTERM, *([hangup] if hangup else [])):
        handlers[number] = signal.signal(number, stop)
    try:
        with TerminalObserver(_out, store) as observer:
            yield observer, should_stop
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


def _finish(history: "History", store: str, report_path: Path | None) -> None:
    """Say how a session ended; with a report if one is asked for."""
    counts = ", ".join(f"{number} {word}" for word, number in history.counts().items()) or "none"
    _out.print(
        f"{history.last_session} after {len(history.trials)} of {history.budget} trials ({counts}), {history.seconds:.1f} s", markup=False
    )
    best = history.incumbent
    if best is None:
        _out.print("incumbent: none; no trial has completed")
    else:
        where = ", ".join(f"{value:.4f}" for value in best.z)
        _out.print(f"incumbent: {best.objective:.6g} in trial {best.trial} at z = ({where})", markup=False)
    _out.print(f"store: {store}", markup=False)
    if report_path is not None:
        from .report import write_report

        _out.print(f"report: {write_report(store, report_path)}", markup=False)
    if history.last_session == "failed":
        _err.print(f"stopped: {history.reason}", style="red", markup=False)
        more = "" if len(history.trials) < history.budget else f" --trials {2 * history.budget}"
        what = "start a new campaign" if best is None else "continue"
        _out.print(f"mend that, and {what}; the same one goes on with: latentloop resume {store}{more}", markup=False)
        raise typer.Exit(_STOPPED)
    if history.reason:
        _out.print(f"reason: {history.reason}", markup=False)
    if history.last_session == "interrupted":
        _out.print(f"continue with: latentloop resume {store}", markup=False)
        raise typer.Exit(_INTERRUPTED)
    if history.last_session == "finished" and best is not None and len(history.trials) >= history.budget:
        _out.print(f"more: latentloop resume {store} --trials {2 * history.budget}", markup=False)
    if best is None and history.trials:
        last = next((trial.reason for trial in reversed(history.trials) if trial.reason), "")
        if last:
            _err.print(f"the last trial: {last}", style="red", markup=False)
        _err.print("no trial has completed; mend the evaluator or objective.metric, and start a new campaign", style="red")
        raise typer.Exit(_STOPPED)


if __name__ == "__main__":
    main()
