"""``latentloop latent``: how many latent dimensions trajectories need, before anything is trained."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

_out = Console(highlight=False, soft_wrap=True)


def latent(
    config: Annotated[str, typer.Argument(metavar="CONFIG_OR_PRESET", help="A YAML file, or the name of a preset.")],
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Also write the figure of the eigenvalues to this HTML file.")
    ] = None,
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change one key, e.g. latent.model.parameters.n_latent=4; repeatable."),
    ] = None,
) -> None:
    """Say how many latent dimensions and how much decoder noise a campaign's trajectories ask for."""
    from .config import load_config
    from .errors import ConfigError, StoreError
    from .figures import write_figure
    from .method_figures import dimension_figure, suggest_dimension
    from .trajectory_source import load_trajectories

    loaded = load_config(config, overrides or [])
    if loaded.trajectories.box is not None:
        raise ConfigError("this campaign searches plain parameters: it has no trajectories, and no latent space")
    trajectories = load_trajectories(loaded)
    for sentence in suggest_dimension(loaded, trajectories).sentences:
        _out.print(sentence, markup=False)
    if output is not None:
        drawn = dimension_figure(loaded, trajectories)
        assert drawn.figure is not None
        try:
            write_figure(drawn.figure, output, title=f"{loaded.name}: latent dimensions", explanation=drawn.explanation)
        except OSError as error:
            raise StoreError(f"cannot write {output}: {error.strerror}") from error
        _out.print(f"picture: {output}", markup=False)
