"""Time to propose the next point (fit the surrogate, maximize log EI), against BoTorch's plain loop on the same data, one thread.

The plain loop is the one of BoTorch's own introduction: SingleTaskGP, fit_gpytorch_mll, LogExpectedImprovement, optimize_acqf with ten
restarts from 512 raw samples. The methods take turns on growing histories, and the medians over the turns are compared. Times are processor
time of one thread, which on a free machine is the time that passes.
"""

import json
import resource
import statistics
import time
import warnings
from pathlib import Path

import numpy as np
import torch
from latentloop import Optimizer
from latentloop.models.acquisition import Box, LogEI, Observed
from latentloop.models.surrogates import GaussianProcess
from latentloop.models.threads import set_threads

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    from botorch.acquisition import LogExpectedImprovement
    from botorch.fit import fit_gpytorch_mll
    from botorch.models import SingleTaskGP
    from botorch.optim import optimize_acqf
    from gpytorch.mlls import ExactMarginalLogLikelihood

TURNS = 9


def objective(x: np.ndarray) -> np.ndarray:
    """A smooth multimodal function of any dimension on the unit cube."""
    values: np.ndarray = np.sin(3 * np.pi * x).sum(axis=1) - ((x - 0.4) ** 2).sum(axis=1)
    return values


def ours(x: np.ndarray, y: np.ndarray, seed: int) -> None:
    """One ask."""
    box = np.tile([0.0, 1.0], (x.shape[1], 1))
    surrogate = GaussianProcess(box)
    surrogate.fit(x, y)
    LogEI().propose(surrogate, Box(box), observed=Observed(x, y), generator=np.random.default_rng(seed))


def plain(x: np.ndarray, y: np.ndarray, seed: int) -> None:
    """One ask of BoTorch's plain loop."""
    torch.manual_seed(seed)
    model = SingleTaskGP(torch.from_numpy(x), torch.from_numpy(y)[:, None])
    fit_gpytorch_mll(ExactMarginalLogLikelihood(model.likelihood, model))
    bounds = torch.stack([torch.zeros(x.shape[1]), torch.ones(x.shape[1])]).double()
    optimize_acqf(LogExpectedImprovement(model, best_f=y.max()), bounds, q=1, num_restarts=10, raw_samples=512)


def seconds(ask: object, x: np.ndarray, y: np.ndarray, seed: int) -> float:
    """Time of one ask."""
    start = time.process_time()
    ask(x, y, seed)  # type: ignore[operator]
    return time.process_time() - start


def main() -> None:
    """Print the figures."""
    set_threads(1)
    warnings.simplefilter("ignore")  # BoTorch warns about its own retries; they are part of its time
    for d, n in ((2, 120), (6, 60)):
        x = np.random.default_rng(0).random((n, d))
        y = objective(x)
        times: dict[object, list[float]] = {ours: [], plain: []}
        for turn in range(TURNS + 1):
            rows = n - TURNS + turn
            for ask, measured in times.items():
                spent = seconds(ask, x[:rows], y[:rows], turn)
                if turn:  # the first turn loads and warms
                    measured.append(spent)
        mine, theirs = statistics.median(times[ours]), statistics.median(times[plain])
        line = {
            "figure": f"time per ask against BoTorch's plain loop, {d} dimensions, {n} observations",
            "value": theirs / mine,
            "unit": "x",
            "target": ">= 3",
            "ok": theirs / mine >= 3,
            "detail": f"ours {1000 * mine:.0f} ms, BoTorch {1000 * theirs:.0f} ms",
        }
        print(json.dumps(line), flush=True)
    absolute()
    many()
    pool()
    memory()


def absolute() -> None:
    """Print the times of whole campaigns with the default optimizer, and of many predictions; they depend on the machine."""
    for d, first, last, goal in ((6, 46, 60, 0.04), (2, 100, 600, 0.06), (16, 100, 600, 0.3)):
        optimizer = Optimizer(np.tile([0.0, 1.0], (d, 1)))
        x = np.random.default_rng(0).random((first, d))
        optimizer.tell(x, objective(x))
        spent = asks(optimizer, objective, last - first)
        report(f"mean time per ask, {d} dimensions, {first} to {last} observations", statistics.mean(spent), goal, "refits included")
    for d in (2, 16):
        predicted = np.random.default_rng(1).random((10_000, d))
        model = GaussianProcess(np.tile([0.0, 1.0], (d, 1)))
        known = np.random.default_rng(0).random((600, d))
        model.fit(known, objective(known))
        spent = []
        for _ in range(9):
            start = time.process_time()
            model.posterior(predicted)
            spent.append(time.process_time() - start)
        report(f"time for 10,000 predictions from 600 observations, {d} dimensions", statistics.median(spent), 0.1, "median of nine")


def many() -> None:
    """Print the time of an ask with ten thousand observations and the sparse surrogate."""
    x = np.random.default_rng(0).random((10_000, 2))
    optimizer = Optimizer(np.tile([0.0, 1.0], (2, 1)), surrogate="sparse")
    optimizer.tell(x, objective(x))
    spent = asks(optimizer, objective, 3)
    report("mean time per ask, sparse, 2 dimensions, 10,000 observations", statistics.mean(spent), 1.0, "fits included")


def pool() -> None:
    """Print the time of an ask over the candidates of the publication: 7,500 raw trajectories of 900 steps, with a deep kernel."""
    generator, times = np.random.default_rng(0), np.linspace(0, 1, 900)
    rate, waves = generator.uniform(1, 8, (7_500, 1)), generator.uniform(3, 40, (7_500, 1))
    x = generator.standard_normal((7_500, 1)) * np.exp(-rate * times) * np.sin(waves * times) + 0.0
    value = dict(zip((row.tobytes() for row in x), x[:, -50:].mean(axis=1) + x[:, -1] ** 2, strict=True))
    optimizer = Optimizer(np.column_stack([x.min(axis=0) - 1e-9, x.max(axis=0) + 1e-9]), surrogate="dkl", candidates=x)
    optimizer.tell(x[:60], [value[row.tobytes()] for row in x[:60]])
    spent = asks(optimizer, lambda point: np.array([value[point[0].tobytes()]]), 12)
    report("mean time per ask, deep kernel, 7,500 trajectories, 60 to 72 observations", statistics.mean(spent), 1.0, "trainings included")


def memory() -> None:
    """Print by how much the process grows over 2,000 asks, each one answered: forty campaigns of fifty asks, one after the other."""
    x = np.random.default_rng(0).random((30, 2))
    sizes = []
    for seed in range(40):
        optimizer = Optimizer(np.tile([0.0, 1.0], (2, 1)), seed=seed)
        optimizer.tell(x, objective(x))
        asks(optimizer, objective, 49)
        sizes.append(int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 2**20)
    grown = sizes[-1] - sizes[3]
    line = {
        "figure": "memory over 2,000 asks",
        "value": grown,
        "unit": "MiB",
        "target": "<= 4",
        "ok": grown <= 4,
        "detail": f"growth from the 200th ask to the 2,000th, each told; {sizes[-1]:.0f} MiB in all",
    }
    print(json.dumps(line), flush=True)


def asks(optimizer: Optimizer, measure: object, n: int) -> list[float]:
    """Times of n asks, each answered; one before them loads and warms."""
    spent = []
    for _ in range(n + 1):
        start = time.process_time()
        point = optimizer.ask()
        spent.append(time.process_time() - start)
        optimizer.tell(point, measure(point))  # type: ignore[operator]
    return spent[1:]


def report(figure: str, value: float, goal: float, detail: str) -> None:
    """Print one absolute time."""
    line = {"figure": figure, "value": value, "unit": "s", "target": f"<= {goal}", "ok": value <= goal, "detail": detail}
    print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
