"""The kill campaign: hundreds of kills without warning, on local and Ray executors, and what they cost: nothing.

    python tests/performance/bench_kill.py [LOCAL_KILLS [RAY_KILLS]]

Local: drivers killed at every fault point, at counted points and at random moments, and measuring processes. Ray: drivers, workers, and the
raylet, several in one session. Every campaign is resumed to its end and compared with one that was left alone (see tests/data/killing.py,
which says on standard error how far it is).
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

PROGRAM = Path(__file__).resolve().parents[1] / "data" / "killing.py"
KILLS, RAY_KILLS = 240, 64


def killed(n, *options):
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [sys.executable, str(PROGRAM), folder, "--kills", str(n), "--seed", "1", *options],
            stdout=subprocess.PIPE,
            text=True,
            check=False,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
    return json.loads(done.stdout.splitlines()[-1])


def main():
    wanted = [int(argument) for argument in sys.argv[1:]] + [KILLS, RAY_KILLS][len(sys.argv) - 1 :]
    tallies = [killed(wanted[0])] + ([killed(wanted[1], "--ray")] if wanted[1] else [])
    n_kills = sum(tally["kills"] for tally in tallies)
    detail = "; ".join(f"{tally['kills']} kills in {tally['campaigns']} campaigns, {tally['seconds']:g} s" for tally in tallies)
    figures = [
        ("kills survived", n_kills, sum(wanted), n_kills >= sum(wanted), f"{detail}; points: {[tally['points'] for tally in tallies]}")
    ]
    for what in ("lost", "duplicated", "fired_twice", "different"):
        found = sum(tally[what] for tally in tallies)
        figures.append((f"trials {what.replace('_', ' ')} by kills", found, 0, found == 0, ""))
    complaints = [complaint for tally in tallies for complaint in tally["complaints"]]
    figures.append(("other complaints after kills", len(complaints), 0, not complaints, " | ".join(complaints)[:2000]))
    for name, value, target, is_ok, text in figures:
        print(json.dumps({"figure": name, "value": value, "unit": "", "target": str(target), "ok": is_ok, "detail": text}))
    return 0 if all(figure[3] for figure in figures) else 1


if __name__ == "__main__":
    sys.exit(main())
