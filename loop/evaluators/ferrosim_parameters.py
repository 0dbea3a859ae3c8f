"""FerroSIM's own parameters as the thing to optimize: a point of a box of numbers becomes a model, its hysteresis loop is measured.

Answers the question whether one can do better than grid search over, say, coupling and depolarization.
"""

from typing import Literal

import numpy as np

from ...simulators.ferrosim import FerroSimParameters
from ..records import EvaluatorKind, FloatArray, Measurement
from .hysteresis import LoopExperiment, SineDrive, check_names

Mode = Literal["tetragonal", "rhombohedral", "uniaxial", "squareelectric"]


class FerroSimParametersEvaluator:
    """Measures a hysteresis loop of the model that a point's numbers describe; every scalar observable of the loop is a metric.

    Args:
        names: which parameter each number of a point is, in order; see `hysteresis.PARAMETERS`.
        lattice_size: sites along an edge.
        mode: energy of a site.
        amplitude: amplitude of the field, in units of Ec of the published material.
        frequency: periods per unit of time.
        periods: whole periods; the last one is the loop.
        steps: time steps in each period.
        defects: False for a lattice without disorder, True for the published random-field defects (20 x 20 only).
    """

    def __init__(
        self,
        names: list[str],
        lattice_size: int = 10,
        mode: Mode = "tetragonal",
        amplitude: float = 5.0,
        frequency: float = 0.1,
        periods: int = 2,
        steps: int = 2500,
        defects: bool = False,
    ) -> None:
        check_names(names)
        if not names:
            raise ValueError("names must name at least one parameter")
        self.names = tuple(names)
        published = FerroSimParameters.published()
        if defects and lattice_size != published.lattice_size:
            raise ValueError(f"the published defects belong to a lattice_size of {published.lattice_size}, not {lattice_size}")
        material = FerroSimParameters(
            lattice_size=lattice_size, mode=mode, coupling=10.0, random_field=published.random_field if defects else None
        )
        axis: Literal["x", "y"] = "y" if mode == "uniaxial" else "x"
        self.experiment = LoopExperiment(material, SineDrive(amplitude, frequency, periods, steps, axis))

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
        return Measurement(
            metrics=loop.observables(),
            arrays={"polarization": loop.state},
        )

    def close(self) -> None:
        """Nothing to release."""
