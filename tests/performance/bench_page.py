"""The live page in a real browser: how soon a campaign of 100,000 trials shows data, beside one of 100.

First paint with data is the moment at which the facts and the rows of the table stand in the document, counted from the navigation; the
first figure is there when Plotly has drawn one, after its 4.8 MB have been loaded and compiled. The browser's profile is new each time, so
every module is loaded. Needs chromium; says so and ends without it.
"""

import shutil
import sys
import tempfile
from pathlib import Path

import httpx
import numpy as np
from bench_service import N_TRIALS, Server, add_trial, new_store, report

N_OPENED = 5
FLAGS = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-sync"
WATCH = """new MutationObserver(() => {
  const facts = document.querySelector('.facts')?.textContent || '', rows = document.querySelectorAll('table.trials tbody tr').length;
  if (!window.painted && rows && / of /.test(facts)) requestAnimationFrame(() => (window.painted ??= performance.now()));
  if (!window.drawn && document.querySelector('.board svg.main-svg')) requestAnimationFrame(() => (window.drawn ??= performance.now()));
}).observe(document, {subtree: true, childList: true})"""


def first_paints(browser, address):
    """Return the milliseconds until a campaign's data are painted, and until its first figure is, for several new visitors."""
    found = []
    for _ in range(N_OPENED):
        context = browser.new_context(viewport={"width": 1280, "height": 900})
        page = context.new_page()
        page.add_init_script(WATCH)
        page.goto(address)
        page.wait_for_selector(".board svg.main-svg", timeout=60_000)
        page.wait_for_selector("table.trials tbody tr", timeout=60_000)
        page.wait_for_timeout(300)
        found.append(page.evaluate("[window.painted, window.drawn]"))
        context.close()
    return np.transpose(found) / 1000


def main():
    """Measure, and report one line per figure."""
    chromium = shutil.which("chromium")
    if chromium is None:
        print("no chromium here; install Debian's package chromium to measure the page", file=sys.stderr)
        return
    from playwright.sync_api import sync_playwright

    generator = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        root = Path(folder) / "root"
        root.mkdir()
        for name, n_trials in (("small", 100), ("large", N_TRIALS)):
            store = new_store(root / name, n_trials)
            for number in range(n_trials):
                add_trial(store, number, generator)
            store.release()
        server = Server(root)
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS.split())
        try:
            with httpx.Client(base_url=server.url, timeout=300) as http:
                while any(campaign["is_loading"] for campaign in http.get("/api/v1/campaigns").json()["campaigns"]):
                    pass
            small, large = (first_paints(browser, f"{server.url}/#/campaign/{name}") for name in ("small", "large"))
            for row, (name, most) in enumerate((("first paint with data", 2.0), ("first figure", 5.0))):
                value = float(np.median(large[row]))
                detail = f"median of {N_OPENED} visits; worst {large[row].max():.2f} s; 100 trials: {float(np.median(small[row])):.2f} s"
                report(f"page: {name}, {N_TRIALS} trials", value, "s", f"< {most:g} s", value < most, detail)
        finally:
            browser.close()
            server.stop()


if __name__ == "__main__":
    main()
