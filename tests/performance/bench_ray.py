"""How Ray scales: the published 10,000-point ground truth on two workers against one, turn by turn in one run."""

import json
import logging
import statistics
import time

import numpy as np
from latentloop.loop.campaign import Campaign
from latentloop.loop.config import load_config
from latentloop.loop.controller import StopFlag
from latentloop.loop.ground_truth import measure_points
from latentloop.loop.latent_training import latent_space, train
from latentloop.loop.preparation import evaluator_spec, make_executor
from latentloop.loop.run import SilentObserver
from latentloop.loop.trajectory_source import load_trajectories

GRID = 100
ROUNDS = 5
GOAL = 1.7


def main() -> None:
    """Print the figure."""
    configs = {
        n: load_config("ferrosim-curl", ["executor.name=ray", f"executor.workers={n}", "latent.model.parameters.epochs=2"]) for n in (1, 2)
    }
    trajectories = load_trajectories(configs[1])
    trained = train(configs[1], trajectories, 0, 1)
    space, box = latent_space(configs[1], trained.restore(), trained.encoded)
    points = np.stack(np.meshgrid(*[np.linspace(low, high, GRID) for low, high in box], indexing="ij"), axis=-1).reshape(-1, len(box))
    seconds: dict[int, list[float]] = {1: [], 2: []}
    import ray

    ray.init(num_cpus=3, include_dashboard=False, logging_level=logging.ERROR, log_to_driver=False)
    sides = {}
    for n, config in configs.items():
        spec, kind = evaluator_spec(config, keep_arrays=False)
        sides[n] = (Campaign(config, space, box, 0, kind), make_executor(config, spec))
    for _ in range(ROUNDS + 1):
        for n, (campaign, executor) in sides.items():
            start = time.perf_counter()
            values = measure_points(campaign, executor, points, SilentObserver(), StopFlag())
            seconds[n].append(time.perf_counter() - start)
            if not np.isfinite(values).all():
                raise SystemExit("some points failed")
    ray.shutdown()
    ratios = [one / two for one, two in zip(seconds[1][1:], seconds[2][1:])]  # the first round warms up
    ratio = statistics.median(ratios)
    print(
        json.dumps(
            {
                "figure": "10,000-point ground truth on Ray: two workers against one",
                "value": ratio,
                "unit": "x",
                "target": f">= {GOAL:g} x",
                "ok": ratio >= GOAL,
                "detail": f"median of {ROUNDS} rounds, {min(ratios):.2f}-{max(ratios):.2f}; "
                f"one worker {statistics.median(seconds[1][1:]):.2f} s, two {statistics.median(seconds[2][1:]):.2f} s, decoding included",
            }
        )
    )


if __name__ == "__main__":
    main()
