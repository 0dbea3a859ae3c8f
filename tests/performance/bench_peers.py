"""Regret and time per suggestion beside Optuna's GPSampler, BoTorch's plain loop and Ax: same designs, same functions, paired seeds.

Every method gets the same Latin hypercube of 2 (d + 1) points per seed, is used with its defaults, and none is told that the functions are
without noise. BoTorch's plain loop is SingleTaskGP on the unit cube, LogEI and `optimize_acqf` with the tutorials' 10 restarts of 512 raw
samples. Compared is log10(regret + 1e-9) at the end, paired by seed: Wilcoxon's signed-rank test, with Holm's correction over all
functions and peers. One thread.

Runs are kept in ``campaigns/peers/runs.jsonl`` and not repeated, so that a long comparison can be done in pieces and broken off; ours are
repeated when the code of the optimizer has changed. Runs of the peers that took hours come with the repository (data/peer_runs.jsonl): with
the same seed they start from the same design. Ax pins another BoTorch than ours: it runs in an environment of its own, made on first
use in ``campaigns/peers/ax``.

    bench_peers.py --seeds 20 --functions Branin Hartmann6 --evaluations 60 --methods optuna botorch
    bench_peers.py --picture campaigns/peers/convergence.html        figures, and the convergence of all methods
"""

import argparse
import hashlib
import importlib.metadata
import json
import os
import subprocess
import sys
import time
import venv
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import qmc, wilcoxon

ROOT = Path(__file__).resolve().parents[2]
HOME = ROOT / "campaigns" / "peers"
RUNS = HOME / "runs.jsonl"
GIVEN = Path(__file__).resolve().parent / "data" / "peer_runs.jsonl"
OURS = "latentloop"
PACKAGES = {OURS: "latentloop", "optuna": "optuna", "botorch": "botorch", "ax": "ax-platform"}
FUNCTIONS = ("Branin", "Hartmann6", "Ackley10", "Levy8", "Rosenbrock4")
CHEAP = ("Branin", "Hartmann6")
LEVEL = 0.05
FLOOR = 1e-9
"""Regret below which two runs are equally good; as in the published comparison (10.1145/3425501)."""

Function = Callable[[np.ndarray], float]
Ask = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""Everything measured so far, points in the unit cube (n, d) and values (n,) to minimize -> the next point (d,) of the unit cube."""


def problem(name: str) -> tuple[Function, int, float]:
    """Function of the unit cube to minimize, its dimension and its optimum."""
    import torch
    from botorch.test_functions.synthetic import Ackley, Branin, Hartmann, Levy, Rosenbrock

    known: dict[str, Callable[[], Any]] = {
        "Branin": Branin,
        "Hartmann6": lambda: Hartmann(dim=6),
        "Ackley10": lambda: Ackley(dim=10, bounds=[(-50.0, 50.0)] * 10),  # room for the shift: BoTorch refuses points outside
        "Levy8": lambda: Levy(dim=8),
        "Rosenbrock4": lambda: Rosenbrock(dim=4),
    }
    made = known[name]().to(dtype=torch.float64)
    low, high = made.bounds.numpy() if name != "Ackley10" else np.array([[-32.768], [32.768]]) * np.ones(10)
    # Its optimum in the centre of the box is where many a method looks first.
    shift = np.random.default_rng(10).uniform(-10, 10, made.dim) if name == "Ackley10" else np.zeros(made.dim)

    def value(u: np.ndarray) -> float:
        return float(made.evaluate_true(torch.from_numpy((low + (high - low) * u - shift)[None]))[0])

    return value, made.dim, float(made.optimal_value)


def ours(design: np.ndarray, values: np.ndarray, seed: int) -> Ask:
    """The optimizer with its defaults."""
    from latentloop import Optimizer

    optimizer = Optimizer([[0.0, 1.0]] * design.shape[1], goal="minimize", seed=seed)
    optimizer.tell(design, values)
    n_told = len(design)

    def ask(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        nonlocal n_told
        if len(x) > n_told:
            optimizer.tell(x[n_told:], y[n_told:])
            n_told = len(x)
        return optimizer.ask()[0]

    return ask


def optuna_gp(design: np.ndarray, values: np.ndarray, seed: int) -> Ask:
    """Optuna's GPSampler."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    names = [f"x{index}" for index in range(design.shape[1])]
    space = {name: optuna.distributions.FloatDistribution(0.0, 1.0) for name in names}
    sampler = optuna.samplers.GPSampler(seed=seed, n_startup_trials=len(design))
    study = optuna.create_study(sampler=sampler, direction="minimize")
    for point, value in zip(design, values, strict=True):
        study.add_trial(optuna.trial.create_trial(params=dict(zip(names, point.tolist(), strict=True)), distributions=space, value=value))
    open_trials: list[Any] = []

    def ask(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        if open_trials:
            study.tell(open_trials.pop(), y[-1])
        open_trials.append(study.ask(space))
        return np.array([open_trials[0].params[name] for name in names])

    return ask


def botorch_loop(design: np.ndarray, values: np.ndarray, seed: int) -> Ask:
    """SingleTaskGP, LogEI, optimize_acqf."""
    import torch
    from botorch.acquisition import LogExpectedImprovement
    from botorch.fit import fit_gpytorch_mll
    from botorch.models import SingleTaskGP
    from botorch.optim import optimize_acqf
    from gpytorch.mlls import ExactMarginalLogLikelihood

    del values
    torch.manual_seed(seed)
    cube = torch.stack([torch.zeros(design.shape[1]), torch.ones(design.shape[1])]).double()

    def ask(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        target = -torch.from_numpy(y)[:, None]
        model = SingleTaskGP(torch.from_numpy(x), target)
        fit_gpytorch_mll(ExactMarginalLogLikelihood(model.likelihood, model))
        score = LogExpectedImprovement(model, best_f=target.max())
        point, _ = optimize_acqf(score, bounds=cube, q=1, num_restarts=10, raw_samples=512)
        return np.asarray(point[0].numpy())

    return ask


def ax_client(design: np.ndarray, values: np.ndarray, seed: int) -> Ask:
    """Ax with its default models; the design is attached as done."""
    from ax.api.client import Client
    from ax.api.configs import RangeParameterConfig

    names = [f"x{index}" for index in range(design.shape[1])]
    client = Client(random_seed=seed)
    client.configure_experiment(parameters=[RangeParameterConfig(name=name, parameter_type="float", bounds=(0.0, 1.0)) for name in names])
    client.configure_optimization(objective="-loss")
    client.configure_generation_strategy(
        method="fast", initialization_budget=len(design), initialize_with_center=False, use_existing_trials_for_initialization=True
    )
    for point, value in zip(design, values, strict=True):
        index = client.attach_trial(parameters=dict(zip(names, point.tolist(), strict=True)))
        client.complete_trial(trial_index=index, raw_data={"loss": float(value)})
    waiting: list[int] = []

    def ask(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        if waiting:
            client.complete_trial(trial_index=waiting.pop(), raw_data={"loss": float(y[-1])})
        ((index, parameters),) = client.get_next_trials(max_trials=1).items()
        waiting.append(index)
        return np.array([parameters[name] for name in names])

    return ask


METHODS: dict[str, Callable[[np.ndarray, np.ndarray, int], Ask]] = {
    OURS: ours,
    "optuna": optuna_gp,
    "botorch": botorch_loop,
    "ax": ax_client,
}


def run(method: str, name: str, seed: int, n_evaluations: int) -> dict[str, Any]:
    """One run: regret so far after every evaluation, and the seconds of every suggestion."""
    import torch

    torch.set_num_threads(1)
    warnings.simplefilter("ignore")  # the peers' remarks on jitter and deprecations
    function, d, optimum = problem(name)
    design = qmc.LatinHypercube(d, rng=np.random.default_rng([seed, d])).random(2 * (d + 1))
    x, y = design, np.array([function(point) for point in design])
    ask, seconds = METHODS[method](x, y, seed), []
    while len(x) < n_evaluations:
        start = time.perf_counter()
        point = ask(x, y)
        seconds.append(time.perf_counter() - start)
        x, y = np.vstack([x, point]), np.append(y, function(point))
    return {
        "method": method,
        "function": name,
        "seed": seed,
        "evaluations": n_evaluations,
        "initial": len(design),
        "code": code_of(method),
        "regret": (np.minimum.accumulate(y) - optimum).tolist(),
        "seconds": [round(value, 5) for value in seconds],
    }


def code_of(method: str) -> str:
    """What the results of a method depend on: the release of a peer, the source of ours."""
    if method != OURS:
        return importlib.metadata.version(PACKAGES[method])
    files = [ROOT / "loop" / "optimizer.py", ROOT / "loop" / "learner.py", *sorted((ROOT / "models" / "surrogates").glob("*.py"))]
    files += sorted((ROOT / "models" / "acquisition").glob("*.py"))
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()[:12]


def kept_runs(n_evaluations: int) -> dict[tuple[str, str, int], dict[str, Any]]:
    """Runs of this length in the cache, the newest of each, ours only of the code as it is."""
    found: dict[tuple[str, str, int], dict[str, Any]] = {}
    lines = [line for file in (GIVEN, RUNS) if file.exists() for line in file.read_text(encoding="utf-8").splitlines()]
    for line in lines:
        if not line.endswith("}"):
            continue  # torn by a run that was broken off
        each = json.loads(line)
        if each["evaluations"] == n_evaluations and (each["method"] != OURS or each["code"] == code_of(OURS)):
            found[each["method"], each["function"], each["seed"]] = each
    return found


def python_of(method: str) -> Path:
    """The interpreter that a method runs in; makes the environment of Ax on first use."""
    if method != "ax":
        return Path(sys.executable)
    home = HOME / "ax"
    python = home / "bin" / "python"
    if not (home / "ready").exists():
        print("making an environment for Ax, once", file=sys.stderr)
        venv.create(home, with_pip=True, clear=True)
        # Torch and all that is large comes from this environment; what Ax pins, BoTorch above all, from its own, which is looked at first.
        place = next((home / "lib").glob("python*")) / "site-packages"
        shared = next(path for path in sys.path if path.endswith("site-packages"))
        (place / "shared.pth").write_text(shared + "\n")
        subprocess.run([python, "-m", "pip", "install", "-q", "--disable-pip-version-check", "ax-platform>=1.1"], check=True)
        (home / "ready").touch()
    return python


def one_by_one(methods: list[str], functions: list[str], n_seeds: int, n_evaluations: int) -> Iterator[tuple[str, str, int]]:
    """What is left to run: all methods of a seed before the next seed."""
    kept = kept_runs(n_evaluations)
    for seed in range(n_seeds):
        for name in functions:
            for method in methods:
                if (method, name, seed) not in kept:
                    yield method, name, seed


def compare(functions: list[str], n_seeds: int, n_evaluations: int) -> Iterator[dict[str, Any]]:
    """Figures of ours against every peer that has runs of the same seeds."""
    kept = kept_runs(n_evaluations)
    pairs = []
    for name in functions:
        for peer in METHODS:
            seeds = [seed for seed in range(n_seeds) if {(OURS, name, seed), (peer, name, seed)} <= kept.keys()]
            if peer == OURS or len(seeds) < 2:
                continue
            ends = np.array([[kept[method, name, seed]["regret"][-1] for method in (OURS, peer)] for seed in seeds])
            logs = np.log10(np.maximum(ends, 0.0) + FLOOR)
            gap = logs[:, 0] - logs[:, 1]
            p = float(wilcoxon(gap).pvalue) if (gap != 0).any() else 1.0
            pace = [np.median([np.mean(kept[method, name, seed]["seconds"][-15:]) for seed in seeds]) for method in (OURS, peer)]
            pairs.append((name, peer, len(seeds), np.median(ends, axis=0), float(np.median(gap)), p, pace))
    order = np.argsort([pair[5] for pair in pairs])
    corrected, worst = np.ones(len(pairs)), 0.0
    for rank, index in enumerate(order):  # Holm
        worst = max(worst, min(1.0, (len(pairs) - rank) * pairs[index][5]))
        corrected[index] = worst
    for (name, peer, n, medians, gap, _, pace), p in zip(pairs, corrected, strict=True):
        verdict = "tie" if p > LEVEL else "win" if gap < 0 else "loss"
        yield {
            "figure": f"log10 regret minus that of {peer}, {name}, {n_evaluations} evaluations",
            "value": gap,
            "unit": "",
            "target": "no significant loss",
            "ok": verdict != "loss",
            "detail": f"{verdict}, Holm's p {p:.2g}, {n} seeds; median regret {medians[0]:.2e} against {medians[1]:.2e}; "
            f"per suggestion {1000 * pace[0]:.0f} ms against {1000 * pace[1]:.0f} ms",
        }


def picture(functions: list[str], n_evaluations: int, output: Path) -> None:
    """Write the convergence of all methods, one figure per function."""
    from latentloop.loop.figures import draw_convergence, write_figure

    kept = kept_runs(n_evaluations)
    for name in functions:
        runs = {
            method: np.array([max_zero(kept[key]["regret"]) for key in sorted(kept) if key[:2] == (method, name)])
            for method in METHODS
            if any(key[:2] == (method, name) for key in kept)
        }
        if not runs:
            continue
        n_initial = next(each["initial"] for key, each in kept.items() if key[1] == name)
        figure = draw_convergence(runs, is_log=True, n_initial=n_initial, value_name=f"regret on {name}")
        target = output.with_stem(f"{output.stem}-{name}")
        write_figure(figure, target, title=f"Convergence on {name}", explanation="Mean over paired seeds with its 95 % interval.")
        print(f"picture: {target}", file=sys.stderr)


def max_zero(regret: list[float]) -> list[float]:
    """Regrets without the rounding error of an optimum that is known to few digits."""
    return [max(value, FLOOR) for value in regret]


def main() -> None:
    """Run what is left, and print the figures."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--functions", nargs="+", choices=FUNCTIONS, default=list(CHEAP))
    parser.add_argument("--methods", nargs="+", choices=list(METHODS), default=list(METHODS))
    parser.add_argument("--evaluations", type=int, default=60)
    parser.add_argument("--picture", type=Path, help="also draw the convergence of all methods, NAME-FUNCTION.html for each function")
    parser.add_argument("--one", nargs=3, metavar=("METHOD", "FUNCTION", "SEED"), help="one run, printed as a line (used by the others)")
    chosen = parser.parse_args()
    if chosen.one:
        method, name, seed = chosen.one
        print(json.dumps(run(method, name, int(seed), chosen.evaluations)))
        return
    HOME.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    for method, name, seed in one_by_one(chosen.methods, chosen.functions, chosen.seeds, chosen.evaluations):
        command = [str(python_of(method)), __file__, "--evaluations", str(chosen.evaluations), "--one", method, name, str(seed)]
        # A process per run: memory that grows in one does not slow the next.
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, env=environment, check=False)
        if done.returncode:
            print(f"{method} failed on {name}, seed {seed}", file=sys.stderr)
            continue
        with RUNS.open("a", encoding="utf-8") as file:
            file.write(done.stdout.splitlines()[-1] + "\n")
    for figure in compare(chosen.functions, chosen.seeds, chosen.evaluations):
        print(json.dumps(figure), flush=True)
    if chosen.picture:
        picture(chosen.functions, chosen.evaluations, chosen.picture)


if __name__ == "__main__":
    main()
