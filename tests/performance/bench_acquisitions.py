"""The portfolio, the default, beside every acquisition function of moderate cost by itself: is it the default because it wins?

Paired: the six published test functions from their published designs, and the published problem in the box of the data, each method with
the default surrogate and the same seeds. Compared is log10(regret + 1e-9) after 50 and 100 evaluations: the average rank over problems
and marks of the medians over seeds, and Wilcoxon's signed-rank test per problem and mark, with Holm's correction over all of them.

``bench_acquisitions.py [--seeds N] [--evaluations N] [--methods NAME ...]``: ten seeds take some twenty minutes of one core.
"""

import argparse
import json
from collections.abc import Callable

import numpy as np
import torch
from bench_optimizer import DATA, FUNCTIONS
from latentloop import Optimizer
from latentloop.loop.problem import FerroSimProblem
from latentloop.models.threads import set_threads
from scipy.stats import rankdata, wilcoxon

DEFAULT = "portfolio"
METHODS = (DEFAULT, "log_ei", "thompson", "ucb_schedule", "ucb", "pi", "mean_plus_sigma", "max_value_entropy", "epsilon_greedy")
LATENT = "published problem"
FLOOR = 1e-9
LEVEL = 0.05


def regret(optimizer: Optimizer, measure: Callable[[np.ndarray], np.ndarray], y: np.ndarray, n: int, best: float) -> np.ndarray:
    """Regret so far after each of n evaluations of something to minimize, those known already included."""
    while len(y) < n:
        point = optimizer.ask()
        value = measure(point)
        optimizer.tell(point, value)
        y = np.append(y, value)
    return np.maximum(np.minimum.accumulate(y) - best, 0.0)


def on_function(name: str, method: str, seed: int, n: int, data: dict[str, np.ndarray]) -> np.ndarray:
    """One run on a published test function, from its published design."""
    x = data[f"{name}__X"][seed]
    y, d = FUNCTIONS[name](x), x.shape[1]
    bounds = np.column_stack([np.broadcast_to(data[f"{name}__lb"], d), np.broadcast_to(data[f"{name}__ub"], d)])
    optimizer = Optimizer(bounds, goal="minimize", acquisition=method, seed=seed)
    optimizer.tell(x, y)
    return regret(optimizer, FUNCTIONS[name], y, n, float(data[f"{name}__yopt"]))


def all_runs(methods: list[str], n_seeds: int, n: int) -> dict[str, np.ndarray]:
    """Regrets (methods, seeds, n) of every problem."""
    data = dict(np.load(DATA))
    found = {}
    for name in FUNCTIONS:
        found[name] = np.array([[on_function(name, method, seed, n, data) for seed in range(n_seeds)] for method in methods])
    problem = FerroSimProblem.from_config("ferrosim-curl", [], n_grid=100)
    bounds, decode = np.array(problem._bounds), problem._space.decoder

    def measure(x: np.ndarray) -> np.ndarray:
        return -problem.evaluate_true(torch.from_numpy(x)).numpy()

    def one(method: str, seed: int) -> np.ndarray:
        optimizer = Optimizer(bounds, goal="minimize", acquisition=method, seed=seed, features=decode)
        return regret(optimizer, measure, np.empty(0), n, -float(problem.optimal_value))

    found[LATENT] = np.array([[one(method, seed) for seed in range(n_seeds)] for method in methods])
    return found


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--evaluations", type=int, default=100)
    parser.add_argument("--methods", nargs="+", default=list(METHODS))
    chosen = parser.parse_args()
    set_threads(1)
    methods = [DEFAULT, *(method for method in chosen.methods if method != DEFAULT)]
    marks = (chosen.evaluations // 2, chosen.evaluations)
    runs = {name: np.log10(found + FLOOR) for name, found in all_runs(methods, chosen.seeds, chosen.evaluations).items()}
    cases = [(name, mark) for name in runs for mark in marks]
    medians = np.array([np.median(runs[name][:, :, mark - 1], axis=1) for name, mark in cases])
    ranks = rankdata(np.round(medians, 6), axis=1).mean(axis=0)
    others = ", ".join(f"{method} {rank:.1f}" for method, rank in zip(methods[1:], ranks[1:], strict=True))
    report(
        f"average rank of the portfolio among {len(methods)} acquisition functions",
        float(ranks[0]),
        f"< {ranks[1:].min():.2f}",
        bool(ranks[0] < ranks[1:].min()),
        f"{len(runs)} problems at {marks[0]} and {marks[1]} evaluations, {chosen.seeds} paired seeds; {others}",
    )
    for index, method in enumerate(methods[1:], start=1):
        wins, losses = verdicts([runs[name][0, :, mark - 1] - runs[name][index, :, mark - 1] for name, mark in cases])
        better = [
            f"{name} at {mark}: {medians[k, index]:.1f} against {medians[k, 0]:.1f}" for k, (name, mark) in enumerate(cases) if losses[k]
        ]
        detail = f"{sum(wins)} significantly better, {sum(losses)} worse of {len(cases)}" + "".join(f"; {each}" for each in better)
        report(f"portfolio against {method}, significant losses", float(sum(losses)), "<= wins", sum(losses) <= sum(wins), detail)


def verdicts(gaps: list[np.ndarray]) -> tuple[list[bool], list[bool]]:
    """Which of the paired differences are significantly negative (won), and which positive (lost), with Holm's correction."""
    p = np.array([float(wilcoxon(gap).pvalue) if (gap != 0).any() else 1.0 for gap in gaps])
    corrected, worst = np.ones(len(p)), 0.0
    for rank, index in enumerate(np.argsort(p)):
        worst = max(worst, min(1.0, (len(p) - rank) * p[index]))
        corrected[index] = worst
    clear = corrected <= LEVEL
    return [bool(c and np.median(g) < 0) for c, g in zip(clear, gaps)], [bool(c and np.median(g) > 0) for c, g in zip(clear, gaps)]


def report(figure: str, value: float, target: str, ok: bool, detail: str) -> None:
    """Print one figure."""
    print(json.dumps({"figure": figure, "value": value, "unit": "", "target": target, "ok": ok, "detail": detail}), flush=True)


if __name__ == "__main__":
    main()
