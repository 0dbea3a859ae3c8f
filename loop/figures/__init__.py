"""Plotly figures of a campaign and the report page that shows them.

Every figure is one public function in a file of its own: plain arrays, numbers and records in, a ``plotly.graph_objects.Figure``
out. Notebook, report and live page all show the same figures. None of them draws with WebGL, so that a strict content policy (no
``unsafe-eval``) can stand; large point sets are thinned instead. The names below are imported on first use: importing this package
loads no Plotly.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .acquisition_surface import draw_acquisition_surface
    from .best_trajectory import draw_best_trajectory
    from .calibration import draw_calibration
    from .convergence import draw_convergence
    from .curl_decay import draw_curl_decay
    from .drift import draw_drift
    from .eigenvalues import draw_eigenvalues
    from .hysteresis_loop import draw_hysteresis_loop
    from .incumbent_trace import draw_incumbent_trace
    from .latent_grid import draw_latent_grid
    from .latent_map import LatentLayers, draw_latent_map
    from .latent_space import SurrogateGrid, draw_latent_space
    from .length_scales import draw_length_scales
    from .objective_comparison import draw_objective_comparison
    from .objective_map import draw_objective_map
    from .parameter_map import ExploredPoints, draw_parameter_map
    from .polarization import draw_polarization
    from .polarization_animation import draw_polarization_animation, render_polarization_animation
    from .report_page import ReportContent, ReportFigure, render_figure, render_report, write_figure
    from .theme import apply_theme
    from .training_curve import draw_training_curve


_HOMES = {
    "LatentLayers": ".latent_map",
    "ExploredPoints": ".parameter_map",
    "ReportContent": ".report_page",
    "ReportFigure": ".report_page",
    "SurrogateGrid": ".latent_space",
    "apply_theme": ".theme",
    "draw_acquisition_surface": ".acquisition_surface",
    "draw_best_trajectory": ".best_trajectory",
    "draw_calibration": ".calibration",
    "draw_convergence": ".convergence",
    "draw_curl_decay": ".curl_decay",
    "draw_drift": ".drift",
    "draw_eigenvalues": ".eigenvalues",
    "draw_hysteresis_loop": ".hysteresis_loop",
    "draw_incumbent_trace": ".incumbent_trace",
    "draw_latent_grid": ".latent_grid",
    "draw_latent_map": ".latent_map",
    "draw_latent_space": ".latent_space",
    "draw_length_scales": ".length_scales",
    "draw_objective_comparison": ".objective_comparison",
    "draw_objective_map": ".objective_map",
    "draw_parameter_map": ".parameter_map",
    "draw_polarization": ".polarization",
    "draw_polarization_animation": ".polarization_animation",
    "draw_training_curve": ".training_curve",
    "render_figure": ".report_page",
    "render_polarization_animation": ".polarization_animation",
    "render_report": ".report_page",
    "write_figure": ".report_page",
}

__all__ = [
    "ExploredPoints",
    "LatentLayers",
    "ReportContent",
    "ReportFigure",
    "SurrogateGrid",
    "apply_theme",
    "draw_acquisition_surface",
    "draw_best_trajectory",
    "draw_calibration",
    "draw_convergence",
    "draw_curl_decay",
    "draw_drift",
    "draw_eigenvalues",
    "draw_hysteresis_loop",
    "draw_incumbent_trace",
    "draw_latent_grid",
    "draw_latent_map",
    "draw_latent_space",
    "draw_length_scales",
    "draw_objective_comparison",
    "draw_objective_map",
    "draw_parameter_map",
    "draw_polarization",
    "draw_polarization_animation",
    "draw_training_curve",
    "render_figure",
    "render_polarization_animation",
    "render_report",
    "write_figure",
]


def __getattr__(name: str) -> object:
    """Import a public name on first use."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name], __name__), name)


def __dir__() -> list[str]:
    """List the public names, imported or not."""
    return sorted(__all__)
