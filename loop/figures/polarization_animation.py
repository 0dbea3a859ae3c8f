"""The polarization of a lattice over time: arrows over the curl, one frame after the other, with the field underneath.

Axes and signs are those of :mod:`.polarization`: i to the right, j upwards. Lengths of arrows and colours of the curl keep one scale over
all frames, so that frames can be compared. A figure shows in a notebook with Plotly's own buttons; the page has a player that a keyboard
can use. Frames are thinned until the page stays below `MAX_BYTES`.
"""

import base64
import json
from collections.abc import Sequence
from pathlib import Path

import jinja2
import numpy as np
import numpy.typing as npt
import plotly.graph_objects as go
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from ...simulators.ferrosim.observables import curl_map
from ..records import FloatArray
from .theme import AMBER, BLUE, DIVERGING_SCALE, GREY, INCUMBENT, INK, axis_title, new_figure, plain, say, template, without_title
from .thinning import thinned_rows

MAX_BYTES = 8_000_000
"""Frames of one figure, as they stand in the page; Plotly's bundle comes on top."""
_MAX_ARROWS = 40
"""Arrows and cells along one axis; larger lattices show the mean of blocks of sites."""
_MAX_POINTS = 1000
_LENGTH = 0.95
"""Length of an arrow that is longer than nine tenths of all, in units of the distance between two arrows; no arrow is longer than ..."""
_MOST_LENGTH = 1.7
_STRONG = 0.9
_HEAD, _HALF_WIDTH = 0.36, 0.16
"""An arrow's head, in units of its length."""
_CLIP = 0.995
"""Share of the curls that the colours span: a few extreme ones must not make all others pale."""
_LATTICE, _FIELD = (0.31, 1.0), (0.0, 0.19)
"""Heights of the two panels, as fractions of the plot."""
_FRAME_MS = 60
_PLAYER = "polarization_animation.html.j2"


def draw_polarization_animation(
    frames: FloatArray,
    frame_times: FloatArray,
    times: FloatArray,
    field: FloatArray,
    *,
    title: str = "Polarization over time",
    field_unit: str = "Ec",
    time_unit: str = "a.u.",
    max_bytes: int = MAX_BYTES,
) -> go.Figure:
    """Draw an animation of the polarization with the field underneath.

    Args:
        frames: polarization of every site (F, n, n, 2).
        frame_times: time of each frame (F,), ascending.
        times: time points of the field (T,).
        field: applied field, x and y (T, 2); a component that is zero throughout is left out.
        title: what is shown.
        field_unit: unit of the field.
        time_unit: unit of the time.
        max_bytes: largest size of all frames together; frames are left out evenly to stay below it.

    Raises:
        ValueError: if a shape does not fit, or a value is not finite.
    """
    if frames.ndim != 4 or frames.shape[3] != 2 or frame_times.shape != frames.shape[:1] or field.shape != (times.size, 2):
        raise ValueError(
            f"frames {frames.shape}, frame_times {frame_times.shape}, times {times.shape} and field {field.shape} do not fit; "
            "give (F, n, n, 2), (F,), (T,) and (T, 2)"
        )
    if not (np.isfinite(frames).all() and np.isfinite(field).all()):
        raise ValueError("frames and field must be finite")
    figure = new_figure(title, aspect=0.78, narrow_aspect=0.66, height=720, is_square=True)
    if not len(frames):
        return say(figure, "no frame has been recorded")
    where, pitch = _places(frames.shape[1])
    kept = thinned_rows(len(frames), max(2, max_bytes // frame_bytes(frames.shape[1])))
    arrows, curls = _blocks(frames[kept], pitch), _blocks(curl_map(frames[kept])[..., None], pitch)[..., 0]
    scale = _arrow_scale(arrows, pitch)
    limit = float(np.quantile(np.abs(curls), _CLIP)) or 1.0
    drawn = [_frame(where, arrow, cells, scale, time) for arrow, cells, time in zip(arrows, curls, frame_times[kept], strict=True)]
    _add_lattice(figure, drawn[0], frames.shape[1], where, limit, field_unit, time_unit)
    cursor = _add_field(figure, times, field, float(frame_times[0]))
    spans = _span(field)
    figure.frames = [
        go.Frame(
            name=str(k),
            data=[
                {"type": "heatmap", "z": _rounded(cells, limit)},
                {"type": "scatter", "x": line[:, 0], "y": line[:, 1]},
                {"type": "scatter", "x": [time, time], "y": spans},
            ],
            traces=[0, 1, cursor],
        )
        for k, (cells, line, time) in enumerate(drawn)
    ]
    _add_controls(figure, [time for _, _, time in drawn], time_unit)
    return figure


def frame_bytes(lattice_size: int) -> int:
    """Return about how many bytes one frame takes in a page."""
    n_arrows = len(_places(lattice_size)[0])
    return 400 + n_arrows * 4 * (1 + 2 * 6) * 4 // 3  # float32: a cell, and six corners of an arrow; base64 takes a third more


def render_polarization_animation(figure: go.Figure, *, title: str, explanation: str = "", time_unit: str = "a.u.") -> str:
    """Return an animation as a self-contained HTML page: play button, slider, speed, and keys.

    Args:
        figure: from :func:`draw_polarization_animation`.
        title: heading of the page.
        explanation: one sentence underneath.
        time_unit: unit of the time.
    """
    meta = dict(figure.layout.meta)
    bare = without_title(figure)
    bare.layout.template = None
    bare.layout.updatemenus, bare.layout.sliders = (), ()
    bare.layout.margin.b = 12
    bare.frames = ()
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True
    )
    frames = [[_packed(frame.data[0].z), _packed(frame.data[1].x), _packed(frame.data[1].y)] for frame in figure.frames]
    return environment.get_template(_PLAYER).render(
        title=title,
        explanation=explanation,
        says=str(meta.get("says", "")),
        time_unit=time_unit,
        figure=_embedded(bare.to_json(validate=False)),
        frames=_embedded(json.dumps({"times": [float(frame.data[2].x[0]) for frame in figure.frames], "data": frames, "ms": _FRAME_MS})),
        n_frames=len(frames),
        themes=_embedded(json.dumps({name: template(name).to_plotly_json() for name in ("light", "dark")})),
        plotly=Markup(get_plotlyjs().replace("</script", "<\\/script")),
    )


def _embedded(text: str) -> Markup:
    """Return JSON for a script element: no ``<`` remains that could end the element."""
    return Markup(text.replace("<", "\\u003c"))


def _packed(values: npt.ArrayLike) -> str:
    return base64.b64encode(np.ascontiguousarray(values, dtype="<f4").tobytes()).decode("ascii")


def _rounded(cells: npt.NDArray[np.float32], limit: float) -> list[list[float]]:
    """Return cells as lists of numbers of few digits: in frames Plotly decodes packed lines but no packed maps."""
    digits = 3 - int(np.floor(np.log10(limit)))
    rounded: list[list[float]] = np.round(cells.astype(np.float64), digits).tolist()
    return rounded


def _places(n: int) -> tuple[FloatArray, int]:
    """Return the arrows' places (k, 2), i before j, and the distance between two in sites."""
    pitch = max(1, -(-n // _MAX_ARROWS))
    starts = np.arange(0, n, pitch)
    centres = starts + 0.5 * (np.minimum(pitch, n - starts) - 1)
    return np.stack(np.meshgrid(centres, centres, indexing="ij"), axis=-1).reshape(-1, 2), pitch


def _blocks(values: FloatArray, pitch: int) -> FloatArray:
    """Return means over blocks of sites: (F, n, n, c) to (F, m * m, c)."""
    starts = np.arange(0, values.shape[1], pitch)
    count = np.minimum(pitch, values.shape[1] - starts).astype(np.float64)
    total = np.add.reduceat(np.add.reduceat(values, starts, axis=1), starts, axis=2)
    mean = total / (count[:, None, None] * count[None, :, None])
    return np.asarray(mean.reshape(len(values), -1, values.shape[3]))


def _arrow_scale(arrows: FloatArray, pitch: int) -> float:
    """Return what a polarization is multiplied by to become a length in sites."""
    length = np.linalg.norm(arrows, axis=-1)
    longest = float(length.max())
    if longest == 0.0:
        return 0.0
    return pitch * min(_LENGTH / max(float(np.quantile(length, _STRONG)), 1e-9 * longest), _MOST_LENGTH / longest)


def _frame(
    where: FloatArray, arrows: FloatArray, cells: FloatArray, scale: float, time: float
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32], float]:
    """Return the curl map (m, m), rows upwards, the arrows as one broken line (6 k, 2), and the time."""
    along = scale * arrows
    tail, tip = where - 0.5 * along, where + 0.5 * along
    sideways = _HALF_WIDTH * np.stack([-along[:, 1], along[:, 0]], axis=1)
    foot = tip - _HEAD * along
    line = np.stack([tail, tip, foot + sideways, foot - sideways, tip, np.full_like(tip, np.nan)], axis=1).reshape(-1, 2)
    m = round(float(np.sqrt(len(where))))
    return cells.reshape(m, m).T.astype(np.float32), line.astype(np.float32), float(time)


def _span(field: FloatArray) -> list[float]:
    low, high = min(0.0, float(field.min())), max(0.0, float(field.max()))
    margin = 0.06 * (high - low) or 1.0
    return [low - margin, high + margin]


def _add_lattice(
    figure: go.Figure,
    first: tuple[npt.NDArray[np.float32], npt.NDArray[np.float32], float],
    n: int,
    where: FloatArray,
    limit: float,
    field_unit: str,
    time_unit: str,
) -> None:
    cells, line, _ = first
    centres = np.unique(where[:, 0])
    figure.add_heatmap(
        x=centres,
        y=centres,
        z=cells,
        coloraxis="coloraxis",
        name="curl",
        hovertemplate="site (%{x:.3g}, %{y:.3g})<br>curl %{z:.4g}<extra></extra>",
    )
    figure.add_scatter(
        x=line[:, 0], y=line[:, 1], mode="lines", line={"color": INK, "width": 1.3}, showlegend=False, name="polarization", hoverinfo="skip"
    )
    bar = {
        "orientation": "h",
        "x": 0.5,
        "xanchor": "center",
        "y": 0.9999,  # not 1, see panels.arrange
        "yanchor": "bottom",
        "len": 0.6,
        "lenmode": "fraction",
        "thickness": 10,
        "ypad": 8,
        "nticks": 5,
        "title": {"text": "curl", "side": "top"},
    }
    figure.update_layout(
        coloraxis={"colorscale": DIVERGING_SCALE, "cmin": -limit, "cmax": limit, "colorbar": bar},
        xaxis={
            "title": {"text": "site i, along x"},
            "range": [-0.5, n - 0.5],
            "showgrid": False,
            "constrain": "domain",
            "anchor": "y",
        },
        yaxis={
            "title": {"text": "site j, along y"},
            "range": [-0.5, n - 0.5],
            "showgrid": False,
            "constrain": "domain",
            "constraintoward": "top",
            "scaleanchor": "x",
            "domain": list(_LATTICE),
            "anchor": "x",
        },
        xaxis2={"title": {"text": axis_title("time", time_unit)}, "anchor": "y2"},
        yaxis2={"title": {"text": axis_title("field", field_unit)}, "domain": list(_FIELD), "anchor": "x2", "nticks": 5, "zeroline": True},
        margin={"t": 112},
        showlegend=False,
    )


def _add_field(figure: go.Figure, times: FloatArray, field: FloatArray, now: float) -> int:
    """Draw the field and the line that says where the animation stands; returns the latter's number."""
    rows = thinned_rows(times.size, _MAX_POINTS)
    is_applied = np.abs(field).max(axis=0) > 0.0
    for column, colour in ((0, BLUE), (1, AMBER)):
        if not is_applied[column] and (column == 1 or is_applied[1]):
            continue
        figure.add_scatter(
            x=times[rows],
            y=field[rows, column],
            mode="lines",
            line={"color": colour, "width": 1.8},
            name=f"field along {'xy'[column]}",
            xaxis="x2",
            yaxis="y2",
            hovertemplate="t %{x:.4g}<br>%{y:.4g}<extra></extra>",
        )
    figure.add_scatter(
        x=[now, now],
        y=_span(field),
        mode="lines",
        line={"color": INCUMBENT, "width": 2},
        name="now",
        xaxis="x2",
        yaxis="y2",
        hoverinfo="skip",
    )
    figure.update_layout(xaxis2_range=[float(times[0]), float(times[-1])], yaxis2_range=_span(field), showlegend=bool(is_applied.all()))
    return len(figure.data) - 1


def _add_controls(figure: go.Figure, times: Sequence[float], time_unit: str) -> None:
    """Add Plotly's own button and slider, for notebooks."""
    at_once = {"mode": "immediate", "frame": {"duration": 0, "redraw": True}, "transition": {"duration": 0}}
    playing = {"fromcurrent": True, "mode": "immediate", "frame": {"duration": _FRAME_MS, "redraw": True}, "transition": {"duration": 0}}
    buttons = [
        {"label": "play", "method": "animate", "args": [None, playing]},
        {"label": "stop", "method": "animate", "args": [[None], at_once]},
    ]
    steps = [{"label": f"{time:.3g}", "method": "animate", "args": [[str(k)], at_once]} for k, time in enumerate(times)]
    place = {"type": "buttons", "direction": "left", "showactive": False, "x": 0, "xanchor": "left", "y": -0.1, "yanchor": "top"}
    current = {"prefix": "t = ", "suffix": f" {plain(time_unit)}", "font": {"color": GREY}}
    figure.update_layout(
        updatemenus=[{**place, "pad": {"t": 30}, "buttons": buttons}],
        sliders=[{"steps": steps, "x": 0.22, "len": 0.78, "y": -0.1, "yanchor": "top", "pad": {"t": 20}, "currentvalue": current}],
    )
    figure.update_layout(margin_b=130)
