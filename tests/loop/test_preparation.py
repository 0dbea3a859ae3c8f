"""What is said about a configuration before anything takes long."""

import pytest
from latentloop.loop.config import load_config
from latentloop.loop.preparation import budget_warning


@pytest.mark.parametrize(
    ("overrides", "n_initial"),
    [
        (["budget.trials=6", "optimizer.n_initial=null"], 6),
        (["budget.trials=7", "optimizer.n_initial=null"], 0),
        (["budget.trials=7", "optimizer.n_initial=10"], 10),
        (["budget.trials=7", "optimizer.n_initial=10", "prior=earlier"], 0),
    ],
)
def test_a_budget_that_leaves_the_optimizer_nothing_is_warned_of(overrides, n_initial):
    said = budget_warning(load_config("quick", overrides), 2)
    assert (f"(optimizer.n_initial: {n_initial})" in said) == (n_initial > 0)
