"""The server under load: a campaign of 100,000 trials, 200 watchers of one campaign at 20 trials a second, a thousand idle ones.

The store of 100,000 trials is written through the journal itself (and not through a campaign, which would take hours). Times are those of
a client on the same machine, which shares its processors with the server.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx
import numpy as np

os.environ.setdefault("OMP_NUM_THREADS", "1")

from latentloop.loop.config import config_from_mapping
from latentloop.loop.environment import environment
from latentloop.loop.store.campaign_store import CampaignStore
from latentloop.loop.trajectory_source import load_trajectories

N_TRIALS = int(os.environ.get("LATENTLOOP_BENCH_TRIALS", "100000"))
N_WATCHERS, RATE, SECONDS = 200, 20.0, 15.0
N_IDLE = 1000
CONFIG = {
    "name": "large",
    "trajectories": {"family": {"name": "damped_sinusoid", "parameters": {"n_steps": 20, "n_times": 40}}, "n": 40},
    "latent": {"model": {"name": "pca", "parameters": {"n_latent": 2}}},
    "evaluator": {"name": "python", "parameters": {"target": "nothing:nothing"}},
    "optimizer": {"acquisition": "random"},
}


def new_store(path, budget):
    """Return a driven store without trials."""
    config = config_from_mapping({**CONFIG, "budget": {"trials": budget}})
    store = CampaignStore.create(path, config.model_dump(mode="json"), dict(environment()), 2, load_trajectories(config))
    store.append("started", {"budget": budget, "executor": "local", "workers": 1})
    return store


def add_trial(store, number, generator):
    """Append a trial's two events."""
    z = generator.normal(size=2)
    common = {"acquisition": "random", "acquisition_value": None, "distance": 0.1, "consistency": 0.1, "model_version": 0}
    store.append("armed", {"trial": number, "z": z.tolist(), **common})
    value = float(-np.sum(z**2))
    result = {"objective": value, "objective_error": None, "metrics": {"objective": value, "other": 1.0}, "reason": ""}
    store.append("completed", {"trial": number, **result, "seconds": 0.01, "worker": "local"})


class Server:
    """`latentloop serve` in a process of its own."""

    def __init__(self, root):
        self.log = Path(root).with_suffix(".log").open("w+")
        config = Path(root).with_suffix(".yaml")
        config.write_text("limits: {requests_per_second: 100000, burst: 100000}\n")
        program = Path(sys.executable).with_name("latentloop")
        command = [program, "serve", "--root", root, "--port", "0", "--no-auth", "--config", config]
        self.process = subprocess.Popen(list(map(str, command)), stdout=self.log, stderr=subprocess.STDOUT)
        while not (found := re.search(r"at (http://\S+)", Path(self.log.name).read_text())):
            assert self.process.poll() is None, Path(self.log.name).read_text()
            time.sleep(0.02)
        self.url = found[1]

    def megabytes(self):
        return int(re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{self.process.pid}/status").read_text())[1]) / 1024

    def cpu_seconds(self):
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
        self.process.wait(20)

    def kill(self):
        self.process.kill()
        self.process.wait(20)


def report(figure, value, unit, target, is_good, detail=""):
    print(json.dumps({"figure": figure, "value": value, "unit": unit, "target": target, "ok": bool(is_good), "detail": detail}), flush=True)


def next_latency(http, store, generator, n=10):
    """Return how long events take from their commit to a watcher, in seconds, the median and the worst of some."""
    delays = []
    with http.stream("GET", "/api/v1/campaigns/large/stream") as stream:
        lines = stream.iter_lines()
        assert next(line for line in lines if line.startswith("event")) == "event: hello"
        for _ in range(n):
            add_trial(store, len(store.history.trials), generator)
            for line in lines:
                if line.startswith("data:") and '"kind":"completed"' in line:
                    delays.append(time.time() - json.loads(line[5:])["time"])
                    break
            time.sleep(0.1)
    return float(np.median(delays)), max(delays)


def bench_large(root):
    """First data, next event and memory with 100,000 trials."""
    generator = np.random.default_rng(0)
    store = new_store(root / "large", N_TRIALS + 100)
    for number in range(N_TRIALS):
        add_trial(store, number, generator)
    server = Server(root)
    try:
        with httpx.Client(base_url=server.url, timeout=300) as http:
            start = time.perf_counter()
            first = http.get("/api/v1/campaigns").json()["campaigns"][0]
            cold = time.perf_counter() - start
            report("service: first data, server just started", cold, "s", "< 2 s", cold < 2, f"{first['n_trials']} trials read by then")
            while http.get("/api/v1/campaigns").json()["campaigns"][0]["is_loading"]:
                time.sleep(0.2)
            loaded = time.perf_counter() - start
            start = time.perf_counter()
            for path in ("", "/trials?limit=1000&newest=true", "/figures", "/figures/incumbent_trace"):
                http.get(f"/api/v1/campaigns/large{path}").raise_for_status()
            warm = time.perf_counter() - start
            detail = f"campaign, 1,000 trials, figures, incumbent trace; the journal was read in {loaded:.1f} s after the start"
            report(f"service: first data, {N_TRIALS} trials", warm, "s", "< 2 s", warm < 2, detail)
            median, worst = next_latency(http, store, generator)
            report(
                f"service: next event, {N_TRIALS} trials",
                1000 * worst,
                "ms",
                "< 200 ms",
                worst < 0.2,
                f"worst of 10; median {1000 * median:.0f} ms",
            )
            used = server.megabytes()
            report(
                f"service: memory, {N_TRIALS} trials",
                used,
                "MB",
                "< 500 MB",
                used < 500,
                "the server; figures are made by a process beside it",
            )
            end = time.monotonic() + 60
            while not list(root.glob(".latentloop/folds/*.fold")) and time.monotonic() < end:
                time.sleep(0.2)
        bench_restart(root, server)
    finally:
        server.stop()
        store.release()
    bench_operator(root)


def bench_restart(root, server):
    """First data when the server comes back, counted from its first answer to a request."""
    server.kill()
    began = time.perf_counter()
    again = Server(root)
    try:
        with httpx.Client(base_url=again.url, timeout=300) as http:
            up = time.perf_counter()
            while (shown := http.get("/api/v1/campaigns").json()["campaigns"][0])["n_trials"] < N_TRIALS:
                time.sleep(0.02)
            first = time.perf_counter() - up
            http.get("/api/v1/campaigns/large/trials?limit=1000&newest=true").raise_for_status()
            detail = f"{shown['n_trials']} trials; {up - began:.1f} s from the command to its address; {again.megabytes():.0f} MB"
            report("service: first data after a restart", first, "s", "< 2 s", first < 2, detail)
    finally:
        again.stop()


def bench_operator(root):
    """An operator's word where nobody drives the campaign: the studio reads the whole journal for it."""
    server = Server(root)
    try:
        with httpx.Client(base_url=server.url, timeout=300) as http:
            while http.get("/api/v1/campaigns").json()["campaigns"][0]["is_loading"]:
                time.sleep(0.1)
            start = time.perf_counter()
            http.post("/api/v1/campaigns/large/notes", json={"text": "well done"}).raise_for_status()
            taken = time.perf_counter() - start
            report(f"service: a note to a campaign at rest, {N_TRIALS} trials", taken, "s", "< 60 s", taken < 60)
    finally:
        server.stop()


def bench_idle(root):
    """A thousand watchers with nothing to see, and one with something."""
    generator = np.random.default_rng(2)
    busy, quiet = new_store(root / "large", 200), new_store(root / "quiet", 10)
    server = Server(root)
    before = server.megabytes()
    watching = Watchers(server.url, "quiet", N_IDLE)
    try:
        watching.wait_until_all_listen()
        time.sleep(2.0)
        cpu, start = server.cpu_seconds(), time.perf_counter()
        time.sleep(10.0)
        share = (server.cpu_seconds() - cpu) / (time.perf_counter() - start)
        with httpx.Client(base_url=server.url, timeout=60) as http:
            median, worst = next_latency(http, busy, generator, 20)
        used = server.megabytes()
        detail = f"median {1000 * median:.0f} ms; at rest {100 * share:.0f} % of a processor, {used - before:.0f} MB more than without them"
        report(f"service: next event beside {N_IDLE} idle watchers", 1000 * worst, "ms", "< 200 ms", worst < 0.2, detail)
    finally:
        watching.process.kill()
        server.stop()
        busy.release()
        quiet.release()


def bench_watchers(root):
    """200 watchers of a campaign at 20 trials a second: what they miss, and how late it comes."""
    generator = np.random.default_rng(1)
    n = int(RATE * SECONDS)
    store = new_store(root / "large", n + 10)
    server = Server(root)
    watching = Watchers(server.url)
    try:
        watching.wait_until_all_listen()
        cpu = server.cpu_seconds()
        start = time.perf_counter()
        for number in range(n):
            add_trial(store, number, generator)
            time.sleep(max(0.0, start + (number + 1) / RATE - time.perf_counter()))
        rate, cpu = n / (time.perf_counter() - start), (server.cpu_seconds() - cpu) / (time.perf_counter() - start)
        last = store.history.n_events - 1
        missed, delays = watching.finish(last)
        used = server.megabytes()
        detail = f"{rate:.1f} trials a second, {N_WATCHERS} watchers, {100 * cpu:.0f} % of a processor, {used:.0f} MB"
        report("service: events missed", missed, "events", "0", missed == 0, detail)
        tail = float(np.quantile(delays, 0.99))
        report(
            "service: delay with 200 watchers, 99 %",
            1000 * tail,
            "ms",
            "< 200 ms",
            tail < 0.2,
            f"median {1000 * float(np.median(delays)):.0f} ms",
        )
    finally:
        server.stop()
        store.release()


class Watchers:
    """Reads streams in a process of its own, with sockets alone, so that the readers are not what is measured."""

    def __init__(self, url, campaign="large", n=N_WATCHERS):
        self.process = subprocess.Popen(
            [sys.executable, __file__, "watch", url, campaign, str(n)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def wait_until_all_listen(self):
        assert self.process.stdout.readline().strip() == "listening"

    def finish(self, last):
        self.process.stdin.write(f"{last}\n")
        self.process.stdin.flush()
        answer = json.loads(self.process.stdout.readline())
        self.process.wait(20)
        return answer["missed"], answer["delays"]


def watch(url, campaign, n_watchers):
    """Open the streams, read until each has shown the last event, and say what was missed and how late events came."""
    import asyncio

    host, port = url.removeprefix("http://").split(":")
    read = [bytearray() for _ in range(n_watchers)]
    delays = []

    async def one(index, listening):
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(f"GET /api/v1/campaigns/{campaign}/stream HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n".encode())
        while b"event: hello" not in await reader.readuntil(b"\n"):
            pass
        listening.release()
        if index % 20 == 0:
            async for line in reader:
                read[index] += line
                if line.startswith(b'data: {"number"'):
                    delays.append(time.time() - json.loads(line[6:])["time"])
        while chunk := await reader.read(1 << 16):  # the others are looked at afterwards: these readers take little of the processor
            read[index] += chunk

    async def main():
        listening = asyncio.Semaphore(0)
        tasks = [asyncio.create_task(one(index, listening)) for index in range(n_watchers)]
        for _ in range(n_watchers):
            await listening.acquire()
        print("listening", flush=True)
        last = int(await asyncio.to_thread(sys.stdin.readline))
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline and not all(b"id: %d\n" % last in each[-8192:] for each in read):
            await asyncio.sleep(0.05)
        seen = [[int(number) for number in re.findall(rb"^id: (\d+)$", each, re.MULTILINE)] for each in read]
        wanted = set(range(min(each[0] for each in seen if each), last + 1))
        missed = sum(len(wanted - set(each)) + len(each) - len(set(each)) for each in seen)
        print(json.dumps({"missed": missed, "delays": delays}), flush=True)
        for task in tasks:
            task.cancel()

    asyncio.run(main())


def main():
    with tempfile.TemporaryDirectory() as folder:
        for name, bench in (("few", bench_watchers), ("idle", bench_idle), ("many", bench_large)):
            if len(sys.argv) > 1 and name not in sys.argv[1:]:
                continue
            root = Path(folder) / name
            root.mkdir()
            bench(root)


if __name__ == "__main__":
    if sys.argv[1:2] == ["watch"]:
        watch(sys.argv[2], sys.argv[3], int(sys.argv[4]))
    else:
        main()
