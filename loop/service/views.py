"""What the server shows of campaigns and trials: records in, messages out."""

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from ..messages import (
    Best,
    CampaignDetail,
    CampaignState,
    CampaignSummary,
    EnvelopeMessage,
    EventMessage,
    Needs,
    Queue,
    TrialMessage,
    WorkerMessage,
)
from ..numbers import finite, finite_list
from ..records import TRIAL_ARRAYS, Signal, Trial, TrialState
from ..store.history import History
from ..store.journal import Event
from .wording import for_others, without_paths

if TYPE_CHECKING:
    from .watch import CampaignWatch

_PURE = frozenset({"ferrosim", "ferrosim_parameters"})
_UNSAID = {"python": "pure"}
"""Evaluators that are something else than physical where their configuration does not say."""
_MOST_NOTES = 200


def kind_of(configuration: Mapping[str, Any]) -> str:
    """Return whether a configuration's evaluator is pure or physical, as far as it says so itself; no code is imported for that."""
    evaluator = configuration.get("evaluator") or {}
    name, parameters = evaluator.get("name", ""), evaluator.get("parameters") or {}
    if name in _PURE:
        return "pure"
    said = parameters.get("kind") or _UNSAID.get(name, "physical")
    return "pure" if said == "pure" else "physical"


def trial_json(trial: Trial, history: History) -> dict[str, Any]:
    """Return a trial as JSON-able values, the shape of `TrialMessage`."""
    return {
        "number": trial.number,
        "state": trial.state.word,
        "z": [finite(value) for value in trial.z.tolist()],
        "objective": finite(trial.objective),
        "objective_error": finite(trial.objective_error),
        "metrics": {name: finite(float(value)) for name, value in trial.metrics.items()},
        "acquisition": trial.acquisition,
        "acquisition_value": finite(trial.acquisition_value),
        "predicted_objective": finite(trial.predicted_objective),
        "predicted_error": finite(trial.predicted_error),
        "distance": finite(trial.distance),
        "consistency": finite(trial.consistency),
        "model_version": trial.model_version,
        "armed_at": finite(trial.armed_at),
        "finished_at": finite(trial.finished_at),
        "seconds": finite(trial.seconds),
        "worker": trial.worker,
        "reason": without_paths(trial.reason),
        "is_approved": trial.number in history.approved,
        "is_projected": trial.is_projected,
        "is_outlier": bool(getattr(trial, "is_outlier", False)),
        "refers_to": getattr(trial, "refers_to", None),
    }


def trial_message(trial: Trial, history: History) -> TrialMessage:
    """Return a trial as a message."""
    return TrialMessage.model_validate(trial_json(trial, history))


def event_message(event: Event) -> EventMessage:
    """Return an event as a message."""
    return EventMessage(number=event.number, time=event.time, kind=event.kind, data=without_paths(event.data))


def light(event: Event) -> dict[str, Any]:
    """Return an event's data without what is large: the configuration is in the campaign's own answer."""
    return {key: value for key, value in event.data.items() if key not in ("configuration", "environment", "trajectory")}


def said(event: Event) -> dict[str, Any]:
    """Return who did something to a trial, and why; the rest is in the trial itself."""
    return {key: event.data[key] for key in ("who", "reason") if event.data.get(key)}


def summary_of(watch: "CampaignWatch", sparkline: list[float]) -> CampaignSummary:
    """Return a campaign at a glance."""
    history = watch.history
    if not history.configuration:
        return CampaignSummary(
            name=watch.name,
            title=watch.name,
            state="damaged" if watch.problem else "starting",
            reason=for_others(watch.problem),
            is_loading=not watch.problem,
        )
    state = cast(CampaignState, watch.state())
    best = history.incumbent
    seconds = history.seconds_until(time.time()) if watch.is_driven() else history.seconds
    waiting = {word: len(numbers) for word, numbers in history.waiting().items()}
    return CampaignSummary(
        name=watch.name,
        title=history.configuration["name"],
        state=state,
        reason=for_others(watch.problem or (history.reason if state not in ("starting", "running", "paused") else "")),
        n_trials=len(history.trials),
        budget=history.budget,
        counts=history.counts(),
        goal=history.goal,
        metric=history.configuration["objective"]["metric"],
        incumbent=None if best is None else Best(trial=best.trial, objective=best.objective, z=best.z.tolist()),
        sparkline=list(sparkline),
        needs=Needs(**{word: waiting.get(word, 0) for word in ("held", "unknown", "quarantined")}),
        created_at=history.created_at,
        seconds=round(seconds, 3),
        seconds_left=_seconds_left(watch, state, seconds),
        kind="pure" if watch.kind == "pure" else "physical",
        last_event=history.n_events - 1,
        is_loading=not watch.is_loaded,
    )


def _seconds_left(watch: "CampaignWatch", state: str, seconds: float) -> float | None:
    """Return about how long the rest of the budget takes, at the pace so far; None where nobody can know."""
    history = watch.history
    done = sum(number for word, number in history.counts().items() if word not in ("armed", "held"))
    left = history.budget - done
    if state != "running" or not done or left < 0:
        return None
    return round(left * seconds / done, 1)


def detail_of(watch: "CampaignWatch", signal: Signal | None, limits: EnvelopeMessage | None) -> CampaignDetail:
    """Return a campaign with what a page needs once."""
    history = watch.history
    model = history.models[max(history.models)] if history.models else {}
    armed = [number for number in _open_trials(history) if history.trials[number].state is TrialState.ARMED]
    held = sorted(getattr(history, "held", set()))
    return CampaignDetail(
        **watch.summary().model_dump(),
        configuration=without_paths(history.configuration),
        environment={key: str(value) for key, value in history.environment.items()},
        box=[(float(low), float(high)) for low, high in model.get("box", [])],
        times=[] if signal is None else finite_list(signal.times),
        time_unit="" if signal is None else signal.time_unit,
        unit="" if signal is None else signal.unit,
        channels=[] if signal is None else list(signal.channels),
        envelope=limits,
        arrays=array_names(watch),
        models=[without_paths(facts) for _, facts in sorted(history.models.items())],
        workers=_workers(watch, armed),
        queue=Queue(armed=armed, held=held, approved=sorted(history.approved)),
        notes=[
            {"time": note.time, "who": note.who, "text": note.text, "trial": note.trial}
            for note in list(getattr(history, "notes", []))[-_MOST_NOTES:]
        ],
    )


def array_names(watch: "CampaignWatch") -> list[str]:
    """Return the names of the arrays that trials of a campaign have besides their trajectory."""
    folder = watch.path / "trials"
    try:
        names = [entry.name for entry in folder.iterdir() if entry.is_dir()]
    except OSError:
        return []
    return sorted(name for name in names if name not in TRIAL_ARRAYS and not name.startswith(("metric_", ".")))


def thinned_values(values: np.ndarray[Any, np.dtype[np.float64]], most: int = 250_000) -> list[Any]:
    """Return an array as nested lists, every k-th entry of each axis where it is too large for a page."""
    array = np.asarray(values, dtype=np.float64)
    while array.size > most:
        longest = int(np.argmax(array.shape))
        array = np.take(array, np.arange(0, array.shape[longest], 2), axis=longest)
    return finite_list(array)


def _open_trials(history: History) -> list[int]:
    """Return the numbers of the armed and held trials; they are among the newest, but for those that wait for long."""
    counts = history.counts()
    wanted = counts.get("armed", 0) + counts.get("held", 0)
    found: list[int] = []
    for trial in reversed(history.trials):
        if len(found) == wanted:
            break
        if trial.state in (TrialState.ARMED, TrialState.HELD):
            found.append(trial.number)
    return sorted(found)


def _workers(watch: "CampaignWatch", armed: list[int]) -> list[WorkerMessage]:
    """Return who measures: those who have finished trials, and those who have said that they are at one."""
    at = {worker: number for number, worker in watch.measuring.items()}
    workers = dict.fromkeys([*watch.workers, *at])
    if len(workers) == 1 and len(armed) == 1 and not at:  # one worker, one trial under way: it cannot be anywhere else
        at = {next(iter(workers)): armed[0]}
    trials = watch.history.trials
    return [
        WorkerMessage(
            name=worker,
            n_trials=watch.workers.get(worker, (0, 0.0))[0],
            measuring=at.get(worker),
            since=trials[at[worker]].armed_at if worker in at else None,
        )
        for worker in sorted(workers)
    ]
