"""The report: one file that holds everything, safe and readable."""

import json
import math
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from latentloop.loop.figures import (
    ReportContent,
    ReportFigure,
    draw_best_trajectory,
    draw_incumbent_trace,
    draw_latent_space,
    render_figure,
    render_report,
    write_figure,
)
from latentloop.loop.figures.report_page import _embedded, duration, select_rows
from latentloop.loop.records import Incumbent, Trial, TrialState

EVIL = "</script><script>alert('x')</script>&\"<img src=http://evil.example/x>"


def trial(number, objective=np.nan, state=TrialState.COMPLETED, reason=""):
    z = np.array([0.25, -1.5])
    return Trial(number, state, z, "log_ei", 0.0, 0.0, 0.0, 0, 0.0, objective=objective, reason=reason, seconds=0.5)


TRIALS = [trial(0, 1.5), trial(1, 4.25), trial(2, state=TrialState.FAILED, reason=EVIL)]


def content(**changes):
    given = {
        "name": "campaign one",
        "state": "finished",
        "goal": "maximize",
        "trials": TRIALS,
        "incumbent": Incumbent(1, TRIALS[1].z, 4.25),
        "figures": [ReportFigure("By trial", "The objective of each trial.", draw_incumbent_trace(TRIALS))],
        "configuration_yaml": "name: campaign one\n",
        "environment": {"python": "3.11"},
        "objective_name": "curl",
        "budget": 10,
        "seconds": 125.0,
        "written_at": 0.0,
    }
    return ReportContent(**(given | changes))


class Page(HTMLParser):
    """The page's tags, texts outside scripts and styles, and scripts."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.texts, self.scripts, self._open = [], [], [], None
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag in ("script", "style"):
            self._open = (tag, dict(attrs))

    def handle_endtag(self, tag):
        if tag in ("script", "style"):
            self._open = None

    def handle_data(self, data):
        if self._open is None:
            self.texts.append(data)
        elif self._open[0] == "script":
            self.scripts.append((self._open[1], data))

    @property
    def text(self):
        return re.sub(r"\s+", " ", " ".join(self.texts))


def test_the_page_tells_name_state_goal_incumbent_trials_and_time():
    text = Page(render_report(content())).text
    for expected in (
        "campaign one",
        "finished",
        "maximize curl",
        "4.25",
        "trial 1, z = (0.250, -1.500)",
        "of 10",
        "2 min 5 s",
        "1970-01-01 00:00 UTC",
    ):
        assert expected in text
    assert "2 completed, 1 failed." in text


def test_the_page_loads_nothing_from_elsewhere():
    page = Page(render_report(content()))
    for tag, attributes in page.tags:
        for name in ("src", "href", "srcset", "data", "action", "poster"):
            value = attributes.get(name)
            assert value is None or value.startswith("#"), f"<{tag} {name}={value!r}>"
    assert "link" not in {tag for tag, _ in page.tags}
    policy = next(attributes["content"] for tag, attributes in page.tags if attributes.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'")
    assert "unsafe-eval" not in policy
    assert "http" not in policy


def test_plotly_is_in_the_page_once():
    page = render_report(content(figures=[ReportFigure(f"F{k}", "", draw_incumbent_trace(TRIALS)) for k in range(3)]))
    assert page.count("plotly.js v") == 1
    assert page.count('class="plot"') == 3


def test_everything_that_users_wrote_is_escaped():
    figure = draw_incumbent_trace(TRIALS, objective_name=EVIL)
    plain, evil = (
        Page(render_report(content(figures=[ReportFigure("By trial", "x", figure)]))),
        Page(
            render_report(
                content(
                    name=EVIL,
                    state=EVIL,
                    figures=[ReportFigure(EVIL, EVIL, figure), ReportFigure(EVIL, EVIL, None, EVIL)],
                    configuration_yaml=EVIL,
                    environment={EVIL: EVIL},
                    objective_name=EVIL,
                    unit=EVIL,
                    store=EVIL,
                )
            )
        ),
    )
    assert len(evil.scripts) == len(plain.scripts)
    assert not any(tag == "img" for tag, _ in evil.tags)
    assert not any("alert(" in script and attributes.get("type") != "application/json" for attributes, script in evil.scripts)
    assert EVIL in "".join(evil.texts), "it is still readable"


def test_figures_are_in_the_page_as_json_with_all_their_data():
    best = draw_best_trajectory(np.linspace(0, 1, 5), objective_name="</script>", objective=1.0)
    page = Page(render_report(content(figures=[ReportFigure("Best", "The best.", best)])))
    found = [json.loads(script) for attributes, script in page.scripts if attributes.get("id") == "figure-1"]
    assert len(found) == 1
    assert len(found[0]["data"]) == len(best.data)
    assert found[0]["layout"]["meta"] == best.layout.meta
    assert "template" not in found[0]["layout"]
    themes = next(json.loads(script) for attributes, script in page.scripts if attributes.get("id") == "themes")
    assert set(themes) == {"light", "dark"}


def test_json_in_the_page_cannot_end_its_script_element():
    assert "<" not in _embedded(json.dumps({"reason": EVIL}))
    assert json.loads(_embedded(json.dumps({"reason": EVIL}))) == {"reason": EVIL}


def test_figures_have_a_heading_a_sentence_and_words_for_those_who_cannot_see_them():
    page = Page(render_report(content()))
    plot = next(attributes for _, attributes in page.tags if attributes.get("class") == "plot")
    assert plot["role"] == "img"
    assert plot["aria-label"] == "By trial. The objective of each trial."
    assert [tag for tag, _ in page.tags if re.fullmatch("h[1-6]", tag)] == ["h1", "h2", "h3", "h2", "h2", "h2"]


def test_the_table_can_be_sorted_by_keyboard_and_scrolled():
    page = Page(render_report(content()))
    tags = [tag for tag, _ in page.tags]
    assert tags.count("button") == 7
    assert [a["aria-sort"] for t, a in page.tags if t == "th" and "aria-sort" in a] == ["ascending"]
    region = next(a for _, a in page.tags if a.get("aria-label") == "Table of trials")
    assert region["tabindex"] == "0"
    keys = [a["data-key"] for t, a in page.tags if t == "td" and "data-key" in a]
    assert keys == ["0", "1.5", "0.5", "1", "4.25", "0.5", "2", "", "0.5"]
    assert sum(a.get("class") == "best" for t, a in page.tags if t == "tr") == 1


def test_an_empty_campaign_says_so_in_words():
    empty = draw_latent_space([])
    text = Page(
        render_report(
            content(
                trials=[],
                incumbent=None,
                state="running",
                figures=[
                    ReportFigure("Latent space", "What is known.", empty),
                    ReportFigure("Field", "", None, "This evaluator gives no field."),
                ],
                configuration_yaml="",
                environment={},
                seconds=math.nan,
                written_at=math.nan,
                budget=None,
            )
        )
    ).text
    assert "no trial has completed yet" in text
    assert "No trial has completed yet, and there is no training data to show." in text
    assert "This evaluator gives no field." in text
    assert "No trial has been recorded yet." in text
    assert "No configuration was recorded." in text
    assert "No versions were recorded." in text
    assert "Written" not in text
    assert "nan" not in text.lower()


def test_long_tables_keep_the_first_the_last_and_the_best():
    generator = np.random.default_rng(7)
    trials = [trial(k, float(y)) for k, y in enumerate(generator.normal(size=5000))]
    for goal, sign in (("maximize", -1), ("minimize", 1)):
        rows, note = select_rows(trials, goal)
        numbers = [row.number for row in rows]
        assert len(rows) == 2000
        assert numbers == sorted(set(numbers))
        assert numbers[:500] == list(range(500))
        assert numbers[-500:] == list(range(4500, 5000))
        best = sorted(trials, key=lambda item: sign * item.objective)[:200]
        assert {item.number for item in best} <= set(numbers)
        assert "2,000 of 5,000" in note


def test_short_tables_are_complete_and_in_order():
    rows, note = select_rows(list(reversed(TRIALS)), "maximize")
    assert [row.number for row in rows] == [0, 1, 2]
    assert note == ""


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0.5, "0.5 s"),
        (42.0, "42 s"),
        (125.2, "2 min 5 s"),
        (3599.7, "1 h 0 min"),
        (7260.0, "2 h 1 min"),
        (200_000.0, "2 d 7 h"),
        (math.nan, "–"),
    ],
)
def test_durations_are_written_as_people_say_them(seconds, expected):
    assert duration(seconds) == expected


def test_one_figure_alone_makes_a_page(tmp_path):
    path = tmp_path / "map.html"
    write_figure(draw_incumbent_trace(TRIALS), path, title="<ground> truth", explanation="A sentence.")
    page = Page(path.read_text(encoding="utf-8"))
    assert "<ground> truth" in "".join(page.texts)
    assert "A sentence." in page.text
    assert "Configuration" not in page.text
    assert render_figure(draw_incumbent_trace(TRIALS), title="<ground> truth", explanation="A sentence.") == path.read_text(
        encoding="utf-8"
    )
