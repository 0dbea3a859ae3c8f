"""The command line of the simulator: hysteresis loops, maps over two parameters, animations, the decay of the curl."""

import json
import math
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from .cli_ferrosim_motion import animate, decay
from .errors import ConfigError, StoreError
from .pages import writable, write_page

app = typer.Typer(
    help="The FerroSIM lattice by itself: its hysteresis loop, maps over two of its parameters, animations.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command()(animate)
app.command()(decay)
_out = Console(highlight=False, soft_wrap=True)
_notes = Console(stderr=True, highlight=False, soft_wrap=True)

_SEED = 512
"""Of drawn sites and drawn defects, unless another one is given; the publication's."""
_STRAIGHT = 0.01
"""Closing error above which a loop has not settled."""

Coupling = Annotated[float, typer.Option("--coupling", help="Coupling K between neighbours, 0 or larger.")]
Depolarization = Annotated[float, typer.Option("--depolarization", help="Depolarization strength, 0 or larger.")]
Mode = Annotated[str, typer.Option("--mode", help="tetragonal, rhombohedral, uniaxial or squareelectric.")]
Landau = Annotated[tuple[float, float, float], typer.Option("--landau", metavar="A1 A2 A3", help="Landau coefficients.")]
Size = Annotated[int, typer.Option("--size", min=2, help="Sites along each side.")]
Kinetic = Annotated[float, typer.Option("--kinetic-coefficient", help="Kinetic coefficient gamma.")]
Amplitude = Annotated[float, typer.Option("--amplitude", help="Amplitude of the sine field, in coercive fields Ec.")]
Frequency = Annotated[float, typer.Option("--frequency", help="Periods per unit of time; a site relaxes within about 0.3 units.")]
Periods = Annotated[int, typer.Option("--periods", min=1, help="Periods of the field; the last one is the loop.")]
Steps = Annotated[int, typer.Option("--steps", min=8, help="Time steps per period.")]
AxisName = Annotated[str | None, typer.Option("--axis", help="Direction of the field, x or y. [default: x; y for mode uniaxial]")]
Update = Annotated[str, typer.Option("--update", help="synchronous or random_sites.")]
Rule = Annotated[str, typer.Option("--rule", help="published, or clean (the exact gradient of the energy).")]
Boundary = Annotated[str, typer.Option("--boundary", help="open or periodic.")]
Temperature = Annotated[float, typer.Option("--temperature", help="In units of the Curie temperature; 0 is the material as given.")]
Defects = Annotated[
    float, typer.Option("--defects", min=0, max=1, help="Share of sites that are random-field defects; 0.0825 is published.")
]
Orientation = Annotated[str, typer.Option("--defect-orientation", help="+x, -x, +y, -y, axes or random.")]
Seed = Annotated[int, typer.Option("--seed", min=0, help="Seed of drawn defects and drawn sites.")]
Page = Annotated[Path | None, typer.Option("-o", "--output", help="HTML file with the picture; an existing one is replaced.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object, and nothing else, to standard output.")]


@app.command()
def loop(
    coupling: Coupling = 10.0,
    depolarization: Depolarization = 0.2,
    mode: Mode = "tetragonal",
    landau: Landau = (-1.6, 12.2, 40.0),
    size: Size = 20,
    kinetic: Kinetic = 1.0,
    amplitude: Amplitude = 5.0,
    frequency: Frequency = 0.1,
    periods: Periods = 2,
    steps: Steps = 2500,
    axis: AxisName = None,
    update: Update = "synchronous",
    rule: Rule = "published",
    boundary: Boundary = "open",
    temperature: Temperature = 0.0,
    defects: Defects = 0.0,
    orientation: Orientation = "+y",
    seed: Seed = _SEED,
    output: Page = None,
    as_json: Json = False,
) -> None:
    """Draw a hysteresis loop and say its numbers.

    Examples:
      latentloop ferrosim loop -o loop.html
      latentloop ferrosim loop --coupling 100 --depolarization 1 --defects 0.0825 -o loop.html
      latentloop ferrosim loop --temperature 0.9 --amplitude 8 --json
    """
    _begin("latentloop ferrosim loop", as_json=as_json)
    from ..simulators.errors import InstabilityError
    from .evaluators.hysteresis import OBSERVABLES, make_experiment

    page = _page(output, "ferrosim-loop.html", as_json=as_json)
    experiment = make_experiment(
        coupling=coupling,
        depolarization=depolarization,
        mode=mode,
        landau=landau,
        lattice_size=size,
        kinetic_coefficient=kinetic,
        amplitude=amplitude,
        frequency=frequency,
        periods=periods,
        steps=steps,
        axis=axis,
        update=update,
        rule=rule,
        boundary=boundary,
        defects=defects,
        orientation=orientation,
        seed=seed,
    )
    experiment = experiment.varied({"temperature": temperature}) if temperature else experiment
    try:
        found = experiment.run()
    except InstabilityError as error:
        needed = experiment.steps_for(error.largest_stable_step)
        raise ConfigError(f"unstable: {steps} steps per period are too few for this lattice and field; give --steps {needed}") from None
    numbers = found.observables()
    facts = {**numbers, "closing_error": found.closing_error}
    if as_json:
        print(json.dumps({name: value if math.isfinite(value) else None for name, value in facts.items()}))
    else:
        for name, observable in OBSERVABLES.items():
            value = f"{numbers[name]:.5g} {observable.unit}" if math.isfinite(numbers[name]) else f"none: {observable.undefined}"
            _out.print(f"{name:24} {value}", markup=False)
    if found.closing_error > _STRAIGHT:
        _notes.print(f"note: the loop misses its begin by {found.closing_error:.1%} of its height; give more --periods", markup=False)
    if page is not None:
        from .figures import draw_hysteresis_loop, render_figure

        figure = draw_hysteresis_loop(found.times, found.field, found.polarization, found.steps)
        told = f"{size} x {size} sites, {mode}, K = {coupling:g}, depolarization {depolarization:g}, {rule} rule, {boundary} boundary"
        warm = f", T = {temperature:g} of the Curie temperature" if temperature else ""
        told += f"{warm}; field of {amplitude:g} Ec, {frequency:g} periods per unit of time."
        write_page(render_figure(figure, title="Hysteresis loop", explanation=told), page)
        _say(f"picture: {page}", as_json=as_json)


@app.command("map")
def parameter_map(
    x: Annotated[tuple[str, float, float], typer.Option("--x", metavar="NAME LOW HIGH", help="First parameter and its range.")] = (
        "coupling",
        0.0,
        200.0,
    ),
    y: Annotated[tuple[str, float, float], typer.Option("--y", metavar="NAME LOW HIGH", help="Second parameter and its range.")] = (
        "depolarization",
        0.0,
        2.0,
    ),
    observable: Annotated[
        str, typer.Option("--observable", help="loop_area, coercive_field, remnant_polarization, curl, ...")
    ] = "loop_area",
    grid: Annotated[int, typer.Option("--grid", min=2, help="Cells along each axis.")] = 50,
    is_minimize: Annotated[bool, typer.Option("--minimize", help="The smallest value is the best one.")] = False,
    coupling: Coupling = 10.0,
    depolarization: Depolarization = 0.2,
    mode: Mode = "tetragonal",
    landau: Landau = (-1.6, 12.2, 40.0),
    size: Size = 20,
    kinetic: Kinetic = 1.0,
    amplitude: Amplitude = 5.0,
    frequency: Frequency = 0.1,
    periods: Periods = 2,
    steps: Steps = 2500,
    axis: AxisName = None,
    update: Update = "synchronous",
    rule: Rule = "published",
    boundary: Boundary = "open",
    temperature: Temperature = 0.0,
    defects: Defects = 0.0,
    orientation: Orientation = "+y",
    seed: Seed = _SEED,
    threads: Annotated[
        int | None, typer.Option("--threads", min=1, help="Simulations at the same time; one per core if not given.")
    ] = None,
    zarr: Annotated[Path | None, typer.Option("--zarr", metavar="FILE.zarr", help="Zarr group to make, for xarray.")] = None,
    beside: Annotated[
        Path | None, typer.Option("--beside", metavar="STORE", help="A campaign over the same two parameters, drawn beside the grid.")
    ] = None,
    output: Page = None,
    as_json: Json = False,
) -> None:
    """Search a grid over two parameters for one number of the hysteresis loop.

    Parameters: coupling, depolarization, kinetic_coefficient, temperature, a1, a2, a3, amplitude, frequency.

    Examples:
      latentloop ferrosim map --x coupling 0 200 --y depolarization 0 2 --observable loop_area --grid 50 -o map.html
      latentloop ferrosim map --grid 50 --beside campaigns/parameters -o map.html
      latentloop ferrosim map --x temperature 0 2 --y amplitude 1 20 --observable remnant_polarization --zarr map.zarr
    """
    _begin("latentloop ferrosim map", as_json=as_json)
    from .evaluators.hysteresis import make_experiment, observable_named
    from .parameter_map import Range, explored_in, measure_parameter_map, write_parameter_map
    from .progress import TerminalObserver

    page = _page(output, "ferrosim-map.html", as_json=as_json)
    if zarr is not None and zarr.exists():
        raise StoreError(f"{zarr} exists already; choose another path, or move it away")
    ranges = Range(*x), Range(*y)
    unit = observable_named(observable).unit
    explored = None if beside is None else explored_in(beside, (x[0], y[0]), observable)
    experiment = make_experiment(
        coupling=coupling,
        depolarization=depolarization,
        mode=mode,
        landau=landau,
        lattice_size=size,
        kinetic_coefficient=kinetic,
        amplitude=amplitude,
        frequency=frequency,
        periods=periods,
        steps=steps,
        axis=axis,
        update=update,
        rule=rule,
        boundary=boundary,
        defects=defects,
        orientation=orientation,
        seed=seed,
    )
    if temperature and "temperature" not in (x[0], y[0]):
        experiment = experiment.varied({"temperature": temperature})
    with TerminalObserver(_notes if as_json else _out) as observer:
        observer.stage(f"simulating {grid * grid:,} loops")
        goal = "minimize" if is_minimize else "maximize"
        found = measure_parameter_map(
            experiment, *ranges, observable, n_grid=grid, goal=goal, n_threads=threads, progress=observer.training  # type: ignore[arg-type]
        )  # fmt: skip
    point = found.best_point
    if as_json:
        best = None if point is None else dict(zip(found.names, point, strict=True))
        value = None if point is None else found.best_value
        facts = {"observable": observable, "goal": goal, "best": best, "value": value, "cells": found.values.size}
        print(json.dumps({**facts, "without_value": len(found.reasons), "unstable": found.n_unstable}))
    elif point is not None:
        _out.print(f"best: {observable} = {found.best_value:.6g} {unit} at {x[0]} = {point[0]:.6g}, {y[0]} = {point[1]:.6g}", markup=False)
    for failure in found.failures():
        _notes.print(f"note: {failure}", markup=False)
    if zarr is not None:
        write_parameter_map(found, zarr, experiment)
        _say(f"zarr: {zarr}", as_json=as_json)
    if page is not None:
        from .figures import draw_parameter_map, render_figure

        empty = "unstable" if found.n_unstable == len(found.reasons) else "no value"
        figure = draw_parameter_map(
            found.x,
            found.y,
            found.values,
            found.names,
            value_name=observable,
            unit=unit,
            goal=found.goal,
            empty_reason=empty,
            explored=explored,
        )
        told = f"Grid search of {found.values.size:,} simulations; the star is the best cell."
        explanation = " ".join([told, *(f"{said}." for said in found.failures())])
        write_page(render_figure(figure, title=f"{observable} over {x[0]} and {y[0]}", explanation=explanation), page)
        _say(f"picture: {page}", as_json=as_json)


def _page(output: Path | None, default: str, *, as_json: bool) -> Path | None:
    """Return where the picture goes: where the user says, else to a name of its own here; with --json only where the user says."""
    if output is None and as_json:
        return None
    return writable(Path(default) if output is None else output)


def _begin(line: str, *, as_json: bool) -> None:
    """Print the first line at once, before anything heavy is imported."""
    (_notes if as_json else _out).print(line, markup=False)


def _say(line: str, *, as_json: bool) -> None:
    (_notes if as_json else _out).print(line, markup=False)
