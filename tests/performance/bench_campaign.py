"""The whole published campaign: 100 random points, 500 proposals, the VAE trained, two cores; BoTorch's plain loop beside it.

Ours is the command line from start to finish, with its store on disk. BoTorch's plain loop (SingleTaskGP, LogEI, `optimize_acqf` with the
tutorials' 10 restarts of 512 raw samples) gets the same trained latent model, the same box and the same evaluator, and keeps nothing on
disk. The two are compared by processor time, which other work on the machine changes little. The plain loop is stopped after
``bench_campaign.py [SECONDS]`` (default 120): what is left is extrapolated from the seconds per proposal by a line through the later half,
which is too short for it, since the time of a fit grows faster than that.
"""

import json
import resource
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
from latentloop.loop.config import load_config
from latentloop.loop.evaluators.ferrosim import FerroSimEvaluator
from latentloop.loop.latent_training import latent_space, restore_model
from latentloop.loop.store.campaign_store import CampaignStore

N_INITIAL, N_TRIALS = 100, 600
GOAL = 60.0
PRESET = "ferrosim-curl"


def ours(folder: Path) -> tuple[float, float, CampaignStore]:
    """Seconds of the whole command, seconds of processor time, and its store."""
    program = Path(sys.executable).with_name("latentloop")
    command = [program, "run", PRESET, "--store", folder / "store", "--trials", str(N_TRIALS), "--set", f"optimizer.n_initial={N_INITIAL}"]
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=sys.stderr)
    seconds, used = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    return seconds, used.ru_utime + used.ru_stime, CampaignStore.open(folder / "store")


def plain_loop(store: CampaignStore, patience: float) -> tuple[list[float], list[float]]:
    """Seconds of each proposal, and the values measured, of BoTorch on the same problem, until the time is up."""
    import torch
    from botorch.acquisition import LogExpectedImprovement
    from botorch.fit import fit_gpytorch_mll
    from botorch.models import SingleTaskGP
    from botorch.optim import optimize_acqf
    from gpytorch.mlls import ExactMarginalLogLikelihood

    warnings.simplefilter("ignore")
    torch.manual_seed(0)
    torch.set_num_threads(1)  # with two it is slower: matrices of a few hundred rows, and most of the time is autograd's
    config = load_config(PRESET)
    data, encoded, _ = store.model(0)
    model = restore_model(data)
    _, box = latent_space(config, model, encoded)
    low, edge = box[:, 0], box[:, 1] - box[:, 0]
    evaluator = FerroSimEvaluator(**config.evaluator.parameters)
    evaluator.prepare()

    def measured(u: np.ndarray) -> np.ndarray:
        return np.array([each.metrics["curl"] for each in evaluator.measure_many(model.decode(low + edge * u))])

    cube = torch.stack([torch.zeros(len(box)), torch.ones(len(box))]).double()
    # The design of our own campaign.
    x = np.array([(trial.z - low) / edge for trial in store.history.trials[:N_INITIAL]])
    y = measured(x)
    seconds: list[float] = []
    end = time.perf_counter() + patience
    while len(y) < N_TRIALS and time.perf_counter() < end:
        start = time.process_time()
        target = torch.from_numpy(y)[:, None]
        process = SingleTaskGP(torch.from_numpy(x), target)
        fit_gpytorch_mll(ExactMarginalLogLikelihood(process.likelihood, process))
        score = LogExpectedImprovement(process, best_f=target.max())
        point, _ = optimize_acqf(score, bounds=cube, q=1, num_restarts=10, raw_samples=512)
        seconds.append(time.process_time() - start)
        x = np.vstack([x, point.numpy()])
        y = np.append(y, measured(point.numpy()))
    return seconds, y.tolist()


def whole(seconds: list[float]) -> float:
    """Seconds of all proposals: those made, and a line through the later half of them for the rest."""
    n, n_all = len(seconds), N_TRIALS - N_INITIAL
    if n >= n_all:
        return float(np.sum(seconds))
    later = np.arange(n // 2, n)
    slope, offset = np.polyfit(later, np.asarray(seconds)[later], 1)
    return float(np.sum(seconds) + (max(slope, 0.0) * np.arange(n, n_all) + offset).sum())


def main() -> None:
    """Print the figures."""
    patience = float(sys.argv[1]) if len(sys.argv) > 1 else 120.0
    with tempfile.TemporaryDirectory() as folder:
        seconds, used, store = ours(Path(folder))
        proposals, found = plain_loop(store, patience)
        best = store.history.incumbent
        ends = [trial.objective for trial in store.history.trials]
    assert best is not None
    made = f"{len(proposals)} of {N_TRIALS - N_INITIAL} proposals made in {np.sum(proposals):.0f} s"
    kind = "measured" if len(proposals) == N_TRIALS - N_INITIAL else "extrapolated by a line, too short"
    peer = whole(proposals)
    best_so_far = max(ends[: len(found)])
    detail = (
        f"training, 600 trials and store; {used:.0f} s of processor time; best {best.objective:.3f}. "
        f"BoTorch's plain loop, without training and store: {peer:.0f} s "
        f"({kind}; {made}; best {max(found):.3f} after {len(found)} where ours had {best_so_far:.3f})"
    )
    print(json.dumps(figure("published campaign, 100 + 500", seconds, "s", f"<= {GOAL:.0f}", seconds <= GOAL, detail)), flush=True)
    ratio = peer / used
    print(json.dumps(figure("BoTorch's plain loop over ours, whole campaign", ratio, "x", "> 1", ratio > 1, kind)), flush=True)


def figure(name: str, value: float, unit: str, target: str, ok: bool, detail: str) -> dict[str, object]:
    """One figure of the table."""
    return {"figure": name, "value": float(value), "unit": unit, "target": target, "ok": bool(ok), "detail": detail}


if __name__ == "__main__":
    main()
