"""What the small studies measure, on kernels and labels whose answers are known."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from kernelstudy import correlate, handcrafted, runs
from kernelstudy.studies.hypotheses import FAILS, HOLDS, OPEN
from kernelstudy.studies.plan import Member, _place, plan_of
from tests.experiments.scripts import script

ROOT, HERE = Path(__file__).parents[2], Path(__file__).parent
RUN = next((HERE / "runs" / "why").iterdir())


def plan(study):
    return plan_of(ROOT / "experiments" / study, ROOT / "conf" / "exp" / f"{study}.yaml")


@pytest.mark.parametrize(
    ("study", "data", "place"),
    [
        (
            "datasets",
            {"name": "oriented", "concentration": 2.0, "orientation": 45.0},
            "oriented, orientation 45",
        ),
        ("datasets", {"name": "oriented", "concentration": 0.0, "blur": 0.5}, "oriented, blur 0.5"),
        ("datasets", {"name": "photo_patches", "colour": "rgb"}, "photo_patches, colour rgb"),
        ("datasets", {"name": "digits"}, "digits"),
        ("kernel_size", {"name": "fashion_mnist"}, "fashion_mnist, kernel size 3"),
        (
            "derived_labels",
            {"name": "arrays", "path": "results/runs/derived_labels_images/noise_sobel.npz"},
            "arrays, noise sobel",
        ),
        ("why", {"name": "mnist5k"}, "mnist5k"),
    ],
)
def test_a_place_says_what_was_swept_beside_the_data_set(study, data, place):
    settings = runs.read_settings(RUN)
    settings = replace(settings, data=replace(settings.data, **data))
    member = Member(RUN, settings, {"data": {"train": 4000}}, "", "")
    assert _place(plan(study), member) == (place, 4000, settings.model.width)


def test_several_grids_are_several_commands_and_no_run_is_planned_twice():
    found = plan("datasets")
    assert len(found.command.split("\n")) == 4
    assert len({tuple(job.items()) for job in found.jobs}) == len(found.jobs) == 12


@pytest.mark.parametrize("angle", [0.0, 30.0, 90.0, 135.0])
def test_edge_detectors_along_a_direction_are_aligned_with_it(angle):
    alignment = script("datasets", "measures").alignment
    gx, gy = (handcrafted.kernel(f"sobel_{axis}", 3) for axis in "xy")
    edges = np.stack([s * handcrafted.steer(gx, gy, np.deg2rad(angle)) for s in (1.0, -2.0)])
    with_others = np.concatenate(
        [edges, np.ones((1, 3, 3))]
    )  # a low-pass kernel, which does not count
    assert alignment(with_others, angle) == (2, pytest.approx(1))
    assert alignment(with_others, angle + 90) == (2, pytest.approx(-1))
    assert alignment(with_others, angle + 45)[1] == pytest.approx(0, abs=1e-9)
    assert alignment(np.ones((2, 3, 3)), angle)[0] == 0


def test_a_is_taken_on_the_side_of_the_circle_that_is_nearer():
    beside = script("datasets", "measures").beside_images
    _, phi, _, of_images = beside(2.0, 1.0)
    assert 0 < of_images < phi < np.pi / 2
    _, phi, _, of_images = beside(-100.0, 20.0)  # just past infinity
    assert phi > np.pi / 2
    assert abs(phi - of_images) < 0.2


def test_rank_correlations_are_within_a_seed():
    of = script("datasets", "measures").rank_correlations
    rows = [
        (data, seed, image, sign * image + 0.01 * seed)
        for data, image in (("a", 0.1), ("b", 0.2), ("c", 0.3), ("d", 0.4))
        for seed, sign in ((0, 1), (1, -1))
    ]
    found = of(pd.DataFrame(rows, columns=["data", "seed", "images_phi", "phi"]))
    assert found.tolist() == pytest.approx([1, -1])


def test_nulls_of_kernels_keep_what_they_say():
    of = script("kernel_size", "measures")
    rng = np.random.default_rng(0)
    start, final = rng.standard_normal((2, 6, 5, 5))
    basis = np.linalg.qr(rng.standard_normal((25, 25)))[0]
    made = of.nulls_of(start, final, basis, 3)
    assert list(made) == list(of.NULLS)
    assert made["N1"] is start
    np.testing.assert_allclose(np.sort(made["N2"].reshape(6, -1)), np.sort(final.reshape(6, -1)))
    for null in ("N3 signs", "N3 phases"):
        assert not np.allclose(made[null], final)
        np.testing.assert_allclose(made[null].mean((1, 2)), final.mean((1, 2)))
        np.testing.assert_allclose((made[null] ** 2).sum((1, 2)), (final**2).sum((1, 2)))
    spectra = [np.abs(np.fft.fft2(kernels)) for kernels in (made["N3 phases"], final)]
    np.testing.assert_allclose(*spectra)


def test_labels_on_the_way():
    of = script("deeper_layers", "measures")
    edge, bar, none = "edge", "bar", "unselective"
    way = [  # step by channel: kept, lost, passed through another, came late, only at the start
        [none, none, none, none, bar],
        [edge, bar, bar, none, none],
        [edge, none, edge, none, none],
        [edge, none, edge, edge, none],
    ]
    labelled, hidden, passing = of.shares(np.array(way))
    assert (labelled, hidden, passing) == pytest.approx((3 / 5, 2 / 5, 1 / 5))


def test_the_best_point_is_that_of_the_others():
    best = script("deeper_layers", "measures").best_before_the_end
    course = [0.9, 0.1, 0.5, 0.2]  # the start does not count
    np.testing.assert_allclose(best(np.array([course] * 3)), 0.3)
    alone = np.array([course, course, [0.0, 0.8, 0.1, 0.2]])
    assert best(alone)[2] == pytest.approx(-0.1)  # its own peak is not the others'


def test_a_claim_agrees_only_where_all_of_its_parts_hold():
    verdict = script("replication", "claims").verdict
    assert [verdict(2, 0, 0), verdict(1, 0, 1), verdict(0, 0, 2)] == [
        "agrees",
        "partly",
        "disagrees",
    ]
    assert [verdict(0, 1, 1), verdict(0, 0, 0)] == ["cannot be told", "not tested"]


def test_all_sixteen_claims_are_in_the_table_and_parts_are_read_from_tables(tmp_path):
    claims = script("replication", "claims")
    mine = pd.DataFrame(
        [(1, "mnist5k", "gabor/frozen", "c", 8, 1.0, 0.5, 1.5, 0.01, np.nan, HOLDS)],
        columns=[
            "hypothesis",
            "place",
            "subject",
            "claim",
            "n",
            "estimate",
            "low",
            "high",
            "p",
            "q",
            "verdict",
        ],
    )
    table = claims.claims_table(tmp_path, mine).set_index("paper")
    assert len(table) == 16
    assert table.loc["Evans et al. 2022", "verdict"] == "agrees"
    assert "+1 [0.5, 1.5]" in table.loc["Evans et al. 2022", "what we measured"]
    assert set(table.drop(index="Evans et al. 2022")["verdict"]) == {"not tested"}
    folder = tmp_path / "fixed_banks" / "tables"
    folder.mkdir(parents=True)
    other = mine.assign(hypothesis=6, subject="random", verdict=FAILS)
    pd.concat([other, other.assign(verdict=OPEN)]).to_csv(folder / "hypotheses.csv", index=False)
    table = claims.claims_table(tmp_path, mine).set_index("paper")
    assert table.loc["Gavrikov & Keuper 2023", "verdict"] == "cannot be told"


def test_first_direction_of_copies_is_one():
    of = script("replication", "measures").first_direction
    kernel = np.random.default_rng(0).standard_normal((5, 5))
    signs = np.array([1.0, -3.0, 0.5])[:, None, None]
    assert of(signs * kernel) == pytest.approx(1)
    axes = np.linalg.qr(np.random.default_rng(1).standard_normal((9, 9)))[0].reshape(9, 3, 3)
    assert of(axes[:4]) == pytest.approx(1 / 4)


@pytest.mark.parametrize(("number", "dimension"), [(2, 2), (8, 4), (8, 8)])
def test_random_banks_have_their_number_and_dimension(number, dimension):
    made = script("fixed_banks", "random_banks")
    bank = made.drawn(number, dimension, 0)
    flat = bank.reshape(9, -1).T
    assert bank.shape == (3, 3, 1, 16)
    assert len(np.unique(flat, axis=0)) == number
    assert np.linalg.matrix_rank(flat, tol=1e-5) == dimension
    np.testing.assert_allclose(np.linalg.norm(flat, axis=1), 2**0.5, rtol=1e-6)
    stored = np.load(ROOT / "experiments" / "fixed_banks" / f"random_{number}_{dimension}_a.npy")
    np.testing.assert_allclose(stored, bank, atol=1e-6)


def test_banks_are_named_with_the_dimension_that_they_span():
    bank_of = script("fixed_banks").bank_of
    arms = plan("fixed_banks").settings["arms"]
    found = {bank_of(arm) for arm in arms}
    assert ("edges2", 2, 2) in found
    assert ("compass8", 8, 4) in found
    assert ("kirsch8", 8, 7) in found
    assert ("dct9", 9, 9) in found
    assert ("random (8, 4)", 8, 4) in found
    assert {name for name, *_ in found} == {*script("fixed_banks").ORDER, "learned"}


def test_arms_that_start_from_runs_are_told_apart():
    of = script("redrawn", "measures")
    layers = of.planned(plan("redrawn").settings)
    assert sorted(layers.values()) == sorted((r, layer) for r in of.REGIMES for layer in of.LAYERS)
    assert layers["run[learned/own,he_normal/wd=2]/frozen/wd=2"] == ("forgetting", of.FROZEN_COPIED)
    assert layers["run[learned/others,he_normal,covariance]"] == ("lazy", of.REDRAWN)


def test_points_are_of_the_log_point_nearest_to_a_part_of_the_steps():
    of = script("redrawn", "measures")
    rows = [
        ("mnist5k", "lazy", layer, seed, step, 10 * seed + gain * step)
        for layer, gain in ((of.REDRAWN, 0.5), (of.RANDOM, 0.25))
        for seed in (0, 1, 2)
        for step in (0, 4, 12, 100)
    ]
    table = pd.DataFrame(rows[:-1], columns=["data", "regime", "layer", "seed", "step", "accuracy"])
    early = of.points(table, "mnist5k", "lazy", of.REDRAWN, of.RANDOM, of.EARLY)
    assert early.tolist() == [3, 3, 3]
    end = of.points(table, "mnist5k", "lazy", of.REDRAWN, of.RANDOM)
    assert end.to_dict() == {0: 25, 1: 25}  # of the third the random start is not there
    assert not len(of.points(table, "mnist5k", "lazy", of.REDRAWN, of.FROZEN_COPIED))
    assert not len(of.points(table, "photo_patches", "lazy", of.REDRAWN, of.RANDOM))


def test_the_spread_of_kernels_counts_the_axes_that_they_lie_on():
    spread = script("redrawn", "measures").spread
    axes = np.sqrt(2) * np.eye(25).reshape(25, 5, 5)
    assert spread(axes) == pytest.approx((2, 25))
    assert spread(3 * axes[:4]) == pytest.approx((18, 4))


def test_sources_go_where_the_arms_read_them(tmp_path):
    of = script("redrawn", "sources")
    arms = plan("redrawn").settings["arms"]
    read = {arm["path"].split(":")[0] for arm in arms if "path" in arm}
    settings = runs.read_settings(RUN)
    for role, seeds in (("own", 10), ("others", list(range(10, 20)))):
        run = tmp_path / "results" / "runs" / "redrawn_source" / role
        runs.start(run, replace(settings, seeds=seeds))
        assert of.main([str(run)]) == 2  # not finished
        (run / runs.DONE).write_text("")
        assert of.main([str(run)]) == 0
        wanted = f"results/runs/redrawn_{settings.data.name}/learned/{role}"
        assert of.place(run) == tmp_path / wanted
        assert (tmp_path / wanted / runs.CONFIG).is_file()
        assert wanted.replace(settings.data.name, "${data.name}") in read


def test_the_variance_of_draws_and_of_seeds_is_found_in_the_mean():
    variance = script("splits", "measures").variance
    rng = np.random.default_rng(0)
    sds, found = (0.5, 0.8, 1.0), []
    for _ in range(3000):
        draws, seeds, rest = (
            rng.normal(0, sd, shape) for sd, shape in zip(sds, ((10, 1), 8, (10, 8)), strict=True)
        )
        one = variance(draws + seeds + rest)
        found.append((one.draws.mean(), one.seeds, one.rest))
    np.testing.assert_allclose(np.mean(found, axis=0), np.square(sds), rtol=0.03)


def test_seeds_that_are_shared_by_all_draws_are_none_of_the_draws_variance():
    variance = script("splits", "measures").variance
    seeds, draws = np.array([0.0, 1.0, 5.0]), np.array([[0.0], [2.0]])
    assert variance(seeds + draws).draws.mean() == pytest.approx(2)  # of 0 and 2
    assert variance(seeds + draws).seeds == pytest.approx(np.var(seeds, ddof=1))
    assert variance(seeds + 0 * draws).ratios == pytest.approx([0, 0])


def test_a_seed_that_diverged_on_one_draw_is_left_out_of_all():
    crossed = script("splits", "measures").crossed
    rows = [
        (d, "a", s, d == "x" and s == 1, 10.0 * s + len(d)) for d in ("x", "yy") for s in (0, 1, 2)
    ]
    networks = pd.DataFrame(rows, columns=["data", "arm", "seed", "diverged", "value"])
    np.testing.assert_array_equal(crossed(networks, "a", "value"), [[1, 21], [2, 22]])


@pytest.mark.parametrize("a", [1.0, 2.0, 10 / 3])
def test_labels_are_the_direction_in_which_an_edge_rises(a):
    y, x = np.mgrid[:12, :12] - 5.5
    angles = 2 * np.pi * np.arange(8) / 8
    edges = [np.tanh(x * np.cos(at) + y * np.sin(at)) for at in angles]
    direction = script("derived_labels", "images").direction
    np.testing.assert_array_equal(direction(128 + 40 * np.array(edges), a), np.arange(8))


@pytest.mark.parametrize("name", ["prewitt", "sobel", "scharr"])
def test_labels_are_those_of_the_packages_own_responses(name):
    """But where two directions answer alike, which rounding decides."""
    images = script("derived_labels", "images")
    noise = images.noise(2000, np.random.default_rng(1))
    gx, gy = (handcrafted.kernel(f"{name}_{axis}", 3) for axis in "xy")
    steered = [handcrafted.steer(gx, gy, 2 * np.pi * i / 8) for i in range(8)]
    best = np.asarray(correlate(noise, np.stack(steered))).max((1, 2)).argmax(axis=1)
    found = images.direction(noise, images.OPERATORS[name])
    assert np.mean(found == best) > 0.99


def test_half_way_and_end_are_read_off_their_steps():
    measures = script("long_training", "measures")
    over_time = [
        {
            "data": "mnist5k",
            "arm": "he_normal/wd=0.1",
            "seed": seed,
            "step": step,
            **{"value": step / 100 + seed, "memory": 1 - step / 100, "start_left": 0.5},
            **{"edges": 4.0, "low_pass": step / 10},
        }
        for seed in (0, 1)
        for step in (0, 30, 40, 80)
    ]
    who = {"data": "mnist5k", "arm": "he_normal/wd=0.1"}
    of_a = [{**who, "seed": seed, "half_way": 1.0 + seed, "end": 2.0} for seed in (0, 1)]
    seen = measures.Course(pd.DataFrame(over_time), pd.DataFrame(of_a), {"mnist5k": 40})
    (row,) = script("long_training").at_the_end(seen).to_dict("records")
    assert (row["step_half"], row["step_end"]) == (40, 80)
    assert (row["memory_half"], row["memory_end"]) == pytest.approx((0.6, 0.2))
    assert (row["value_half"], row["value_end"]) == pytest.approx((0.9, 1.3))
    assert (row["a_half"], row["a_end"]) == (1.5, 2.0)
    ends = measures.by_seed(seen.course, "value", "mnist5k", "he_normal/wd=0.1", 80)
    assert ends.to_dict() == pytest.approx({0: 0.8, 1: 1.8})
