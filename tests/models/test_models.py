"""The package as a whole."""

import subprocess
import sys

import latentloop.models
import latentloop.models.acquisition
import latentloop.models.latent
import latentloop.models.surrogates
import pytest
import torch
from latentloop.models import ModelError, ParameterError
from latentloop.models.threads import set_threads
from threadpoolctl import threadpool_info

PACKAGES = [latentloop.models, latentloop.models.acquisition, latentloop.models.latent, latentloop.models.surrogates]


def test_importing_the_packages_loads_no_heavy_library():
    names = ", ".join(package.__name__ for package in PACKAGES)
    heavy = "{'torch', 'sklearn', 'scipy', 'botorch', 'gpytorch'}"
    code = f"import sys, {names}; sys.exit(', '.join({heavy} & set(sys.modules)) or 0)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_surrogates_and_acquisition_functions_work_without_torch():
    code = (
        "import sys, numpy as np\n"
        "from latentloop.models.acquisition import Box, LogEI, Observed\n"
        "from latentloop.models.surrogates import GaussianProcess\n"
        "x = np.random.default_rng(0).random((5, 2))\n"
        "gp = GaussianProcess([[0, 1], [0, 1]]); gp.fit(x, x[:, 0])\n"
        "LogEI().propose(gp, Box([[0, 1], [0, 1]]), observed=Observed(x, x[:, 0]), generator=np.random.default_rng(0))\n"
        "sys.exit('torch' in sys.modules)\n"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.__name__)
def test_every_public_name_can_be_loaded(package):
    for name in package.__all__:
        assert getattr(package, name) is not None
        assert name in dir(package)
    with pytest.raises(AttributeError, match="nonsense"):
        _ = package.nonsense


def test_every_error_of_the_package_is_a_model_error_and_a_value_error():
    for name in latentloop.models.__all__:
        assert issubclass(getattr(latentloop.models, name), ModelError)
    assert issubclass(ModelError, ValueError)


def test_threads_are_set_everywhere():
    set_threads(1)
    assert torch.get_num_threads() == 1
    assert {pool["num_threads"] for pool in threadpool_info()} == {1}
    with pytest.raises(ParameterError, match="at least 1"):
        set_threads(0)
