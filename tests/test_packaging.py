"""The package as others install it."""

import subprocess
import sys
import tomllib
import venv
import zipfile
from pathlib import Path

import latentloop
import pytest

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def test_the_listed_packages_are_the_folders_on_disk() -> None:
    listed = set(PROJECT["tool"]["setuptools"]["packages"])
    found = {"latentloop"}
    for room in ("simulators", "models", "loop"):
        for file in (ROOT / room).rglob("*.py"):
            assert (file.parent / "__init__.py").exists(), f"{file.parent} has no __init__.py"
            found.add(".".join(["latentloop", *file.parent.relative_to(ROOT).parts]))
    assert listed == found


def test_importing_the_package_is_light() -> None:
    code = "import sys, latentloop; print([name for name in ('torch', 'ray', 'zarr', 'numba', 'numpy') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_public_name_is_there() -> None:
    for name in latentloop.__all__:
        assert getattr(latentloop, name) is not None
    with pytest.raises(AttributeError, match="nonsense"):
        latentloop.nonsense  # noqa: B018


@pytest.mark.slow
def test_the_wheel_installs_into_an_empty_environment_and_runs_there(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "build", "--wheel", "--outdir", tmp_path, ROOT], check=True, capture_output=True, text=True)
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert not [name for name in names if "/tests/" in name or ".venv" in name]
    for needed in ("presets/quick.yaml", "figures/report.html.j2", "ferrosim/data/", "py.typed"):
        assert any(needed in name for name in names), f"the wheel lacks {needed}"
    venv.create(tmp_path / "empty", with_pip=False)
    site = next((tmp_path / "empty" / "lib").glob("python*")) / "site-packages"
    # Its dependencies are those of this environment, found through a path file; the package itself comes from the wheel alone.
    dependencies = next(Path(path) for path in sys.path if path.endswith("site-packages"))
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-index", "--target", site, wheel],
        check=True,
    )
    (site / "dependencies.pth").write_text(f"{dependencies}\n", encoding="utf-8")
    python = tmp_path / "empty" / "bin" / "python"
    code = "import sys; from latentloop.loop.cli import main; sys.argv = ['latentloop', *sys.argv[1:]]; main()"
    for arguments, expected in ((["--help"], "ground-truth"), (["presets"], "ferrosim-curl"), (["init", "quick"], "trajectories:")):
        done = subprocess.run([python, "-P", "-c", code, *arguments], capture_output=True, text=True, cwd=tmp_path, check=False)
        assert done.returncode == 0, done.stderr
        assert expected in done.stdout
    where = subprocess.run([python, "-P", "-c", "import latentloop; print(latentloop.__file__)"], capture_output=True, text=True, check=True)
    assert str(site) in where.stdout
