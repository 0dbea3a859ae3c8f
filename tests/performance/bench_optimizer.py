"""Evaluations that the optimizer needs, with its defaults: published test functions from paired designs, and the published problem.

The designs of 25 seeds and the medians of expected improvement after 25, 50 and 100 evaluations (design included, 51 seeds) are those
published with De Ath, Everson, Rahat and Fieldsend 2021, 10.1145/3425501 (github.com/georgedeath/egreedy, MIT). The published problem is
the curl of FerroSIM over the box of the encoded trajectories, measured on a grid here and interpolated, against random search.

``bench_optimizer.py [SEEDS]`` takes fewer seeds.
"""

import json
import sys
from pathlib import Path

import numpy as np
from latentloop import Optimizer
from latentloop.loop.problem import FerroSimProblem
from latentloop.models.threads import set_threads
from scipy.interpolate import RegularGridInterpolator

DATA = Path(__file__).resolve().parent / "data" / "egreedy.npz"
MARKS = (25, 50, 100)
GRID = 150


def branin(x: np.ndarray) -> np.ndarray:
    a, b = x.T
    return (b - 5.1 / (4 * np.pi**2) * a**2 + 5 / np.pi * a - 6) ** 2 + 10 * (1 - 1 / (8 * np.pi)) * np.cos(a) + 10


def branin_forrester(x: np.ndarray) -> np.ndarray:
    return branin(x) + 5 * x[:, 0]


def cosines(x: np.ndarray) -> np.ndarray:
    z = 1.6 * x - 0.5
    return -(1 - (z**2 - 0.3 * np.cos(3 * np.pi * z)).sum(axis=1))


def log_goldstein_price(x: np.ndarray) -> np.ndarray:
    a, b = x.T
    first = 1 + (a + b + 1) ** 2 * (19 - 14 * a + 3 * a**2 - 14 * b + 6 * a * b + 3 * b**2)
    return np.log(first * (30 + (2 * a - 3 * b) ** 2 * (18 - 32 * a + 12 * a**2 + 48 * b - 36 * a * b + 27 * b**2)))


def log_six_hump_camel(x: np.ndarray) -> np.ndarray:
    a, b = x.T
    return np.log((4 - 2.1 * a**2 + a**4 / 3) * a**2 + a * b + (-4 + 4 * b**2) * b**2 + 1.0316 + 1e-4)


def hartmann6(x: np.ndarray) -> np.ndarray:
    width = np.array([[10, 3, 17, 3.5, 1.7, 8], [0.05, 10, 17, 0.1, 8, 14], [3, 3.5, 1.7, 10, 17, 8], [17, 8, 0.05, 10, 0.1, 14]])
    place = 1e-4 * np.array(
        [
            [1312, 1696, 5569, 124, 8283, 5886],
            [2329, 4135, 8307, 3736, 1004, 9991],
            [2348, 1451, 3522, 2883, 3047, 6650],
            [4047, 8828, 8732, 5743, 1091, 381],
        ]
    )
    return -(np.array([1, 1.2, 3, 3.2]) * np.exp(-(width * (x[:, None] - place) ** 2).sum(axis=2))).sum(axis=1)


FUNCTIONS = {
    "Branin": branin,
    "BraninForrester": branin_forrester,
    "Cosines": cosines,
    "logGoldsteinPrice": log_goldstein_price,
    "logSixHumpCamel": log_six_hump_camel,
    "Hartmann6": hartmann6,
}


def regrets(name: str, seed: int, data: dict[str, np.ndarray]) -> np.ndarray:
    """Regret so far after each of 100 evaluations, from the published design of one seed."""
    function, x = FUNCTIONS[name], data[f"{name}__X"][seed]
    y = function(x)
    np.testing.assert_allclose(y, data[f"{name}__Y"][seed], rtol=1e-9, atol=1e-9)
    d = x.shape[1]
    bounds = np.column_stack([np.broadcast_to(data[f"{name}__lb"], d), np.broadcast_to(data[f"{name}__ub"], d)])
    optimizer = Optimizer(bounds, goal="minimize", seed=seed)
    optimizer.tell(x, y)
    while len(y) < MARKS[-1]:
        point = optimizer.ask()
        value = function(point)
        optimizer.tell(point, value)
        y = np.append(y, value)
    return np.abs(np.minimum.accumulate(y) - float(data[f"{name}__yopt"]))


def shares(surface: RegularGridInterpolator, bounds: np.ndarray, seed: int, acquisition: str | None) -> np.ndarray:
    """Best value so far after each of 100 evaluations."""
    optimizer, found = Optimizer(bounds, acquisition=acquisition, seed=seed, noise=0.0), []
    while len(found) < MARKS[-1]:
        point = optimizer.ask()
        value = surface(point)
        optimizer.tell(point, value)
        found.append(float(value[0]))
    return np.maximum.accumulate(found)


def report(figure: str, value: float, unit: str, target: str, ok: bool, detail: str) -> None:
    """Print one figure."""
    line = {"figure": figure, "value": float(value), "unit": unit, "target": target, "ok": bool(ok), "detail": detail}
    print(json.dumps(line), flush=True)


def main() -> None:
    """Print the figures."""
    set_threads(1)
    n_seeds = int(sys.argv[1]) if len(sys.argv) > 1 else 25
    data = dict(np.load(DATA))
    for name in FUNCTIONS:
        found = np.median([regrets(name, seed, data) for seed in range(min(n_seeds, 25))], axis=0)
        for mark, published in zip(MARKS, data[f"{name}__EI"], strict=True):
            goal = 0.1 if (name, mark) == ("Hartmann6", 50) else 1.0
            ours = found[mark - 1]
            detail = f"published expected improvement {published:.2e}"
            report(f"median regret, {name}, {mark} evaluations", ours, "", f"<= {goal * published:.2e}", ours <= goal * published, detail)
    import torch

    problem = FerroSimProblem.from_config("ferrosim-curl", n_grid=0)
    bounds = np.array(problem._bounds)
    axes = [np.linspace(low, high, GRID) for low, high in bounds]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, len(axes))
    values = problem.evaluate_true(torch.from_numpy(grid)).numpy()
    surface = RegularGridInterpolator(tuple(axes), values.reshape([GRID] * len(axes)))
    found, lucky = (
        (np.array([shares(surface, bounds, seed, name) for seed in range(n_seeds)]) - values.min()) / np.ptp(values)
        for name in (None, "random")
    )
    for mark, goal in ((60, 0.97), (100, 0.99)):
        ours, theirs = found[:, mark - 1], lucky[:, mark - 1]
        interval = 1.96 * ours.std(ddof=1) / n_seeds**0.5
        detail = f"{n_seeds} seeds, 95 % interval +- {interval:.3f}; random search {theirs.mean():.3f}"
        report(f"published problem, best of the range, {mark} evaluations", ours.mean(), "", f">= {goal}", ours.mean() >= goal, detail)


if __name__ == "__main__":
    main()
