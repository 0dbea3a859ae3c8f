"""A surrogate that cannot serve the acquisition function is refused by the server itself."""

import pytest
from latentloop.client import ServiceError

CHOICES = {"n_initial": 3, "acquisition": "log_nei", "surrogate": "gp_pca"}
SENTENCE = "acquisition 'log_nei' computes with the exact Gaussian process, which the surrogate 'gp_pca' is not"


def test_a_campaign_that_could_not_go_on_is_never_started(server, reduced):
    with server.client() as client, pytest.raises(ServiceError, match=SENTENCE) as refused:
        client.create("exact", configuration={**reduced, "optimizer": CHOICES})
    assert refused.value.status == 422
    assert not (server.root / "exact").exists()
    assert not (server.root / ".latentloop/launches/exact.json").exists()


def test_neither_is_such_a_fork(server):
    with server.client() as client, pytest.raises(ServiceError, match=SENTENCE) as refused:
        client.fork("first", 3, "exact", {"optimizer.acquisition": "log_nei", "optimizer.surrogate": "gp_pca"})
    assert refused.value.status == 422
    assert not (server.root / "exact").exists()
