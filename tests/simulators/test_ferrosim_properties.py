"""What must hold for any model: batches, symmetries, kernel against reference."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from latentloop.simulators.ferrosim import FerroSim, FerroSimParameters, curl, reference
from latentloop.simulators.ferrosim.lanes import aligned_empty

QUICK = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@st.composite
def models(draw, updates=("synchronous", "random_sites"), **fixed):
    """A small, stable model with disorder, and a field for it."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n, n_steps = draw(st.integers(2, 7)), draw(st.integers(2, 25))
    mode = draw(st.sampled_from(["tetragonal", "rhombohedral", "uniaxial", "squareelectric"]))
    landau = {"tetragonal": (-1.6, 12.2, 40.0), "rhombohedral": (-10.6, 10.2, -10.0)}.get(mode, (-1.85, 1.25, 0.0))
    per_site = draw(st.booleans())
    update = draw(st.sampled_from(updates))
    radius = draw(st.sampled_from([1.1, 1.5])) if n > 2 else 1.1
    steps = 2e-3 * (1 + draw(st.sampled_from([0.0, 0.3])) * rng.uniform(size=n_steps - 1))
    parameters = FerroSimParameters(
        **{
            "lattice_size": n,
            "mode": mode,
            "landau": landau,
            "coupling": rng.uniform(0, 3, (n, n)) if per_site else float(rng.uniform(0, 5)),
            "depolarization": rng.uniform(0, 0.5, (n, n)) if per_site else float(rng.uniform(0, 0.5)),
            "kinetic_coefficient": draw(st.sampled_from([1.0, 0.7, 1.3])),
            "random_field": rng.normal(size=(n, n, 2)),
            "initial_polarization": 0.2 * rng.normal(size=(n, n, 2)),
            "times": np.concatenate([[0.0], np.cumsum(steps)]),
            "neighbour_radius": radius,
            "update": update,
            "boundary": draw(st.sampled_from(["open", "periodic"])),
            "update_seed": draw(st.integers(0, 2**32 - 1)) if update == "random_sites" else None,
            **fixed,
        }
    )
    return parameters, rng.normal(0, 3, (draw(st.integers(1, 20)), n_steps, 2))


@QUICK
@given(models())
def test_the_kernel_agrees_with_the_reference(case):
    parameters, fields = case
    history = FerroSim(parameters).simulate(fields, frames_every=1)
    for s in (0, len(fields) - 1):
        states, totals = reference.simulate(parameters, fields[s])
        np.testing.assert_allclose(history.frames[s], states, rtol=0, atol=1e-12)
        np.testing.assert_allclose(history.total_polarization[s], totals, rtol=0, atol=1e-12)


@QUICK
@given(models(updates=("synchronous",), rule="clean"), st.sampled_from(["euler", "rk4"]))
def test_the_kernel_agrees_with_the_reference_on_the_clean_rule(case, integrator):
    parameters, fields = replace(case[0], integrator=integrator), case[1]
    history = FerroSim(parameters).simulate(fields, frames_every=1)
    states, totals = reference.simulate(parameters, fields[-1])
    np.testing.assert_allclose(history.frames[-1], states, rtol=0, atol=1e-12)
    np.testing.assert_allclose(history.total_polarization[-1], totals, rtol=0, atol=1e-12)


@QUICK
@given(models(updates=("synchronous",), kinetic_coefficient=1.0, integrator="rk4"))
def test_runge_kutta_on_the_published_rule_agrees_with_the_reference(case):
    parameters, fields = case
    history = FerroSim(parameters).simulate(fields)
    states, totals = reference.simulate(parameters, fields[0])
    np.testing.assert_allclose(history.polarization[0], states[-1], rtol=0, atol=1e-12)
    np.testing.assert_allclose(history.total_polarization[0], totals, rtol=0, atol=1e-12)


@QUICK
@given(models(updates=("random_sites",), kinetic_coefficient=1.0), st.data())
def test_the_fast_path_of_random_sites_agrees_with_the_reference(case, data):
    parameters, fields = case
    equal = replace(parameters, times=np.linspace(0.0, 2e-3 * (parameters.n_steps - 1), parameters.n_steps), coupling=2.0,
                    depolarization=0.3, neighbour_radius=1.1)  # fmt: skip
    history = FerroSim(equal).simulate(fields, frames_every=1)
    s = data.draw(st.integers(0, len(fields) - 1))
    states, totals = reference.simulate(equal, fields[s])
    np.testing.assert_allclose(history.frames[s], states, rtol=0, atol=1e-12)
    np.testing.assert_allclose(history.total_polarization[s], totals, rtol=0, atol=1e-12)


@QUICK
@given(models(updates=("synchronous",), boundary="periodic"), st.sampled_from(["published", "clean"]), st.data())
def test_translating_a_periodic_lattice_with_its_disorder_translates_the_polarization(case, rule, data):
    parameters, fields = replace(case[0], rule=rule), case[1]
    shift = data.draw(st.tuples(st.integers(0, 6), st.integers(0, 6)))

    def move(values):
        return np.roll(values, shift, axis=(0, 1)) if np.ndim(values) else values

    moved = replace(
        parameters,
        **{name: move(getattr(parameters, name)) for name in ("random_field", "initial_polarization", "coupling", "depolarization")},
    )
    one, other = FerroSim(parameters).simulate(fields), FerroSim(moved).simulate(fields)
    np.testing.assert_allclose(np.roll(one.polarization, shift, axis=(1, 2)), other.polarization, rtol=0, atol=1e-13)


@QUICK
@given(models())
def test_a_batch_equals_its_single_runs_bit_for_bit(case):
    parameters, fields = case
    simulator = FerroSim(parameters)
    batch = simulator.simulate(fields, frames_every=3)
    for s in range(len(fields)):
        single = simulator.simulate(fields[s], frames_every=3)
        np.testing.assert_array_equal(batch.polarization[s], single.polarization[0])
        np.testing.assert_array_equal(batch.total_polarization[s], single.total_polarization[0])
        np.testing.assert_array_equal(batch.frames[s], single.frames[0])


@QUICK
@given(models())
def test_threads_do_not_change_a_bit(case):
    parameters, fields = case
    np.testing.assert_array_equal(
        FerroSim(parameters).simulate(fields).polarization, FerroSim(parameters, n_threads=3).simulate(fields).polarization
    )


@QUICK
@given(models())
def test_turning_every_sign_turns_the_polarization(case):
    parameters, fields = case
    turned = replace(parameters, random_field=-parameters.random_field, initial_polarization=-parameters.initial_polarization)
    one, other = FerroSim(parameters).simulate(fields), FerroSim(turned).simulate(-fields)
    np.testing.assert_allclose(one.polarization, -other.polarization, rtol=0, atol=1e-13)
    np.testing.assert_allclose(curl(one.polarization), curl(other.polarization), atol=1e-11)


@QUICK
@given(models(mode="tetragonal", landau=(-1.6, 12.2, 40.0)))
def test_swapping_x_and_y_swaps_the_components(case):
    parameters, fields = case
    swapped = replace(
        parameters, random_field=parameters.random_field[..., ::-1], initial_polarization=parameters.initial_polarization[..., ::-1]
    )
    one, other = FerroSim(parameters).simulate(fields), FerroSim(swapped).simulate(fields[..., ::-1])
    np.testing.assert_allclose(one.polarization, other.polarization[..., ::-1], rtol=0, atol=1e-13)


@QUICK
@given(models(updates=("synchronous",), mode="squareelectric", landau=(-1.85, 1.25, 0.0), kinetic_coefficient=1.0))
def test_rotating_the_lattice_with_its_fields_rotates_the_polarization(case):
    parameters, fields = case

    def rotate(vectors):
        """Lattice and vectors by a quarter turn."""
        turned = np.rot90(vectors, axes=(-3, -2))
        return np.stack([-turned[..., 1], turned[..., 0]], axis=-1)

    rotated = replace(
        parameters,
        random_field=rotate(parameters.random_field),
        initial_polarization=rotate(parameters.initial_polarization),
        coupling=np.rot90(parameters.coupling) if np.ndim(parameters.coupling) else parameters.coupling,
        depolarization=np.rot90(parameters.depolarization) if np.ndim(parameters.depolarization) else parameters.depolarization,
    )
    one = FerroSim(parameters).simulate(fields)
    other = FerroSim(rotated).simulate(np.stack([-fields[..., 1], fields[..., 0]], axis=-1))
    np.testing.assert_allclose(rotate(one.polarization), other.polarization, rtol=0, atol=1e-13)


@QUICK
@given(models(mode="uniaxial", landau=(-1.85, 1.25, 0.0)))
def test_a_uniaxial_lattice_moves_along_y_only(case):
    parameters, fields = case
    history = FerroSim(parameters).simulate(fields)
    np.testing.assert_array_equal(
        history.polarization[..., 0], np.broadcast_to(parameters.initial_polarization[..., 0], history.polarization.shape[:-1])
    )
    assert not np.array_equal(history.polarization[0, ..., 1], parameters.initial_polarization[..., 1])


@QUICK
@given(models(updates=("synchronous",), kinetic_coefficient=1.0), st.sampled_from([("published", "euler"), ("clean", "rk4")]), st.data())
def test_a_run_split_in_two_and_continued_is_the_whole_run(case, how, data):
    parameters, fields = replace(case[0], rule=how[0], integrator=how[1]), case[1]
    if parameters.n_steps < 4:
        return
    cut = data.draw(st.integers(1, parameters.n_steps - 2))
    whole = FerroSim(parameters).simulate(fields)
    early = FerroSim(replace(parameters, times=parameters.times[: cut + 1])).simulate(fields[:, : cut + 1])
    late = FerroSim(replace(parameters, times=parameters.times[cut:], initial_polarization=early.polarization)).simulate(fields[:, cut:])
    np.testing.assert_allclose(late.polarization, whole.polarization, rtol=0, atol=1e-13)
    np.testing.assert_allclose(late.total_polarization, whole.total_polarization[:, cut:], rtol=0, atol=1e-12)


@pytest.mark.parametrize("update", ["synchronous", "random_sites"])
def test_single_precision_stays_within_five_digits_of_double(update):
    rng = np.random.default_rng(5)
    parameters = replace(FerroSimParameters.published(), update=update)
    fields = 100 * np.cumsum(rng.normal(0, 0.05, (20, 950, 2)), axis=1).clip(-1, 1)
    single, double = (FerroSim(parameters, dtype=d).simulate(fields) for d in (np.float32, np.float64))
    assert single.polarization.dtype == np.float64
    np.testing.assert_allclose(single.polarization, double.polarization, rtol=0, atol=1e-5)
    np.testing.assert_allclose(curl(single.polarization), curl(double.polarization), rtol=1e-4)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("n", [3, 8, 10, 20])
def test_frames_of_either_precision_hold_the_states_of_full_blocks_and_of_the_rest(n, dtype):
    rng = np.random.default_rng(n)
    parameters = FerroSimParameters(lattice_size=n, random_field=rng.normal(size=(n, n, 2)), times=np.linspace(0, 0.1, 31))
    fields = rng.normal(0, 5, (19, 31, 2))
    simulator = FerroSim(parameters, dtype=dtype)
    double, single = (simulator.simulate(fields, frames_every=10, frames_dtype=d).frames for d in (np.float64, np.float32))
    assert single.dtype == np.float32
    np.testing.assert_array_equal(double.astype(np.float32), single)
    for start in (0, 1):  # on a cache line, and off it
        memory = aligned_empty((19 * 4 * n * n * 2 + 1,), np.float64)[start:][: 19 * 4 * n * n * 2].reshape(19, 4, n, n, 2)
        again = simulator.simulate(fields, frames_every=10, frames_out=memory).frames
        assert np.shares_memory(again, memory)
        np.testing.assert_array_equal(again, double)
    for s in (0, 7, 8, 15, 16, 18):
        states, _ = reference.simulate(parameters, fields[s])
        np.testing.assert_allclose(double[s], states[::10], rtol=0, atol=1e-12 if dtype is np.float64 else 1e-5)
