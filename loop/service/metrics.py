"""What Prometheus asks for: trials by state, times, queues and incumbents of every campaign, made from what the watches know already."""

import math
from collections.abc import Iterable, Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric, SummaryMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from .watch import CampaignWatch

_FAILURES = ("failed", "quarantined", "unknown", "refused")
_STATES = ("running", "paused", "interrupted", "finished", "failed", "damaged")


def exposition(watches: Iterable[CampaignWatch], n_streams: int, now: float) -> tuple[bytes, str]:
    """Return the figures of some campaigns in Prometheus' text format, and its content type.

    Args:
        watches: the campaigns.
        n_streams: open streams of the server.
        now: POSIX time in seconds.
    """
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collector([watch for watch in watches if watch.history.configuration], n_streams, now))
    return generate_latest(registry), CONTENT_TYPE_LATEST


class _Collector:
    def __init__(self, watches: list[CampaignWatch], n_streams: int, now: float) -> None:
        self._watches, self._n_streams, self._now = watches, n_streams, now

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics."""
        trials = GaugeMetricFamily("latentloop_trials", "Trials by state.", labels=["campaign", "state"])
        failures = CounterMetricFamily("latentloop_failures", "Trials that gave nothing to learn from.", labels=["campaign", "state"])
        state = GaugeMetricFamily("latentloop_campaign_state", "1 for the state that the campaign is in.", labels=["campaign", "state"])
        budget = GaugeMetricFamily("latentloop_budget_trials", "Trials in all.", labels=["campaign"])
        queue = GaugeMetricFamily("latentloop_queue_trials", "Trials that are armed, or held for a person.", labels=["campaign"])
        best = GaugeMetricFamily("latentloop_incumbent_objective", "Objective of the best completed trial.", labels=["campaign", "metric"])
        ask = SummaryMetricFamily("latentloop_ask_seconds", "Time to propose a trial.", labels=["campaign"])
        measuring = SummaryMetricFamily("latentloop_measurement_seconds", "Time to measure a trial.", labels=["campaign"])
        seconds = CounterMetricFamily("latentloop_campaign_seconds", "Time spent in sessions.", labels=["campaign"])
        watchers = GaugeMetricFamily("latentloop_watchers", "Open streams of a campaign.", labels=["campaign"])
        for watch in self._watches:
            history, name = watch.history, watch.name
            counts = history.counts()
            for word, n in counts.items():
                trials.add_metric([name, word], n)
            for word in _FAILURES:
                failures.add_metric([name, word], counts.get(word, 0))
            current = watch.state()
            for word in _STATES:
                state.add_metric([name, word], float(word == current))
            budget.add_metric([name], history.budget)
            queue.add_metric([name], counts.get("armed", 0) + counts.get("held", 0))
            incumbent = history.incumbent
            if incumbent is not None and math.isfinite(incumbent.objective):
                best.add_metric([name, history.configuration["objective"]["metric"]], incumbent.objective)
            ask.add_metric([name], count_value=watch.n_asked, sum_value=watch.seconds_asked)
            measuring.add_metric([name], count_value=watch.n_measured, sum_value=watch.seconds_measured)
            seconds.add_metric([name], history.seconds_until(self._now) if watch.is_driven() else history.seconds)
            watchers.add_metric([name], watch.n_watchers)
        yield from (trials, failures, state, budget, queue, best, ask, measuring, seconds, watchers)
        yield GaugeMetricFamily("latentloop_streams", "Open streams of the server.", value=self._n_streams)
