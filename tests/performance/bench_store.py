"""What the store costs: a trial armed, committed and published; the same with every commit confirmed by the disk; 10,000 trials."""

import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from latentloop import open_campaign
from latentloop.loop.config import config_from_mapping
from latentloop.loop.environment import environment
from latentloop.loop.records import Trial, TrialState
from latentloop.loop.run import SilentObserver, run_campaign
from latentloop.loop.store.campaign_store import CampaignStore
from latentloop.loop.store.history import History

N_TRIALS = 300
N_MANY = 10_000
CONFIGURATION = {
    "name": "store",
    "trajectories": {"family": "published"},
    "latent": {"model": {"name": "pca", "parameters": {"n_latent": 2}}},
    "evaluator": {"name": "python", "parameters": {"target": "numpy:mean"}},
    "optimizer": {"acquisition": "random", "n_initial": 1},
}


class FirstTrial(SilentObserver):
    """Notes when the first trial was committed."""

    at = 0.0

    def trial(self, trial: Trial, history: History) -> None:
        """Note the time."""
        self.at = self.at or time.perf_counter()


def add_trials(store: CampaignStore, number: int) -> float:
    """Arm, commit and publish so many trials of 900 steps; return milliseconds per trial."""
    generator = np.random.default_rng(0)
    trajectories = generator.normal(size=(16, 900))
    begin = time.perf_counter()
    for _ in range(number):
        trial = len(store.history.trials)
        store.write_payload(trial, {"trajectory": trajectories[trial % 16]})
        unknown = dict.fromkeys(("acquisition_value", "distance", "consistency"))
        z = generator.normal(size=2).tolist()
        store.append("armed", {"trial": trial, "z": z, "acquisition": "random", **unknown, "model_version": 0})
        store.publish(trial)
        facts = {"objective": z[0], "objective_error": None, "metrics": {"objective": z[0]}, "reason": "", "seconds": 0.1, "worker": "w"}
        store.append(TrialState.COMPLETED.word, {"trial": trial, **facts})
        store.publish(trial)
    return 1e3 * (time.perf_counter() - begin) / number


def session(path: Path, number: int) -> float:
    """Drive a store for so many trials."""
    store = CampaignStore.open(path)
    store.drive()
    store.begin({"budget": len(store.history.trials) + number, "executor": "local", "workers": 1})
    store.project(store.history.budget)
    cost = add_trials(store, number)
    store.end("finished", "")
    store.release()
    return cost


def show(figure: str, value: float, unit: str, goal: float | None, detail: str) -> None:
    """Print one line."""
    target = "no target" if goal is None else f"<= {goal:g} {unit}"
    ok = goal is None or value <= goal
    print(json.dumps({"figure": figure, "value": value, "unit": unit, "target": target, "ok": ok, "detail": detail}))


def main() -> None:
    """Print the figures."""
    with tempfile.TemporaryDirectory() as folder:
        costs = {}
        for durability in ("process", "power"):
            path = Path(folder) / durability
            run_campaign(config_from_mapping({**CONFIGURATION, "budget": {"trials": 1}, "durability": durability}), path)
            costs[durability] = session(path, N_TRIALS)
        show("store: arm, commit and publish a trial (process)", costs["process"], "ms", 10, f"mean of {N_TRIALS} trials of 900 steps")
        ratio = costs["power"] / costs["process"]
        show(
            "store: the same with durability power",
            costs["power"],
            "ms",
            None,
            f"{ratio:.1f} times process: the disk confirms every commit",
        )
        path = Path(folder) / "process"
        begin = time.perf_counter()
        session(path, N_MANY - N_TRIALS - 1)
        filled = time.perf_counter() - begin
        program = Path(sys.executable).with_name("latentloop")
        begin = time.perf_counter()
        done = subprocess.run([program, "status", path, "--json"], capture_output=True, text=True, check=True)
        seconds = time.perf_counter() - begin
        assert json.loads(done.stdout)["n_trials"] == N_MANY
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        detail = f"the command, start of Python included; {used.ru_utime + used.ru_stime:.2f} s of processor; filling took {filled:.0f} s"
        show(f"store: status of {N_MANY} trials", seconds, "s", 1, detail)
        observer = FirstTrial()
        environment()  # what every campaign asks for once: not the store's cost
        begin, processor = time.perf_counter(), time.process_time()
        open_campaign(path, trials=N_MANY + 1, observer=observer)
        used_here = time.process_time() - processor
        detail = f"until the first new trial is committed; {used_here:.2f} s of processor, with the new manifest"
        show(f"store: resume with {N_MANY} trials", observer.at - begin, "s", 5, detail)


if __name__ == "__main__":
    main()
