"""Where the evaluators of the tests lie."""

import sys
from pathlib import Path

DATA = Path(__file__).resolve().parents[1] / "data"
if str(DATA) not in sys.path:
    sys.path.append(str(DATA))
