"""Every kind of worker checks the envelope right before it fires, and brings its instrument to rest at the end."""

from pathlib import Path

import numpy as np
import pytest
from latentloop.loop.config import SafetyConfig
from latentloop.loop.executors.local import LocalExecutor
from latentloop.loop.executors.ray import RayExecutor
from latentloop.loop.executors.worker import EvaluatorSpec
from latentloop.loop.records import Job, Measurement, Signal
from latentloop.loop.safety import Envelope

DATA = str(Path(__file__).resolve().parents[2] / "data")
SIGNAL = Signal(np.arange(9.0), "V", "s", ("E",))


@pytest.mark.parametrize("kind", ["local", "child", "ray"])
def test_what_lies_outside_or_was_armed_for_another_envelope_is_not_fired(kind, request, tmp_path, monkeypatch):
    log = tmp_path / "log"
    monkeypatch.setenv("RESTING_LOG", str(log))
    if kind == "ray":
        request.getfixturevalue("ray_cluster")
    envelope = Envelope.from_config(SafetyConfig(bounds={"amplitude": (-1, 1)}), SIGNAL)
    spec = EvaluatorSpec(
        "python",
        {"target": "laboratory:Resting", "arguments": {"log": str(log)}},
        60.0 if kind == "child" else None,
        signal=SIGNAL,
        envelope=envelope,
        search_path=(DATA,),
    )
    executor = (RayExecutor if kind == "ray" else LocalExecutor)(spec, n_workers=1)
    try:
        jobs = [
            Job(0, np.full(9, 0.5), envelope.hash),
            Job(1, np.full(9, 1.5), envelope.hash),
            Job(2, np.full(9, 0.6), "another"),
            Job(3, np.full(9, 0.7)),
            Job(4, np.full(9, 0.8), envelope.hash),
        ]
        executor.submit(jobs)
        found = {}
        while len(found) < 5:
            found.update({outcome.trial: outcome.result for outcome in executor.wait(1.0)})
    finally:
        executor.close()
    assert [number for number in range(5) if isinstance(found[number], Measurement)] == [0, 4]
    assert [found[number].is_refused for number in (1, 2, 3)] == [True] * 3
    assert "amplitude of channel E is 1.5 V" in found[1].reason
    assert "armed for the envelope another" in found[2].reason
    assert "armed for the envelope none" in found[3].reason
    assert log.read_text().splitlines() == ["fired 0.5", "fired 0.8", "stop", "close"]
