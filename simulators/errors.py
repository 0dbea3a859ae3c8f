"""Errors of the simulators: each says what is wrong, where, and how to mend it. All are ValueErrors."""


class SimulatorError(ValueError):
    """Anything that a simulator or a trajectory family refuses."""


class TrajectoryError(SimulatorError):
    """A trajectory of the wrong length, shape or content."""


class ParameterError(SimulatorError):
    """A parameter out of its range, of the wrong shape, or in conflict with another."""


class SimulationError(SimulatorError):
    """A run that cannot be done as asked."""


class InstabilityError(SimulationError):
    """The time step is too large for the lattice: the explicit integrator would diverge."""

    def __init__(self, message: str, largest_stable_step: float) -> None:
        super().__init__(message)
        self.largest_stable_step = largest_stable_step
        """The largest step that is safe for this lattice and this field, in the units of `times`."""

    def __reduce__(self) -> tuple[type["InstabilityError"], tuple[str, float]]:
        return type(self), (str(self), self.largest_stable_step)
