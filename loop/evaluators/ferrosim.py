"""FerroSIM as an evaluator: a field trajectory drives a ferroelectric lattice, and its curl at the end is measured.

The trajectory, in units of ``amplitude`` times the coercive field Ec, is applied along one axis (or both, for two channels), then its
last value is held for ``hold_steps`` steps, in which the lattice equilibrates.
Source: Valleti et al., Digital Discovery 2022, 10.1039/D2DD00065B.
"""

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np

from ...simulators.ferrosim import FerroSim, FerroSimParameters, PolarizationHistory, curl, normalized_curl
from ...simulators.ferrosim.parameters import as_array
from ...simulators.noise import MeasurementNoise, NoisyInstrument
from ..records import EvaluatorKind, FloatArray, Measurement

Axis = Literal["x", "y", "both"]
Preset = Literal["published", "small"]
Update = Literal["synchronous", "random_sites"]
_FAULTS = 7
"""Keeps the stream of faults apart from that of the noise."""


class FerroSimEvaluator:
    """Measures ``curl``, ``normalized_curl``, ``polarization_x`` and ``polarization_y`` (totals) and stores the final ``polarization``.

    Args:
        preset: ``published`` (20 x 20, 33 defects, random_sites) or ``small`` (8 x 8 with the defects of the same corner, synchronous).
        amplitude: field in units of the coercive field Ec that a trajectory's value of 1 stands for.
        axis: axis of the field for a trajectory of one channel; ``both`` applies it along x and y.
        hold_steps: steps for which the last value is held.
        coupling: coupling K between neighbours; None for the preset's.
        depolarization: depolarization strength; None for the preset's.
        update: update rule; None for the preset's.
        update_seed: seed of the random_sites rule; None for the preset's.
        n_threads: threads of the kernel.
        noise: errors of an emulated instrument that reads the curl, by the names of `MeasurementNoise` (``additive``, ``multiplicative``,
            ``dropout``, ``stuck``, ``latency``, ``latency_spread``); None for the exact number. The latency is really waited for.
        noise_seed: seed of those errors, and of the faults.
        faults: share of the measurements in which the emulated instrument fails (the trial has failed, too).
        kind: ``physical`` treats the simulation as if it were an instrument: at most once, to rehearse a campaign.
    """

    def __init__(
        self,
        preset: Preset = "published",
        amplitude: float = 150.0,
        axis: Axis = "x",
        hold_steps: int = 50,
        coupling: float | None = None,
        depolarization: float | None = None,
        update: Update | None = None,
        update_seed: int | None = None,
        n_threads: int = 1,
        noise: dict[str, float] | None = None,
        noise_seed: int = 0,
        faults: float = 0.0,
        kind: EvaluatorKind = "pure",
    ) -> None:
        if hold_steps < 0:
            raise ValueError(f"hold_steps must be at least 0, not {hold_steps}")
        if not np.isfinite(amplitude):
            raise ValueError(f"amplitude must be finite, not {amplitude}")
        if not 0.0 <= faults <= 1.0:
            raise ValueError(f"faults must lie between 0 and 1, not {faults}")
        self.amplitude = amplitude
        self.axis = axis
        self.hold_steps = hold_steps
        self.n_threads = n_threads
        given = {"coupling": coupling, "depolarization": depolarization, "update": update, "update_seed": update_seed}
        self.parameters = replace(
            FerroSimParameters.published() if preset == "published" else small_parameters(),
            **{name: value for name, value in given.items() if value is not None},  # type: ignore[arg-type]
        )
        self.faults = faults
        self._kind: EvaluatorKind = kind
        self._seed, self._n_measured = noise_seed, 0
        self._simulators: dict[int, FerroSim] = {}
        self._noise = None if noise is None else MeasurementNoise(**noise)
        self._instrument = None if self._noise is None else NoisyInstrument(self._noise, noise_seed)

    metrics = ("curl", "normalized_curl", "polarization_x", "polarization_y")
    """Names of what it measures, known before the first measurement."""

    @property
    def kind(self) -> EvaluatorKind:
        """``pure``, a simulation may be re-run at will, or as configured."""
        return self._kind

    def prepare(self) -> None:
        """Compile the kernel by a run of the shortest kind."""
        self._simulate(np.zeros((1, max(2, self.parameters.n_steps - self.hold_steps))))

    def measure(self, trajectory: FloatArray) -> Measurement:
        """Simulate one trajectory of shape (T,) or (T, 2); raises RuntimeError when the emulated instrument fails."""
        return self.measure_many(np.asarray(trajectory)[None])[0]

    def measure_many(self, trajectories: FloatArray) -> Sequence[Measurement]:
        """Simulate trajectories of shape (S, T) or (S, T, 2) side by side; raises RuntimeError when the emulated instrument fails."""
        self._fail_now_and_then(len(trajectories))
        history = self._simulate(trajectories)
        curls, normalized = curl(history.polarization), normalized_curl(history.polarization)
        errors = np.full(len(curls), np.nan)
        if self._instrument is not None and self._noise is not None:
            errors = np.hypot(self._noise.additive, self._noise.multiplicative * curls)
            readings = self._instrument.read(curls)
            time.sleep(float(readings.latency.sum()))
            curls = readings.values
        return [
            Measurement(
                metrics={
                    "curl": float(curls[sample]),
                    "normalized_curl": float(normalized[sample]),
                    "polarization_x": float(history.total_polarization[sample, -1, 0]),
                    "polarization_y": float(history.total_polarization[sample, -1, 1]),
                },
                errors={"curl": float(errors[sample])} if errors[sample] > 0.0 else {},
                arrays={"polarization": history.polarization[sample]},
            )
            for sample in range(len(curls))
        ]

    def field(self, trajectories: FloatArray) -> FloatArray:
        """Return the applied field in units of Ec, shape (S, T + hold_steps, 2)."""
        values = np.asarray(trajectories, dtype=np.float64)
        if values.ndim == 3 and values.shape[2] == 1:
            values = values[:, :, 0]
        if values.ndim == 3 and values.shape[2] != 2:
            raise ValueError(f"FerroSIM takes trajectories of one channel or two, not {values.shape[2]}")
        steps = np.minimum(np.arange(values.shape[1] + self.hold_steps), values.shape[1] - 1)
        held = self.amplitude * values[:, steps]
        if values.ndim == 3:
            return np.ascontiguousarray(held)
        field = np.zeros((*held.shape, 2))
        if self.axis in ("x", "both"):
            field[:, :, 0] = held
        if self.axis in ("y", "both"):
            field[:, :, 1] = held
        return field

    def _fail_now_and_then(self, n: int) -> None:
        """Raise RuntimeError when one of the next n measurements is a fault; which are follows from the seed and their number alone."""
        if self.faults == 0.0:
            return
        first, self._n_measured = self._n_measured, self._n_measured + n
        if any(np.random.default_rng([self._seed, _FAULTS, number]).random() < self.faults for number in range(first, first + n)):
            raise RuntimeError("the emulated instrument failed, as it was told to now and then (faults)")

    def close(self) -> None:
        """Forget the compiled simulators."""
        self._simulators.clear()

    def _simulate(self, trajectories: FloatArray) -> PolarizationHistory:
        return self._simulator(np.shape(trajectories)[1] + self.hold_steps).simulate(self.field(trajectories))

    def _simulator(self, n_steps: int) -> FerroSim:
        """Return the simulator for runs of ``n_steps`` steps of the preset's length."""
        if n_steps not in self._simulators:
            times = as_array(self.parameters.times)
            if n_steps != len(times):
                times = times[0] + (times[1] - times[0]) * np.arange(n_steps)
            self._simulators[n_steps] = FerroSim(replace(self.parameters, times=times), n_threads=self.n_threads)
        return self._simulators[n_steps]


def small_parameters() -> FerroSimParameters:
    """Return an 8 x 8 lattice with the published material and the published defects of its corner, for trying out."""
    published = FerroSimParameters.published()
    size = 8
    return replace(
        published,
        lattice_size=size,
        random_field=as_array(published.random_field)[:size, :size],
        initial_polarization=as_array(published.initial_polarization)[:size, :size],
        times=as_array(published.times)[:160],
        update="synchronous",
    )
