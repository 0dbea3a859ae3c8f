"""The lattice as the kernels see it: flat, padded with a halo, every coefficient worked out per site.

Sites lie row by row on a square of `width` = n + 2 halo positions a side, so that a neighbour is a constant offset away and
the edge needs no branch: an open lattice has zeros in its halo, a periodic one copies its other side there. Both rules
take one form,

    dp/dt = gamma [ E + e_i - dep_i <p> - mean_weight <dep p> + sum_k w_ik p_(i+k) - p (lin_i + c3 p^2 + c12 q^2) ],

with q the other component: published lin_i = c1 + K_i, w_ik = K_i / 4; clean lin_i = c1 + sum_k w_ik, w_ik = K_i + K_k.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .parameters import FerroSimParameters, as_array

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class PaddedLattice:
    """Geometry and coefficients of one model; P is the number of padded positions, width * width."""

    size: int
    """Sites along each side, n."""
    halo: int
    """Rows and columns of padding on each side."""
    offsets: IntArray
    """Distance in the flat order to each neighbour (m,); with four neighbours: up, left, right, down."""
    site: FloatArray
    """(P, 4): e_x, e_y in absolute units, lin, dep."""
    weight: FloatArray
    """(P, m): w."""
    wrap: IntArray
    """(k, 2): halo position and the position it copies; k = 0 on an open lattice."""
    interior: npt.NDArray[np.int32]
    """(n * n,): positions of the sites, row by row."""
    on_site: tuple[float, float]
    """c3 and c12."""
    mean_weight: float
    """1 where the energy's mean-field term counts twice (clean rule), 0 for the published rule."""
    is_uniform: bool
    """Whether there are four neighbours, all of one weight per site (none beyond an open edge), and one depolarization."""

    @property
    def width(self) -> int:
        """Positions along each side, halo included."""
        return self.size + 2 * self.halo


def padded_lattice(parameters: FerroSimParameters) -> PaddedLattice:
    """Work out the lattice of a model."""
    n, halo = parameters.lattice_size, int(parameters.neighbour_radius)
    width = n + 2 * halo
    reach = range(-halo, halo + 1)
    shifts = [(i, j) for i in reach for j in reach if 0 < i * i + j * j <= parameters.neighbour_radius**2]
    shifts.sort(key=lambda shift: shift[0] ** 2 + shift[1] ** 2)  # the four nearest come first; a stable sort keeps their order
    rows, columns = np.indices((n, n))
    interior = ((rows + halo) * width + columns + halo).ravel()

    coupling = np.broadcast_to(as_array(parameters.coupling), (n, n))
    depolarization = np.broadcast_to(as_array(parameters.depolarization), (n, n))
    c1, c3, c12 = parameters.on_site_coefficients
    weight = np.zeros((width * width, len(shifts)))
    site = np.zeros((width * width, 4))
    is_published = parameters.rule == "published"
    if is_published:
        weight[interior] = (coupling / 4.0).reshape(-1, 1)
        diagonal = coupling.ravel()
    else:
        for k, shift in enumerate(shifts):
            weight[interior, k] = _bond(coupling, shift, periodic=parameters.boundary == "periodic").ravel()
        diagonal = weight[interior].sum(axis=1)
    site[interior, :2] = (as_array(parameters.random_field) * parameters.coercive_field).reshape(-1, 2)
    site[interior, 2] = c1 + diagonal
    site[interior, 3] = depolarization.ravel()
    return PaddedLattice(
        size=n,
        halo=halo,
        offsets=np.array([i * width + j for i, j in shifts], dtype=np.int64),
        site=site,
        weight=weight,
        wrap=_wrap(n, halo) if parameters.boundary == "periodic" else np.zeros((0, 2), dtype=np.int64),
        interior=interior.astype(np.int32),
        on_site=(c3, c12),
        mean_weight=0.0 if is_published else 1.0,
        is_uniform=len(shifts) == 4
        and bool((depolarization == depolarization[0, 0]).all())
        and (is_published or bool((coupling == coupling[0, 0]).all())),
    )


def _bond(coupling: FloatArray, shift: tuple[int, int], *, periodic: bool) -> FloatArray:
    """K_i + K_k of every site's bond to the neighbour at `shift`; 0 where an open lattice has no neighbour."""
    neighbour = np.roll(coupling, (-shift[0], -shift[1]), axis=(0, 1))
    if not periodic:
        exists = np.zeros(coupling.shape, dtype=bool)
        n = len(coupling)
        rows = slice(max(0, -shift[0]), n - max(0, shift[0]))
        columns = slice(max(0, -shift[1]), n - max(0, shift[1]))
        exists[rows, columns] = True
        return np.where(exists, coupling + neighbour, 0.0)
    return coupling + neighbour


def _wrap(n: int, halo: int) -> IntArray:
    width = n + 2 * halo
    rows, columns = np.indices((width, width))
    source = ((rows - halo) % n + halo) * width + (columns - halo) % n + halo
    target = rows * width + columns
    outside = source != target
    return np.stack([target[outside], source[outside]], axis=1).astype(np.int64)
