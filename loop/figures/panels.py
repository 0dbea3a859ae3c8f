"""Several panels in one figure: side by side in a wide container, one under the other in a narrow one.

Plotly places axes and colour bars in fractions of the plot. Both arrangements are computed here and kept in ``layout.meta`` as flat
patches, which a page hands to ``Plotly.relayout`` when its width changes; the figure itself starts in the wide one. Every panel has a
heading (an annotation tied to its axes, which moves by itself) and may have a horizontal colour bar between heading and plot.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from .theme import TITLE_HEIGHT, plain

_GAP = 0.095
"""Between two panels side by side, as a fraction of the width: room for the right one's axis title and ticks."""
_HEAD = 72
"""Pixels above a panel for heading, colour bar and its ticks."""
_FOOT = 56
"""Pixels below a panel for ticks and axis title."""
_NARROW_PLOT = 290
"""Height of one panel's plot in pixels where panels are stacked."""
_BESIDE = 80
"""Pixels beside a stacked panel for axis title and ticks."""
_LEAST_WIDTH = 250
"""Pixels that a panel needs in a row; a container with less stacks the panels."""
_NARROWER = 0.92
"""Heading and axes take as many pixels in a narrow container, so a single panel's figure is relatively higher there."""
_TOP = 0.9999
"""Of colour bars, instead of 1: Plotly moves the figure's own title up, out of the figure, when a bar stands on the plot's very top."""
_BAR_ABOVE = 8
"""Pixels between plot and colour bar's ticks."""


@dataclass(frozen=True, slots=True)
class Panel:
    """One panel of a figure."""

    heading: str
    """What it shows, a few words."""
    number: int
    """Which pair of axes: 1 for x and y, 2 for x2 and y2, ..."""
    coloraxis: str = ""
    """Its colour axis, for example ``coloraxis2``; empty without a colour bar."""

    @property
    def suffix(self) -> str:
        """The axes' number as Plotly writes it: empty for the first pair."""
        return "" if self.number == 1 else str(self.number)


def arrange(figure: go.Figure, panels: Sequence[Panel], *, panel_aspect: float = 0.9) -> None:
    """Place panels, headings and colour bars in a figure, and leave both arrangements in its ``layout.meta``.

    Args:
        figure: a figure from :func:`~.theme.new_figure`; changed in place.
        panels: from left to right, or from top to bottom.
        panel_aspect: width over height of one panel with its surroundings in a wide container.
    """
    wide = _side_by_side(panels)
    narrow, height = _stacked(panels)
    for panel in panels:
        s = panel.suffix
        figure.update_layout({f"xaxis{s}": {"anchor": f"y{s}"}, f"yaxis{s}": {"anchor": f"x{s}"}})
        figure.add_annotation(
            text=f"<b>{plain(panel.heading)}</b>",
            x=0.0,
            y=1.0,
            xref=f"x{s} domain",
            yref=f"y{s} domain",
            xanchor="left",
            yanchor="bottom",
            yshift=44 if panel.coloraxis else 4,
            showarrow=False,
        )
        if panel.coloraxis:
            bar = {"orientation": "h", "xanchor": "center", "yanchor": "bottom", "lenmode": "fraction", "ypad": _BAR_ABOVE, "xpad": 0}
            figure.update_layout({panel.coloraxis: {"colorbar": {**bar, "thickness": 10, "nticks": 6}}})
    figure.update_layout({key.replace(".", "_"): value for key, value in wide.items()})
    figure.update_layout(margin_t=TITLE_HEIGHT + (_HEAD if any(panel.coloraxis for panel in panels) else 28))
    meta = dict(figure.layout.meta)
    meta["wide"] = {"aspect": panel_aspect * len(panels), "layout": wide}
    if len(panels) > 1:
        meta["narrow"] = {"height": height, "max_width": _NARROW_PLOT + _BESIDE, "layout": narrow}
        meta["breakpoint"] = _LEAST_WIDTH * len(panels)
    else:
        meta["narrow"] = {"aspect": _NARROWER * panel_aspect, "layout": wide}
    figure.update_layout(meta=meta)


def _side_by_side(panels: Sequence[Panel]) -> dict[str, object]:
    """Return the patch that stands the panels in a row."""
    width = (1.0 - _GAP * (len(panels) - 1)) / len(panels)
    patch: dict[str, object] = {}
    for k, panel in enumerate(panels):
        left = k * (width + _GAP)
        patch |= _place(panel, (left, left + width), (0.0, 1.0))
    return patch


def _stacked(panels: Sequence[Panel]) -> tuple[dict[str, object], int]:
    """Return the patch that stacks the panels, and the height in pixels of the whole figure that it was made for."""
    gap = _HEAD + _FOOT
    plots = _NARROW_PLOT * len(panels) + gap * (len(panels) - 1)
    patch: dict[str, object] = {}
    for k, panel in enumerate(panels):
        top = 1.0 - k * (_NARROW_PLOT + gap) / plots
        patch |= _place(panel, (0.0, 1.0), (max(0.0, top - _NARROW_PLOT / plots), top))
    return patch, plots + gap


def _place(panel: Panel, across: tuple[float, float], upward: tuple[float, float]) -> dict[str, object]:
    """Return the patch for one panel in fractions of the plot."""
    patch: dict[str, object] = {f"xaxis{panel.suffix}.domain": list(across), f"yaxis{panel.suffix}.domain": list(upward)}
    if panel.coloraxis:
        bar = f"{panel.coloraxis}.colorbar"
        patch |= {f"{bar}.x": sum(across) / 2, f"{bar}.y": min(upward[1], _TOP), f"{bar}.len": across[1] - across[0]}
    return patch
