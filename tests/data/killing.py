"""The kill campaign: small campaigns that are killed without warning, resumed, killed again, and then compared with one left alone.

Run as a program, it forks every session from a warm process, so that a session costs its work and not its imports:

    python killing.py FOLDER --kills 20 --seed 0 [--ray]

says what each campaign went through on standard error, and prints the sum as one JSON line. What must hold, whatever was killed when:

- a trial that was completed stays, with the same reading, committed at the same time; none is there twice;
- no experiment of a physical evaluator is fired twice (by its key, in the instrument's own file), and each completed one was fired;
- with a pure evaluator the end is that of the uninterrupted campaign, to the last bit, and `replay` finds no difference;
- the live arrays say what the journal says.
"""

# ruff: noqa: E402 - threads are set before the libraries load

import argparse
import json
import os
import random
import signal
import sys
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_name] = "1"
os.environ.update({"RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"})
sys.path.insert(0, str(Path(__file__).resolve().parent))

import numpy as np
import zarr
from latentloop.loop.config import config_from_mapping
from latentloop.loop.errors import LatentloopError
from latentloop.loop.replay import replay
from latentloop.loop.run import open_campaign, run_campaign
from latentloop.loop.store import faults
from latentloop.loop.store.campaign_store import CampaignStore

IN_WORKERS = ("worker.firing", "worker.fired")
ONCE = ("store.built", "store.named", "model.written", "model.counted")
"""Points that only the first session reaches."""
_PATIENCE = 600.0
_STARTS = 3
_AMID_SECONDS = 0.12
"""Between the shot that is waited for and the kill: some die in the midst of a measurement, some between two."""


@dataclass(frozen=True)
class Scene:
    """One kind of campaign."""

    name: str
    kind: str = "pure"
    executor: str = "local"
    batch: int = 1
    workers: int = 1
    timeout: float | None = None
    seconds: float = 0.0
    trials: int = 7

    @property
    def is_exact(self):
        return self.kind == "pure" and self.workers == 1

    def config(self, log):
        name = "Shots" if self.kind == "pure" else "PhysicalShots"
        return config_from_mapping(
            {
                "name": self.name,
                "seed": 11,
                "trajectories": {"box": {"a": [-1, 1], "b": [-1, 1]}},
                "evaluator": {
                    "name": "python",
                    "timeout": self.timeout,
                    "retries": 50,
                    "parameters": {"target": f"shots:{name}", "arguments": {"log": str(log), "seconds": self.seconds}},
                },
                "optimizer": {"acquisition": "log_ei", "n_initial": 3},
                "budget": {"trials": self.trials},
                "executor": {"name": self.executor, "batch": self.batch, "workers": self.workers},
            }
        )


SCENES = (
    Scene("pure"),
    Scene("pure-batch", batch=3),
    Scene("physical", kind="physical"),
    Scene("physical-batch", kind="physical", batch=3),
    Scene("pure-child", timeout=20.0, seconds=0.01),
    Scene("physical-child", kind="physical", timeout=20.0, seconds=0.01),
)
RAY_SCENES = (
    Scene("ray-pure", executor="ray", seconds=0.05, trials=16),
    Scene("ray-physical", kind="physical", executor="ray", workers=2, seconds=0.05, trials=24),
)


@dataclass
class Tally:
    """What has been found so far."""

    kills: int = 0
    by_point: Counter = field(default_factory=Counter)
    sessions: int = 0
    lost: int = 0
    duplicated: int = 0
    fired_twice: int = 0
    different: int = 0
    complaints: list = field(default_factory=list)

    def complain(self, scene, text):
        self.complaints.append(f"{scene.name}: {text}")


def session(scene, store, log, plan):
    """Fork a session that dies where the plan says; return its process."""
    process = os.fork()
    if process:
        return process
    code = 3
    try:
        os.setsid()
        quiet = os.open(store.parent / "output", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(quiet, 1)
        os.dup2(quiet, 2)
        if plan.startswith(IN_WORKERS) and (scene.timeout or scene.executor == "ray"):
            os.environ["LATENTLOOP_FAULT"] = plan  # for the worker's process, which starts with it
        else:
            faults.plan(plan)
        if store.exists():
            open_campaign(store)
        else:
            run_campaign(scene.config(log), store)
        code = 0
    except LatentloopError as error:
        print(f"refused: {error}", file=sys.stderr)
        code = 2
    except BaseException:  # noqa: BLE001 - a forked process must not come back from here
        import traceback

        traceback.print_exc()
    finally:
        os._exit(code)


def await_end(process, scene, log, strikes=()):
    """Wait for a session, and kill what the strikes say, in turn; return the exit code (negative for a signal) and who was killed."""
    killed, left = [], list(strikes)
    n_shots, due = n_bytes(log), None
    if left and not left[0].is_amid:
        due = time.monotonic() + left[0].seconds
    end = time.monotonic() + _PATIENCE
    while True:
        found, status = os.waitpid(process, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status), killed
        now = time.monotonic()
        if left and due is None and n_bytes(log) > n_shots:
            due = now + left[0].seconds
        if due is not None and now > due:
            victim = left[0].choose(process, log)
            if victim is not None:  # else it is not there yet
                with suppress(ProcessLookupError):
                    os.kill(victim, signal.SIGKILL)
                killed.append(left.pop(0).name)
                n_shots, due = n_bytes(log), None
        if now > end:
            os.kill(process, signal.SIGKILL)
            os.waitpid(process, 0)
            raise AssertionError(f"{scene.name}: a session did not end within {_PATIENCE:g} s (killed: {killed})")
        time.sleep(0.001)


def n_bytes(log):
    """Return how much the instrument has written down."""
    return log.stat().st_size if log.exists() else 0


def descendant(process, word):
    """Return a process below another whose command line holds a word; None for none."""
    parents, lines = {}, {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                lines[int(entry.name)] = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                pass
    for number, line in lines.items():
        above = number
        while above in parents and above != process:
            above = parents[above]
        if above == process and number != process and word in line:
            return number
    return None


def snapshot(store):
    """Return the completed trials of a store, if there is one."""
    if not store.exists():
        return {}
    history = CampaignStore.open(store).history
    return {trial.number: (trial.objective, trial.finished_at) for trial in history.trials if trial.state.word == "completed"}


def facts(history):
    """Return what must be the same to the last bit."""
    return [
        (trial.number, trial.state.word, trial.z.tobytes(), trial.objective, trial.acquisition, repr(trial.acquisition_value))
        for trial in history.trials
    ], history.told


def perish(scene, folder, plans, alone, tally, generator, cheat=False):
    """Run one campaign through its kills to its end, and judge what is left."""
    store, log = folder / "store", folder / "log"
    folder.mkdir(parents=True)
    known, n_kills = {}, 0
    for plan in [*plans, ""]:
        strikes = strikes_of(plan, scene, generator)
        point = "" if strikes else plan
        before = n_vanished(store)
        for _ in range(_STARTS):
            code, killed = await_end(session(scene, store, log, point), scene, log, strikes)
            tally.sessions += 1
            if code != 2 or "cannot start Ray here" not in (folder / "output").read_text().splitlines()[-1]:
                break  # a machine with much else to do lets Ray's own patience run out
        if point and (code == -signal.SIGKILL or (plan.startswith(IN_WORKERS) and n_vanished(store) > before)):
            killed = [plan.partition(":")[0]]
        n_kills += len(killed)
        tally.by_point.update(killed)
        last = (folder / "output").read_text().splitlines()[-1:] if code == 2 else []
        if any(word in line for line in last for word in PREPARING) and (killed or point):
            code = 0  # its worker died before it could measure anything: the session says so and ends, and the next goes on
        if code not in (0, -signal.SIGKILL):
            tally.complain(scene, f"a session after {plan!r} ended with {code}: {(folder / 'output').read_text()[-600:]}")
            return
        found = snapshot(store)
        for number, reading in known.items():
            if found.get(number) != reading:
                tally.lost += 1
                tally.complain(scene, f"trial {number} was {reading} and is {found.get(number)} after {plan!r}")
        known = found
    tally.kills += n_kills
    if cheat:
        log.write_text(log.read_text() * 2)
    judge(scene, store, log, alone, tally, plans)


PREPARING = ("while it prepared", "cannot be prepared", "while its workers started")
"""What a session says that ends because a worker, or the cluster, died before it could measure."""


def _itself(process, log):
    return process


def _worker(process, log):
    if not log.exists():
        return None
    return descendant(process, "executors.child") or descendant(process, "ray::WorkerActor")


def _raylet(process, log):
    if not log.exists():  # a raylet that dies while Ray starts ends the whole process, before there is anything to lose
        return None
    return descendant(process, "raylet/raylet")


VICTIMS = {"random": _itself, "worker": _worker, "raylet": _raylet, "driver": _itself}


@dataclass(frozen=True)
class Strike:
    """One process to be killed, and when: so many seconds after the session's start, or `amid` shots, after the next one that is fired."""

    name: str
    seconds: float
    is_amid: bool

    @property
    def choose(self):
        return VICTIMS[self.name]


def strikes_of(plan, scene, generator):
    """Return a plan's strikes, none for a fault point: ``worker+raylet+driver`` are three in turn, ``worker`` is a random moment."""
    names = plan.split("+")
    if any(name not in VICTIMS for name in names):
        return []
    strikes = [Strike(name, generator.uniform(0, _AMID_SECONDS), is_amid=True) for name in names]
    if len(names) == 1 or generator.random() < 0.1:  # perhaps before there is a shot
        strikes[0] = Strike(names[0], generator.uniform(*_span(scene)), is_amid=False)
    return strikes


def _span(scene):
    return (0.005, 0.3) if scene.executor == "local" else (2.0, 7.0)


def n_vanished(store):
    """Return how many measurements a store tells of whose worker vanished."""
    if not store.exists():
        return 0
    return sum(event.kind in ("retried", "unknown") for event in CampaignStore.open(store).journal.read())


def judge(scene, store, log, alone, tally, plans):
    """Compare what is left with what must be there."""
    opened = CampaignStore.open(store)
    history, fired = opened.history, Counter(line.split()[0] for line in log.read_text().splitlines())
    completed = [trial for trial in history.trials if trial.state.word == "completed"]
    if len(history.trials) != scene.trials or history.last_session != "finished":
        tally.complain(scene, f"{len(history.trials)} trials, {history.last_session}: {history.reason} (after {plans})")
    told = Counter(history.told)
    tally.duplicated += sum(count - 1 for count in told.values())
    if set(told) != {trial.number for trial in completed}:
        tally.complain(scene, "told and completed trials differ")
    if scene.kind == "physical":
        tally.fired_twice += sum(count - 1 for count in fired.values())
        for trial in completed:
            if fired[f"{history.identity}-{trial.number}"] != 1:
                tally.complain(
                    scene, f"trial {trial.number} is completed and was fired {fired[f'{history.identity}-{trial.number}']} times"
                )
        if len(completed) + history.counts().get("unknown", 0) + history.counts().get("failed", 0) != scene.trials:
            tally.complain(scene, f"what is this: {history.counts()}")
    elif len(completed) != scene.trials:
        tally.complain(scene, f"pure, and {history.counts()} after {plans}")
    if scene.is_exact and facts(history) != alone:
        tally.different += 1
        tally.complain(scene, f"differs from the uninterrupted campaign after {plans}")
    again = replay(store)
    if again.first is not None or again.other_environment:
        tally.different += 1
        tally.complain(scene, f"replay {again.sentence} after {plans}")
    arrays = zarr.open_group(store, mode="r")["trials"]
    if arrays["state"][: scene.trials].tolist() != [int(trial.state) for trial in history.trials]:
        tally.complain(scene, "the live arrays say something else than the journal")
    for trial in completed:
        if arrays["objective"][trial.number] != trial.objective or not np.array_equal(arrays["trajectory"][trial.number], trial.z):
            tally.complain(scene, f"the arrays of trial {trial.number} say something else than the journal")


def plans_for(scene, generator, wanted):
    """Yield lists of plans, a campaign each, until so many kills are planned: every point in turn, then random ones and random moments."""
    points = [point for point in faults.POINTS if point not in ONCE]
    generator.shuffle(points)
    queue = [*points]
    planned = 0
    while planned < wanted:
        size = generator.randint(2, 4)
        plans = [generator.choice(ONCE)] if generator.random() < 0.3 else []
        while len(plans) < size:
            if scene.executor == "ray" and generator.random() < 0.6:  # starting Ray takes seconds: several die in one session
                several = generator.choices(["worker", "worker", "worker", "raylet"], k=generator.randint(1, 4))
                plans.append("random" if generator.random() < 0.15 else "+".join([*several, "driver"]))
            elif scene.timeout and generator.random() < 0.3:
                plans.append("worker")
            elif queue:
                point = queue.pop()
                least = 2 if point in IN_WORKERS and (scene.timeout or scene.executor == "ray") else 1
                plans.append(f"{point}:{generator.randint(least, 3)}")
            else:
                plans.append(generator.choice(["random", f"any:{generator.randint(1, 120)}"]))
        planned += len(plans)
        yield plans


def main():
    """Run the kill campaign."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--ray", action="store_true")
    parser.add_argument("--scene", default="", help="only this one")
    parser.add_argument("--cheat", action="store_true", help="write every shot down twice: the campaign must notice")
    asked = parser.parse_args()
    scenes = [scene for scene in (RAY_SCENES if asked.ray else SCENES) if asked.scene in ("", scene.name)]
    if asked.ray:
        import ray  # noqa: F401 - warm
    generator, tally, start = random.Random(asked.seed), Tally(), time.monotonic()
    alone, makers = {}, {}
    for scene in scenes:
        folder = asked.folder / f"{scene.name}-alone"
        folder.mkdir(parents=True)
        code, _ = await_end(session(scene, folder / "store", folder / "log", ""), scene, folder / "log")
        assert code == 0, (folder / "output").read_text()
        alone[scene] = facts(CampaignStore.open(folder / "store").history)
        makers[scene] = plans_for(scene, generator, 10**9)
    turn = 0
    while tally.kills < asked.kills and len(tally.complaints) < 5:
        scene = scenes[turn % len(scenes)]
        plans = next(makers[scene])
        perish(scene, asked.folder / f"{scene.name}-{turn}", plans, alone[scene], tally, generator, asked.cheat)
        turn += 1
        print(
            f"{tally.kills} kills, {time.monotonic() - start:.0f} s, {scene.name}: {plans}; complaints {tally.complaints}", file=sys.stderr
        )
    print(
        json.dumps(
            {
                "kills": tally.kills,
                "campaigns": turn,
                "sessions": tally.sessions,
                "lost": tally.lost,
                "duplicated": tally.duplicated,
                "fired_twice": tally.fired_twice,
                "different": tally.different,
                "points": dict(sorted(tally.by_point.items())),
                "seconds": round(time.monotonic() - start, 1),
                "complaints": tally.complaints,
            }
        )
    )
    return 1 if tally.complaints or tally.fired_twice or tally.duplicated else 0


if __name__ == "__main__":
    sys.exit(main())
