"""A measuring program for the tests, as users write them: JSON in, JSON out."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

document = json.load(sys.stdin)
mood = sys.argv[1] if len(sys.argv) > 1 else "smooth"
if len(sys.argv) > 2:
    with Path(sys.argv[2]).open("a") as file:
        file.write(f"{document['key']} {os.getpid()}\n")
if isinstance(document["trajectory"], dict):
    values = np.load(document["trajectory"]["file"])
    times = np.load(document["times"]["file"])
else:
    values, times = np.array(document["trajectory"]), np.array(document.get("times", []))
if not np.isfinite(values).all():
    sys.exit("the trajectory is not finite")
objective = -float(np.mean((values - 0.3) ** 2))
match mood:
    case "smooth":
        print("measuring", len(values), "steps")
        print(json.dumps({"objective": objective, "line": values[:5].tolist()}))
    case "echo":
        print(
            json.dumps(
                {
                    "metrics": {"objective": objective, "trial": document["trial"]},
                    "errors": {"objective": 0.5},
                    "arrays": {"times": times.tolist()},
                }
            )
        )
    case "number":
        print(objective)
    case "file":
        np.save(Path(document["folder"]) / "image.npy", np.outer(values, values))
        print(json.dumps({"objective": objective, "image": {"file": "image.npy"}}))
    case "fails":
        print("warming up", file=sys.stderr)
        sys.exit("the film is broken")
    case "dies":
        os.kill(os.getpid(), signal.SIGKILL)
    case "silent":
        pass
    case "chatters":
        print("no JSON here")
    case "hangs":
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)"])
        print(child.pid, file=sys.stderr, flush=True)
        time.sleep(300)
    case "leaves":
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)"])
        print(json.dumps({"objective": objective, "child": child.pid}))
    case "large":
        print(json.dumps({"objective": objective, "image": np.zeros((400, 400)).tolist()}))
    case "floods":
        for _ in range(512):
            sys.stderr.write("x" * 65535 + "\n")
        print("it is too hot", file=sys.stderr)
        print(json.dumps({"objective": objective}))
        sys.stdout.flush()
        if len(sys.argv) > 3:
            sys.exit(3)
    case "raves":
        while True:
            sys.stdout.write("1" * 65536)
    case "closes":  # says nothing more, works on, and then it fails
        print(json.dumps({"objective": objective}), flush=True)
        os.close(1)
        os.close(2)
        time.sleep(0.5)
        os._exit(4)
    case "waits":
        time.sleep(300)
