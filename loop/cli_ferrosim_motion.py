"""The simulator's commands about motion: the polarization over time as an animation, and the decay of the curl."""

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from .errors import ConfigError
from .pages import writable, write_page

if TYPE_CHECKING:
    from .evaluators.ferrosim import FerroSimEvaluator
    from .records import FloatArray

_out = Console(highlight=False, soft_wrap=True)
_notes = Console(stderr=True, highlight=False, soft_wrap=True)

_PUBLISHED_ROW = 512
"""The trajectory that the publication shows."""
_SINE_STEPS = 950

Page = Annotated[Path | None, typer.Option("-o", "--output", help="HTML file with the picture; an existing one is replaced.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object, and nothing else, to standard output.")]
NeededPage = Annotated[Path, typer.Option("-o", "--output", help="HTML file to write; an existing one is replaced.")]
PresetName = Annotated[str, typer.Option("--preset", help="published (20 x 20, 33 defects) or small (8 x 8).")]
FieldAxis = Annotated[str, typer.Option("--axis", help="Axis of a trajectory of one channel: x, y or both.")]
Trajectories = Annotated[
    Path | None,
    typer.Option("--trajectory", metavar="FILE.npy", help="Array (T,), (T, 2) or (n, T); without it the published trajectories."),
]
TrajectoryScale = Annotated[float, typer.Option("--amplitude", help="Field in Ec that a trajectory's value of 1 stands for.")]


def animate(
    output: NeededPage,
    preset: PresetName = "published",
    trajectory: Trajectories = None,
    row: Annotated[int, typer.Option("--row", min=0, help="Which of several trajectories.")] = _PUBLISHED_ROW,
    sine: Annotated[
        tuple[float, float] | None, typer.Option("--sine", metavar="AMPLITUDE PERIODS", help="A sine field instead, amplitude in Ec.")
    ] = None,
    amplitude: TrajectoryScale = 150.0,
    axis: FieldAxis = "x",
    hold_steps: Annotated[int, typer.Option("--hold-steps", min=0, help="Steps for which the last value is held.")] = 50,
    every: Annotated[int, typer.Option("--every", min=1, help="Steps between two frames; frames are thinned to keep the page small.")] = 10,
) -> None:
    """Write the polarization over time as an animation with the field underneath, one HTML file.

    Examples:
      latentloop ferrosim animate -o movie.html
      latentloop ferrosim animate --preset small --sine 50 2 --every 5 -o movie.html
      latentloop ferrosim animate --trajectory waveforms.npy --row 3 -o movie.html
    """
    _out.print("latentloop ferrosim animate", markup=False)
    import numpy as np

    from ..simulators.ferrosim import FerroSim
    from .curl_decay import evaluator_parameters
    from .figures import draw_polarization_animation, render_polarization_animation

    page = writable(output)
    if trajectory is not None and sine is not None:
        raise ConfigError("--trajectory and --sine exclude each other; give one of them")
    if sine is not None:
        amplitude, hold_steps = sine[0], 0
        values = np.sin(2.0 * np.pi * sine[1] * np.linspace(0.0, 1.0, _SINE_STEPS))
        source = f"a sine of {sine[0]:g} Ec and {sine[1]:g} periods"
    else:
        values, source = _trajectory(trajectory, row)
    evaluator = _evaluator(preset, amplitude, axis, hold_steps)
    field = evaluator.field(values[None])
    simulator = FerroSim(evaluator_parameters(evaluator, field.shape[1]))
    if every >= field.shape[1]:
        raise ConfigError(f"--every {every} leaves one frame of a run of {field.shape[1]} steps; give a smaller number")
    history = simulator.simulate(field, frames_every=every)
    assert history.frames is not None
    figure = draw_polarization_animation(history.frames[0], history.frame_times, history.times, field[0])
    n = evaluator.parameters.lattice_size
    told = f"The {preset} lattice of {n} x {n} sites under {source}: arrows are the polarization, colours its curl."
    text = render_polarization_animation(figure, title="Polarization over time", explanation=told)
    write_page(text, page)
    _out.print(f"frames: {len(figure.frames)} of {len(history.frames[0])}, {len(text) / 1e6:.1f} MB")
    _out.print(f"animation: {page}", markup=False)


def decay(
    output: Page = None,
    preset: PresetName = "published",
    trajectory: Trajectories = None,
    n: Annotated[int, typer.Option("-n", "--trajectories", min=3, help="How many trajectories, spread evenly over the set.")] = 200,
    hold_steps: Annotated[
        int, typer.Option("--hold-steps", min=2, help="Steps for which the last value is held and the curl watched.")
    ] = 50,
    amplitude: TrajectoryScale = 150.0,
    axis: FieldAxis = "x",
    as_json: Json = False,
) -> None:
    """Show how the curl decays while the field is held, and its rate against the curl at the start.

    Examples:
      latentloop ferrosim decay -o decay.html
      latentloop ferrosim decay --hold-steps 200 -n 500 -o decay.html
    """
    said = _notes if as_json else _out
    said.print("latentloop ferrosim decay", markup=False)
    import numpy as np

    from .curl_decay import measure_curl_decay
    from .progress import TerminalObserver

    page = None if output is None else writable(output)
    values = _trajectory_set(trajectory)
    chosen = values[np.linspace(0, len(values) - 1, min(n, len(values))).astype(int)]
    evaluator = _evaluator(preset, amplitude, axis, hold_steps)
    with TerminalObserver(said) as observer:
        observer.stage(f"simulating {len(chosen):,} trajectories")
        found = measure_curl_decay(evaluator, chosen, progress=observer.training)
    constant, rest = found.line
    facts = {
        "rate_constant": constant,
        "resting_curl": rest,
        "correlation": found.correlation,
        "mean_curl_at_start": float(found.start.mean()),
        "mean_curl_at_end": float(found.curls[:, -1].mean()),
        "trajectories": len(chosen),
    }
    if as_json:
        print(json.dumps(facts))
    else:
        _out.print(f"decay rate = {constant:.4g} (curl at the start - {rest:.4g}), correlation {found.correlation:.3f}", markup=False)
    if page is not None:
        from .figures import draw_curl_decay, render_figure

        figure = draw_curl_decay(found.times, found.curls, rate=found.rate, line=found.line, correlation=found.correlation)
        told = (
            f"{len(chosen)} trajectories on the {preset} lattice, last value held for {hold_steps} steps. What a trajectory leaves above "
            "the curl that the lattice keeps anyway decays, and the faster, the more it is."
        )
        write_page(render_figure(figure, title="Decay of the curl", explanation=told), page)
        said.print(f"picture: {page}", markup=False)


def _evaluator(preset: str, amplitude: float, axis: str, hold_steps: int) -> "FerroSimEvaluator":
    from .evaluators.ferrosim import FerroSimEvaluator

    for what, value, known in (("preset", preset, ("published", "small")), ("axis", axis, ("x", "y", "both"))):
        if value not in known:
            raise ConfigError(f"unknown {what} {value!r}; known are {', '.join(known)}")
    if not math.isfinite(amplitude):
        raise ConfigError(f"amplitude is {amplitude}; it must be finite")
    return FerroSimEvaluator(preset, amplitude, axis, hold_steps)  # type: ignore[arg-type]


def _trajectory_set(path: Path | None) -> "FloatArray":
    """Return trajectories (n, T) or (n, T, 2) of a file, or the published ones."""
    import numpy as np

    if path is None:
        from ..simulators.trajectories import published_trajectories

        return published_trajectories()
    try:
        values = np.asarray(np.load(path, allow_pickle=False), dtype=np.float64)
    except (OSError, ValueError, TypeError) as error:
        raise ConfigError(f"--trajectory: cannot read {path} as an array of numbers (.npy): {error}") from error
    values = values[None] if values.ndim == 1 or (values.ndim == 2 and values.shape[1] == 2) else values
    if values.ndim not in (2, 3) or values.shape[1] < 2 or (values.ndim == 3 and values.shape[2] not in (1, 2)):
        raise ConfigError(f"--trajectory: {path} holds an array of shape {values.shape}; expected (T,), (T, 2), (n, T) or (n, T, 2)")
    return values


def _trajectory(path: Path | None, row: int) -> tuple["FloatArray", str]:
    """Return one trajectory (T,) or (T, 2), and what it is called."""
    values = _trajectory_set(path)
    if path is not None and len(values) == 1:
        return values[0], f"the trajectory in {path.name}"
    if row >= len(values):
        raise ConfigError(f"--row {row}: there are {len(values)} trajectories, 0 to {len(values) - 1}")
    return values[row], f"trajectory {row} {'of the published set' if path is None else f'in {path.name}'}"
