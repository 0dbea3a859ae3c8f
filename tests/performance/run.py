"""Run the benchmarks, each in a process of its own, and print one table of figures with their goals.

``make perf`` runs all, ``make perf ONLY=vae`` those whose name holds the word. A benchmark prints one JSON line per figure:
``{"figure", "value", "unit", "target", "ok", "detail"}``; figures are ratios measured side by side in one run wherever a peer exists.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

HERE = Path(__file__).resolve().parent
RESULTS = HERE.parent.parent / "perf-results.json"


def main(words: list[str]) -> int:
    """Run the benchmarks whose names hold one of the words (all without words); return the number of goals missed."""
    scripts = sorted(path for path in HERE.glob("bench_*.py") if not words or any(word in path.stem for word in words))
    console = Console(soft_wrap=True)
    figures: list[dict[str, object]] = []
    for script in scripts:
        console.print(f"{script.name} ...", style="dim")
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}
        done = subprocess.run([sys.executable, script], stdout=subprocess.PIPE, text=True, env=environment, check=False)
        figures += [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
        if done.returncode:
            figures.append(
                {"figure": script.stem, "value": None, "unit": "", "target": "runs", "ok": False, "detail": "the benchmark failed"}
            )
    table = Table("figure", "measured", "goal", "", "detail")
    for figure in figures:
        value = figure["value"]
        shown = "-" if value is None else f"{value:.4g} {figure['unit']}"
        table.add_row(
            str(figure["figure"]), shown, str(figure["target"]), "ok" if figure["ok"] else "MISSED", str(figure.get("detail", ""))
        )
    console.print(table)
    RESULTS.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    console.print(f"written to {RESULTS}")
    return sum(not figure["ok"] for figure in figures)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
