"""One visual language for all figures: colours, fonts, axes, and the templates for light and dark pages.

A figure is born in a *neutral* template: transparent background, text and axes in a grey of middle contrast that can be read on
white and on near-black alike. A page that knows which of the two it is applies the light or the dark template on top
(:func:`apply_theme`, or ``Plotly.relayout(figure, {template: ...})`` in a browser). So colours of text, axes and grid stand in
templates only, and traces use colours that can be told apart on both and by colour-blind people.

``layout.meta`` tells a page how a figure wants to be shaped (see :func:`new_figure`): a figure of several panels stands them side by
side in a wide container and one under the other in a narrow one.

Source: M. Okabe, K. Ito, Color Universal Design, 2008, https://jfly.uni-koeln.de/color/; perceptually uniform scales: S. van der Walt,
N. Smith, Matplotlib's viridis and magma, 2015, https://bids.github.io/colormap/.
"""

import html
from functools import cache
from typing import Literal

import plotly.graph_objects as go

Theme = Literal["neutral", "light", "dark"]

BLUE = "#3a86c8"
VERMILION = "#e4572e"
GREEN = "#1b9e77"
PURPLE = "#b06ab3"
AMBER = "#d99a1c"
GREY = "#8a909b"
COLORWAY = (BLUE, VERMILION, GREEN, PURPLE, AMBER, GREY)
"""Lines and points, after Okabe and Ito, moved to a lightness that stands on white and on near-black."""

INCUMBENT = VERMILION
"""The best completed trial has this colour in every figure."""
INK = "#151b23"
"""For marks on top of a heat map, whose colours do not follow the page."""
UNCERTAINTY_SCALE = "Magma"
DIVERGING_SCALE = [[0.0, "#2f6fb3"], [0.25, "#8db7de"], [0.5, "#f5f4f0"], [0.75, "#eeb07c"], [1.0, "#c9622a"]]
"""Blue below zero, orange above: told apart with every kind of colour blindness, and light enough for dark marks on top."""
DISTANCE_SCALE = [[0.0, "rgba(128,134,145,0)"], [1.0, "rgba(128,134,145,0.55)"]]
"""From the page's own background to grey."""

FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
FONT_SIZE = 13
TITLE_HEIGHT = 44
"""Pixels above the plot that a title takes; a page that writes its own headings removes both."""
_BUTTONS = 28
"""Pixels above the plot that Plotly's buttons take."""
NARROW = 480
"""Containers below this width in pixels get the narrow arrangement."""

_INKS: dict[Theme, tuple[str, str]] = {
    "neutral": ("#7c828e", "rgba(128,134,145,0.22)"),
    "light": ("#2b323b", "rgba(43,50,59,0.12)"),
    "dark": ("#d7dce3", "rgba(215,220,227,0.14)"),
}
"""Text and axes, grid. Neutral has a contrast of about four to one on white and on #14181d."""


def value_scale(*, is_bright_low: bool = False) -> str:
    """Return the colour scale of objective values: bright is better, so it is reversed where low values are wanted."""
    return "Viridis_r" if is_bright_low else "Viridis"


def plain(text: str) -> str:
    """Return a user's text so that Plotly shows it as it is (Plotly reads a few HTML tags in titles, legends and hover texts)."""
    return html.escape(text, quote=False)


def axis_title(quantity: str, unit: str = "") -> str:
    """Return the title of an axis, with the unit in parentheses where there is one."""
    return plain(f"{quantity} ({unit})" if unit else quantity)


@cache
def template(theme: Theme) -> go.layout.Template:
    """Return the template of a theme: everything of a figure that depends on the page and nothing else."""
    ink, grid = _INKS[theme]
    axis = {
        "gridcolor": grid,
        "zerolinecolor": grid,
        "zeroline": False,
        "linecolor": ink,
        "showline": True,
        "ticks": "outside",
        "ticklen": 4,
        "tickcolor": ink,
        "title": {"standoff": 8},
        "automargin": True,
    }
    colorbar = {"outlinewidth": 0, "ticks": "outside", "ticklen": 3, "tickcolor": ink, "thickness": 10}
    layout = go.Layout(
        font={"family": FONT, "size": FONT_SIZE, "color": ink},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        colorway=COLORWAY,
        xaxis=axis,
        yaxis=axis,
        coloraxis={"colorbar": colorbar},
        title={
            "x": 0.0,
            "xref": "container",
            "xanchor": "left",
            # Not at 1 with a padding: Plotly 4.1 forgets the padding at its second draw and pushes the title out of the figure.
            "y": 0.975,
            "yanchor": "top",
            "pad": {"l": 12},
            "font": {"size": 16},
        },
        legend={
            "orientation": "h",
            "x": 0.0,
            "xanchor": "left",
            "y": 0.0,
            "yref": "container",
            "yanchor": "bottom",
            "bgcolor": "rgba(0,0,0,0)",
        },
        hoverlabel={"bgcolor": "#20262e", "bordercolor": "#20262e", "font": {"color": "#f2f4f7", "family": FONT}},
        modebar={"bgcolor": "rgba(0,0,0,0)", "color": GREY, "activecolor": BLUE},
        hovermode="closest",
        annotationdefaults={"font": {"color": ink}, "arrowcolor": ink},
    )
    return go.layout.Template(layout=layout)


def new_figure(
    title: str,
    *,
    aspect: float = 1.6,
    narrow_aspect: float = 0.88,
    height: int = 440,
    is_square: bool = False,
    is_full_width: bool = False,
) -> go.Figure:
    """Return an empty figure in the neutral template.

    Args:
        title: what the figure shows, a few words; markup in it is escaped.
        aspect: width over height in a wide container, for pages that size the figure; kept in ``layout.meta``.
        narrow_aspect: the same in a container narrower than :data:`NARROW` pixels.
        height: height in pixels where no page sizes the figure (a notebook).
        is_square: its panels keep equal scales on both axes, so more width than ``aspect`` times the height would stay empty.
        is_full_width: it has several panels and wants the whole row of a page.
    """
    meta = {
        "wide": {"aspect": aspect, "layout": {}},
        "narrow": {"aspect": narrow_aspect, "layout": {}},
        "breakpoint": NARROW,
        "is_square": is_square,
        "is_full_width": is_full_width,
    }
    figure = go.Figure(layout={"template": template("neutral"), "height": height, "meta": meta})
    figure.update_layout(title_text=plain(title), margin={"l": 12, "r": 16, "t": _BUTTONS + TITLE_HEIGHT, "b": 12})
    return figure


def without_title(figure: go.Figure) -> go.Figure:
    """Return a copy without its title and the room above the plot that the title took."""
    copy = go.Figure(figure)
    if copy.layout.title.text:
        copy.layout.title.text = None
        copy.layout.margin.t = max(_BUTTONS, (copy.layout.margin.t or 0) - TITLE_HEIGHT)
    return copy


def apply_theme(figure: go.Figure, *, dark: bool) -> go.Figure:
    """Return a copy of a figure in the template of a light or a dark page."""
    copy = go.Figure(figure)
    copy.update_layout(template=template("dark" if dark else "light"))
    return copy


def add_legend_entry(figure: go.Figure, name: str, colour: str, legendgroup: str) -> None:
    """Add a legend entry for points that are too small, or too many-coloured, to stand for themselves there."""
    marker = {"color": colour, "size": 8}
    figure.add_scatter(x=[None], y=[None], mode="markers", name=name, marker=marker, legendgroup=legendgroup, hoverinfo="skip")


def say(figure: go.Figure, sentence: str) -> go.Figure:
    """Write a sentence into the middle of a figure that has nothing to show, and hide its axes; returns the figure.

    The sentence also stands in ``layout.meta["says"]``, for pages that would rather write it than draw an empty plot.
    """
    figure.update_layout(meta={**figure.layout.meta, "says": sentence})
    figure.add_annotation(text=plain(sentence), x=0.5, y=0.5, xref="paper", yref="paper", showarrow=False, font={"size": 15})
    figure.update_xaxes(visible=False)
    figure.update_yaxes(visible=False)
    return figure
