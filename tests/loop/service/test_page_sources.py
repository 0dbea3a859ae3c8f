"""What the page's sources keep, without a browser."""

import re
import shutil
import subprocess
from importlib.resources import files

import pytest
from latentloop.loop.figures import theme

STATIC = files("latentloop.loop.service") / "static"
SOURCES = {entry.name: entry.read_text(encoding="utf-8") for entry in STATIC.iterdir() if entry.name.endswith((".js", ".css", ".html"))}
MODULES = {name: text for name, text in SOURCES.items() if name.endswith(".js")}


def test_there_is_a_page_with_modules_and_styles():
    assert {"index.html", "app.js", "base.css", "layout.css"} <= set(SOURCES)


@pytest.mark.parametrize("name", sorted(MODULES))
def test_data_never_become_markup_or_code(name):
    forbidden = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|DOMParser|createContextualFragment|srcdoc"
    assert not re.search(forbidden, MODULES[name])


@pytest.mark.parametrize("name", sorted(MODULES))
def test_a_module_is_one_noun_with_a_few_words_about_it(name):
    assert MODULES[name].startswith("// ")
    assert len(MODULES[name].splitlines()) <= 350


@pytest.mark.parametrize("name", sorted(SOURCES))
def test_nothing_is_loaded_from_elsewhere(name):
    addresses = re.findall(r"https?://[^\s\"')]+", SOURCES[name])
    assert set(addresses) <= {"http://www.w3.org/2000/svg"}


def test_the_page_holds_no_inline_script_or_style():
    page = SOURCES["index.html"]
    assert not re.findall(r"<script(?![^>]*\bsrc=)", page)
    assert "<style" not in page
    assert not re.search(r"\son\w+=|\sstyle=", page)


@pytest.mark.parametrize("name", ["blue", "vermilion", "green", "purple", "amber", "grey"])
def test_lines_have_the_colours_of_the_figures(name):
    assert f"--{name}: {getattr(theme, name.upper())};" in SOURCES["base.css"]


@pytest.mark.parametrize("name", sorted(MODULES))
def test_every_import_names_a_module_and_what_it_exports(name):
    for names, module in re.findall(r"import \{([^}]+)\} from \"\./([^\"]+)\"", MODULES[name]):
        for one in names.split(","):
            assert re.search(rf"export (?:async )?(?:function|class|const) {one.strip()}\b", MODULES[module]), f"{one} from {module}"


@pytest.mark.skipif(shutil.which("node") is None, reason="no node here to parse the modules with")
@pytest.mark.parametrize("name", sorted(MODULES))
def test_every_module_can_be_parsed(name):
    done = subprocess.run(
        ["node", "--check", "--input-type=module", "-"], input=MODULES[name], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
