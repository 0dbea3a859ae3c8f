"""FerroSIM's own parameters as the thing to optimize: a point of a box of numbers becomes a model, its hysteresis loop is measured.

Answers the question whether one can do better than grid search over, say, coupling and depolarization.
"""

import numpy as np

from ..records import EvaluatorKind, FloatArray, Measurement
from .hysteresis import OBSERVABLES, check_names, make_experiment


class FerroSimParametersEvaluator:
    """Measures a hysteresis loop of the model that a point's numbers describe; every number of the loop is a metric.

    Args:
        names: which parameter each number of a point is, in order; see `hysteresis.PARAMETERS`.
        coupling, depolarization, mode, lattice_size, amplitude, frequency, periods, steps, rule, boundary, defects, seed: what is not
            varied; see `hysteresis.make_experiment`, and `latentloop ferrosim map`, which has the same defaults.
    """

    def __init__(
        self,
        names: list[str],
        coupling: float = 10.0,
        depolarization: float = 0.2,
        mode: str = "tetragonal",
        lattice_size: int = 20,
        amplitude: float = 5.0,
        frequency: float = 0.1,
        periods: int = 2,
        steps: int = 2500,
        rule: str = "published",
        boundary: str = "open",
        defects: float = 0.0,
        seed: int = 512,
    ) -> None:
        check_names(names)
        if not names:
            raise ValueError("names must name at least one parameter")
        self.names = tuple(names)
        self.experiment = make_experiment(
            coupling=coupling,
            depolarization=depolarization,
            mode=mode,
            lattice_size=lattice_size,
            amplitude=amplitude,
            frequency=frequency,
            periods=periods,
            steps=steps,
            rule=rule,
            boundary=boundary,
            defects=defects,
            seed=seed,
        )

    metrics = tuple(OBSERVABLES)
    """Names of what it measures, known before the first measurement."""

    @property
    def kind(self) -> EvaluatorKind:
        """A simulation may be re-run at will."""
        return "pure"

    def prepare(self) -> None:
        """Nothing is kept between measurements."""

    def measure(self, trajectory: FloatArray) -> Measurement:
        """Measure the loop of the model with the numbers of one point, shape (d,).

        Raises:
            ValueError: another number of values than names.
            InstabilityError: the time step is too large for this model; the message names the largest stable one.
        """
        values = np.asarray(trajectory, dtype=np.float64)
        if values.shape != (len(self.names),):
            raise ValueError(f"a point has shape {values.shape}, expected ({len(self.names)},) for {', '.join(self.names)}")
        loop = self.experiment.varied(dict(zip(self.names, values.tolist(), strict=True))).run()
        return Measurement(metrics=loop.observables(), arrays={"polarization": loop.state})

    def close(self) -> None:
        """Nothing to release."""
