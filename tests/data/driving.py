"""A driver of a store without a campaign around it, in a process of its own that a planned fault may kill."""

import multiprocessing
import signal

import numpy as np
from latentloop.loop.records import TrajectorySet, TrialState
from latentloop.loop.store import faults
from latentloop.loop.store.campaign_store import CampaignStore

N_STEPS = 5
N_TRIALS = 12
LIKE = TrajectorySet(np.zeros((2, N_STEPS)), np.linspace(0, 1, N_STEPS), "V", "s", ("E",))
CONFIGURATION = {"name": "x", "budget": {"trials": N_TRIALS}, "objective": {"goal": "maximize", "metric": "y"}, "trajectories": {}}
SESSION = {"budget": N_TRIALS, "executor": "local", "workers": 1}


def trajectory(trial, salt=0):
    return np.arange(N_STEPS) + 10.0 * trial + 0.5 * salt


def drive(path, steps, salt):
    """Do the steps of a session as a driver does."""
    store = CampaignStore.open(path)
    store.drive()
    store.begin(SESSION, seconds=60.0)
    store.require_arrays(N_TRIALS, 2, LIKE)
    store.project(N_TRIALS)
    for trial in store.history.trials:
        if trial.state is TrialState.ARMED:
            finish(store, trial.number, TrialState.COMPLETED)
    for step in steps:
        number = len(store.history.trials)
        if number == N_TRIALS:
            break
        store.write_payload(number, {"trajectory": trajectory(number, salt)})
        unknown = dict.fromkeys(("acquisition_value", "distance", "consistency"))
        store.append("armed", {"trial": number, "z": [number, -1.0], "acquisition": "random", **unknown, "model_version": 0})
        store.publish(number)
        if step is not None:
            finish(store, number, step)
    store.end("finished", "")
    store.release()


def finish(store, number, state):
    store.write_payload(number, {"field": np.full((2, 3), float(number))})
    metrics = {"y": float(number)} if state is TrialState.COMPLETED else {}
    facts = {"objective": metrics.get("y"), "objective_error": None, "metrics": metrics, "reason": "", "seconds": 0.1, "worker": "w"}
    store.append(state.word, {"trial": number, **facts})
    store.publish(number)


def drive_with_fault(path, steps, salt, fault):
    """What the process of its own does."""
    faults.plan(fault)
    drive(path, steps, salt)


def in_child(path, steps, salt, fault):
    """Drive the store in a process of its own that is killed at a fault point; return whether it got to its end.

    The processes are forked from a server without threads: one forked from a test process that has had threads, Ray's for example, may
    wait for ever for a lock that one of them held.
    """
    child = FORKS.Process(target=drive_with_fault, args=(path, steps, salt, fault))
    child.start()
    child.join(300)
    assert child.exitcode in (0, -signal.SIGKILL), f"the driver failed: {child.exitcode}"
    return child.exitcode == 0


FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["latentloop.loop.store.campaign_store", "zarr", "pytest"])
