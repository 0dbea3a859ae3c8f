"""The curl over a latent space as a test problem of BoTorch, with a known optimum.

    f(z) = metric(evaluator(decode(z))),    z in the box of the encoded trajectories, to be maximized.

A simulator is deterministic, so f is free of noise unless ``noise_std`` asks for some. The optimum is that of the ground truth: the best
point of a grid, refined on ever finer grids around the best few.

>>> problem = FerroSimProblem.from_config("ferrosim-curl")
>>> problem(problem.bounds.mean(dim=0, keepdim=True)), problem.optimal_value
"""

from collections.abc import Iterable
from itertools import product
from typing import TYPE_CHECKING

import numpy as np
import torch
from botorch.test_functions.synthetic import SyntheticTestFunction

from ..models.threads import set_threads
from .config import load_config
from .errors import ConfigError
from .latent_training import latent_space, train
from .preparation import evaluator_spec
from .protocols import BatchEvaluator
from .records import FloatArray
from .trajectory_source import load_trajectories

if TYPE_CHECKING:
    from ..models.latent import LatentSpace

_MAX_DIMENSIONS = 3
_ROUNDS = 4
_BEST = 8
_FINE = 9
_CHUNK = 256


class FerroSimProblem(SyntheticTestFunction):
    """An objective over a latent space, to be maximized.

    Args:
        space: the latent space.
        box: the box to search, shape (d, 2).
        evaluator: measures trajectories side by side.
        metric: name of the metric.
        optimum: latent vector (d,) of the known optimum, and its value; None where it is not known.
        noise_std: standard deviation of noise added to every evaluation.
        negate: True turns it into a minimization.
    """

    _is_minimization_by_default = False
    _check_grad_at_opt = False

    def __init__(
        self,
        space: "LatentSpace",
        box: FloatArray,
        evaluator: BatchEvaluator,
        metric: str = "curl",
        optimum: tuple[FloatArray, float] | None = None,
        noise_std: float | None = None,
        negate: bool = False,
    ) -> None:
        self.dim = len(box)
        self.continuous_inds = list(range(self.dim))
        self._bounds = [(float(low), float(high)) for low, high in box]
        if optimum is not None:
            self._optimizers = [tuple(float(value) for value in optimum[0])]
            self._optimal_value = float(optimum[1])
        super().__init__(noise_std=noise_std, negate=negate)
        self._space = space
        self._evaluator = evaluator
        self._metric = metric

    @classmethod
    def from_config(
        cls,
        source: str = "ferrosim-curl",
        overrides: Iterable[str] = (),
        *,
        n_grid: int = 100,
        n_threads: int = 1,
        noise_std: float | None = None,
        negate: bool = False,
    ) -> "FerroSimProblem":
        """Train the latent model of a configuration or preset, find its optimum on a grid, and return the problem.

        Args:
            source: path of a YAML file, or a preset's name.
            overrides: ``key=value`` changes.
            n_grid: points of the first grid along each of at most 3 dimensions; 0 leaves the optimum unknown.
            n_threads: threads for training.
            noise_std: as for the class.
            negate: as for the class.

        Raises:
            ConfigError: the evaluator cannot measure trajectories side by side, or the latent space has too many dimensions for a grid.
        """
        config = load_config(source, overrides)
        if config.safety.is_bounded:
            raise ConfigError("a test problem measures whatever it is asked for and keeps no safety envelope; leave `safety` out")
        trajectories = load_trajectories(config)
        spec, _ = evaluator_spec(config, trajectories=trajectories)
        evaluator = spec.make()
        if not isinstance(evaluator, BatchEvaluator):
            raise ConfigError(f"evaluator {spec.name!r} measures one trajectory at a time; a test problem needs one with measure_many")
        trained = train(config, trajectories, 0, n_threads)
        set_threads(n_threads)
        space, box = latent_space(config, trained.restore(), trained.encoded)
        if n_grid and len(box) > _MAX_DIMENSIONS:
            raise ConfigError(f"a grid over {len(box)} latent dimensions is too large; say n_grid=0 to leave the optimum unknown")
        metric = config.objective.metric
        optimum = _optimum(cls(space, box, evaluator, metric), n_grid) if n_grid else None
        return cls(space, box, evaluator, metric, optimum, noise_std, negate)

    def _evaluate_true(self, X: torch.Tensor) -> torch.Tensor:
        """Return the metric at latent points X (..., d), shape (...), without noise."""
        points = X.detach().cpu().to(torch.float64).numpy().reshape(-1, self.dim)
        values = np.empty(len(points))
        for start in range(0, len(points), _CHUNK):
            rows = slice(start, start + _CHUNK)
            measured = self._evaluator.measure_many(self._space.decode(points[rows]))
            values[rows] = [measurement.metrics[self._metric] for measurement in measured]
        return torch.from_numpy(values).to(X).reshape(X.shape[:-1])


def _optimum(problem: FerroSimProblem, n_grid: int) -> tuple[FloatArray, float]:
    """Return the best point of a grid and of ever finer grids around the best few, with its value."""
    box = np.array(problem._bounds)
    width = (box[:, 1] - box[:, 0]) / (n_grid - 1)
    points = np.array(list(product(*(np.linspace(low, high, n_grid) for low, high in box))))
    values = problem._evaluate_true(torch.from_numpy(points)).numpy()
    for _ in range(_ROUNDS):
        best = points[np.argsort(-values, kind="stable")[:_BEST]]
        offsets = np.array(list(product(np.linspace(-1, 1, _FINE), repeat=len(box)))) * width
        points = np.clip((best[:, None] + offsets).reshape(-1, len(box)), box[:, 0], box[:, 1])
        values = problem._evaluate_true(torch.from_numpy(points)).numpy()
        width = width * 2 / (_FINE - 1)
    found = int(np.argmax(values))
    return points[found], float(values[found])
