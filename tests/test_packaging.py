"""The package as others get it: a wheel that installs and runs elsewhere."""

import subprocess
import sys
import sysconfig
import tomllib
import venv
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
OLDEST_BUILDER = 77  # of setuptools, as pyproject.toml asks for
NO_PACKAGES = {"tests", "deploy", "docs", "build", "dist", "campaigns"}


def project():
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def test_the_listed_packages_are_those_on_disk():
    found = {"latentloop"}
    for path in ROOT.glob("**/__init__.py"):
        parts = path.parent.relative_to(ROOT).parts
        if parts and parts[0] not in NO_PACKAGES and not parts[0].startswith("."):
            found.add(".".join(("latentloop", *parts)))
    assert set(project()["tool"]["setuptools"]["packages"]) == found


def test_every_module_lies_in_a_package():
    for path in ROOT.glob("**/*.py"):
        parts = path.relative_to(ROOT).parts
        if len(parts) > 1 and parts[0] not in NO_PACKAGES and not parts[0].startswith("."):
            assert (path.parent / "__init__.py").exists(), path


def test_the_import_is_light_and_every_public_name_is_there():
    code = (
        "import sys, latentloop\n"
        "heavy = {'torch', 'ray', 'zarr', 'numba', 'plotly', 'botorch', 'pydantic', 'numpy'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
        "assert set(latentloop.__all__) <= set(dir(latentloop))\n"
        "for name in latentloop.__all__:\n"
        "    assert getattr(latentloop, name) is not None, name\n"
        "try:\n"
        "    latentloop.banana\n"
        "except AttributeError as error:\n"
        "    assert 'banana' in str(error)\n"
        "else:\n"
        "    raise SystemExit('banana')\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd="/")


@pytest.mark.parametrize("package", ["simulators", "models", "loop"])
def test_a_package_by_itself_loads_neither_torch_nor_ray(package):
    code = f"import sys, latentloop.{package}; assert not {{'torch', 'ray', 'zarr'}} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd="/")


def test_the_version_is_said_once():
    code = "import latentloop; print(latentloop.__version__)"
    said = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd="/").stdout.strip()
    assert said == project()["project"]["version"]


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """Build the wheel from what is on disk, install it into an empty environment and return that environment's programs.

    The dependencies come from here by a path file: fetching them again would test the network.
    """
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    source.mkdir()
    for path in ROOT.iterdir():  # a copy by links: the build must not write into the working tree
        if path.name not in {"build", "dist", "campaigns", "latentloop.egg-info"} and not path.name.startswith("."):
            (source / path.name).symlink_to(path)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    # With a recent setuptools here, the build needs no network.
    has_builder = find_spec("setuptools") is not None and int(version("setuptools").split(".")[0]) >= OLDEST_BUILDER
    isolation = ["--no-build-isolation"] if has_builder else []
    subprocess.run([*pip, "wheel", "--quiet", "--no-deps", *isolation, "--wheel-dir", folder, source], check=True)
    (wheel,) = folder.glob("*.whl")
    venv.create(folder / "venv", with_pip=False, symlinks=True)
    python = folder / "venv/bin/python"
    subprocess.run([*pip, "--python", python, "install", "--quiet", "--no-deps", wheel], check=True)
    (site,) = (folder / "venv/lib").glob("python*/site-packages")
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    elsewhere = folder / "elsewhere"
    elsewhere.mkdir()
    return python.parent, elsewhere


def test_the_wheel_installs_and_runs_from_another_folder(installed):
    programs, elsewhere = installed

    def run(*arguments):
        done = subprocess.run(arguments, capture_output=True, text=True, cwd=elsewhere, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    place = run(programs / "python", "-c", "import latentloop; print(latentloop.__file__)").strip()
    assert Path(place).is_relative_to(programs.parent)
    assert "ground-truth" in run(programs / "latentloop", "--help")
    listed = run(programs / "latentloop", "presets")
    assert "quick" in listed
    assert "ferrosim-curl" in listed
    code = (
        "from latentloop.simulators.ferrosim import FerroSimParameters; import latentloop.loop.figures as figures\n"
        "from pathlib import Path\n"
        "assert len(FerroSimParameters.published().times) == 950\n"
        "assert list(Path(figures.__file__).parent.glob('*.j2'))\n"
        "assert (Path(figures.__file__).parents[2] / 'py.typed').exists()\n"
    )
    run(programs / "python", "-c", code)
