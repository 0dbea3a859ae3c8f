"""How long a command takes to its first line of output, started for the second time; and the whole demo."""

import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

LATENTLOOP = str(Path(sys.executable).with_name("latentloop"))
ROUNDS = 5
START_GOAL = 1.5
DEMO_GOAL = 180.0


def first_line(*arguments: str) -> float:
    """Return the seconds until a command prints its first line; it is stopped then."""
    start = time.perf_counter()
    process = subprocess.Popen([LATENTLOOP, *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert process.stdout is not None
    process.stdout.readline()
    seconds = time.perf_counter() - start
    process.kill()
    process.communicate()
    return seconds


def report(figure: str, value: float, goal: float, detail: str) -> None:
    """Print one figure."""
    print(
        json.dumps({"figure": figure, "value": value, "unit": "s", "target": f"<= {goal:g} s", "ok": value <= goal, "detail": detail}),
        flush=True,
    )


def main() -> None:
    """Print the figures."""
    with tempfile.TemporaryDirectory() as folder:
        store = f"{folder}/demo"
        start = time.perf_counter()
        subprocess.run(
            [LATENTLOOP, "run", "ferrosim-curl", "--executor", "ray", "--store", store, "--report", f"{folder}/demo.html"],
            check=True,
            stdout=subprocess.DEVNULL,
        )
        report(
            "make demo, set-up apart", time.perf_counter() - start, DEMO_GOAL, "preset ferrosim-curl on Ray, 120 trials, report included"
        )
        commands = {
            "--help": ["--help"],
            "presets": ["presets"],
            "init": ["init", "quick"],
            "schema": ["schema"],
            "status": ["status", store],
            "report": ["report", store, "-o", f"{folder}/again.html"],
            "run": ["run", "quick", "--store", f"{folder}/second"],
            "resume": ["resume", store],
            "ground-truth": ["ground-truth", "quick", "-o", f"{folder}/truth.zarr"],
        }
        slowest, worst = "", 0.0
        for name, arguments in commands.items():
            first_line(*arguments)
            seconds = statistics.median(first_line(*arguments) for _ in range(ROUNDS))
            if seconds > worst:
                slowest, worst = name, seconds
        report(
            "second start of any command, to its first line",
            worst,
            START_GOAL,
            f"slowest of {len(commands)}: {slowest}; median of {ROUNDS}",
        )


if __name__ == "__main__":
    main()
