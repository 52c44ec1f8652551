"""Figures: each is drawn on small synthetic data, on a real lifetime, and refuses what is wrong."""

from __future__ import annotations

import dataclasses
import subprocess
import sys

import jax
import matplotlib
import numpy as np
import pytest
from conftest import some_fast
from matplotlib.figure import Figure

from loopymeta import graph as graphs
from loopymeta import plots, rules, runs
from loopymeta.config import NetworkConfig, TrainConfig
from loopymeta.graph import make_graph, make_graphs
from loopymeta.hebbian import GeneralHebbian, polynomial_terms
from loopymeta.lifetime import Lifetime, Plastic
from loopymeta.network import EDGE_CLASSES, Innate, LoopyNetwork
from loopymeta.parameters import theta_to_json
from loopymeta.runs import Run, RunError
from loopymeta.tasks import Memorize
from loopymeta.training import RULE_FORMAT, RULE_VERSION
from loopymeta.written import Written

# Other libraries' deprecations are not ours; a figure whose layout fails must not pass.
pytestmark = pytest.mark.filterwarnings("error:constrained_layout", "error::RuntimeWarning")


def png(figure: Figure, folder) -> np.ndarray:
    """The figure as it is saved, [height, width, 4]; it must not be blank."""
    image = matplotlib.image.imread(plots.save(figure, folder / "figure.png", dpi=40))
    assert image[..., :3].std() > 0.01
    return image


def words(figure: Figure) -> str:
    """All text in a figure."""
    return "\n".join(text.get_text() for text in figure.findobj(matplotlib.text.Text))


def overlapping(figure: Figure, texts) -> list[tuple[str, str]]:
    """Pairs of texts that lie on one another."""
    figure.draw_without_rendering()
    extent = matplotlib.text.Text.get_window_extent  # an annotation's own counts its line too
    boxes = [(t.get_text(), extent(t)) for t in texts if t.get_text().strip()]
    return [
        (a, b)
        for i, (a, box) in enumerate(boxes)
        for b, other in boxes[i + 1 :]
        if box.overlaps(other) and min(box.y1, other.y1) - max(box.y0, other.y0) > 1
    ]


# --- saving --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("suffix", "magic"), [("png", b"\x89PNG"), ("pdf", b"%PDF"), ("svg", b"<?xml")]
)
def test_save_writes_what_the_suffix_says(tmp_path, suffix, magic):
    path = plots.save(
        plots.lifetime({"loss": np.arange(4.0)}), tmp_path / f"figure.{suffix}", dpi=40
    )
    assert path.read_bytes().startswith(magic)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_save_refuses_other_files_and_missing_folders(tmp_path):
    figure = plots.lifetime({"loss": np.arange(4.0)})
    with pytest.raises(ValueError, match=r"must end in \.png.*got 'figure.jpeg'"):
        plots.save(figure, tmp_path / "figure.jpeg")
    with pytest.raises(OSError, match="cannot write"):
        plots.save(figure, tmp_path / "missing" / "figure.png")


def test_neither_pyplot_nor_a_setting_is_touched():
    code = (
        "import sys, numpy as np\n"
        "from loopymeta import plots\n"
        "assert 'matplotlib' not in sys.modules and 'jax' not in sys.modules\n"
        "import matplotlib\n"
        "before = matplotlib.rcParams.copy()  # dict() would ask for the backend\n"
        "plots.lifetime({'loss': np.arange(4.0)}).savefig(__import__('io').BytesIO())\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
        "assert matplotlib.rcParams.copy() == before\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# --- learning curve ------------------------------------------------------------------------------


def training(seed: int = 0, generations: int = 20) -> dict[str, np.ndarray]:
    generator, g = np.random.default_rng(seed), np.arange(generations)
    loss = 0.6 + np.exp(-g / 6) + 0.02 * generator.normal(size=generations)
    return {
        "generation": g,
        "loss": loss,
        "loss_min": loss - 0.1,
        "loss_median": loss + 0.2,
        "best": np.minimum.accumulate(loss),
        "nonfinite": np.zeros(generations),
    }


def test_learning_curve_of_one_run(tmp_path):
    metrics = training() | {"nonfinite": np.r_[np.zeros(18), 3, 1]}
    figure = plots.learning_curve(metrics, floor=0.4, chance=2.0)
    (axes,) = figure.axes
    assert axes.get_xlabel() == "generation"
    assert axes.get_ylabel() == "loss (nats per symbol)"
    assert {
        "center of the search",
        "best elite, over all that it has lived",
        "floor",
        "chance",
    } <= {t.get_text() for t in axes.texts}
    assert "generations that lost candidates (4 in all)" in words(figure)
    assert "its mean may rise" in words(figure).replace("\n", " ")
    assert not overlapping(figure, axes.texts)
    png(figure, tmp_path)


def test_learning_curve_of_several_runs_of_different_lengths(tmp_path):
    figure = plots.learning_curve([training(0), training(1, 30), training(2)])
    lines = [line for line in figure.axes[0].lines if len(line.get_xdata()) > 2]
    assert [len(line.get_xdata()) for line in lines] == [30, 30]
    assert len(figure.axes[0].collections) == 2
    assert "mean of 3 runs" in words(figure)
    png(figure, tmp_path)


def test_generations_that_are_not_finite_are_skipped():
    metrics = training()
    metrics["loss"][[3, 4]] = np.inf, np.nan
    metrics["best"][:] = np.inf
    figure = plots.learning_curve(metrics)
    (line,) = [line for line in figure.axes[0].lines if len(line.get_xdata()) > 2]
    assert 3 not in line.get_xdata() and 4 not in line.get_xdata()
    assert np.isfinite(line.get_ydata()).all()


def test_a_wild_generation_does_not_flatten_the_others():
    metrics = training()
    metrics["loss"][0] = 1e6
    figure = plots.learning_curve(metrics)
    assert figure.axes[0].get_ylim()[1] < 10
    assert "The axis is cut" in words(figure)


def test_learning_curve_of_one_generation_and_of_a_constant(tmp_path):
    png(plots.learning_curve({"generation": [0], "loss": [1.5]}), tmp_path)
    png(plots.learning_curve({"generation": [0, 1, 2], "loss": [0.0, 0.0, 0.0]}), tmp_path)


@pytest.mark.parametrize(
    ("metrics", "message"),
    [
        ([], "at least one run"),
        ({}, "need a generation"),
        ({"generation": [0], "accuracy": [1.0]}, "need loss, best or loss_median"),
        ({"generation": [0, 1], "loss": [1.0]}, "must have 2 values, got 1"),
        ({"generation": [0], "loss": ["much"]}, "must be numbers"),
        ({"generation": [0], "loss": [np.nan]}, "no finite loss"),
    ],
)
def test_learning_curve_refuses(metrics, message):
    with pytest.raises((ValueError, TypeError), match=message):
        plots.learning_curve(metrics)


# --- the rule ------------------------------------------------------------------------------------

ALL_RULES = [
    *(
        cls()
        for cls in rules.Rule.__subclasses__()
        if cls not in (rules.Wrapper, Written, GeneralHebbian)
    ),
    *(cls(rule=rules.Delta()) for cls in rules.Wrapper.__subclasses__()),
    rules.RunningScale(rule=rules.RFLO(relays=3), momentum=False),
    GeneralHebbian(start=(0.1,)),
    Written("eta * post * (pre - a * weight)", eta=0.1, a=2.0),
]


@pytest.mark.parametrize("rule", ALL_RULES, ids=lambda rule: type(rule).__name__)
def test_every_rule_can_be_drawn(rule):
    figure = plots.rule_figure(rule)
    assert len(figure.axes) >= 3
    figure.draw_without_rendering()


def change_map(figure: Figure) -> np.ndarray:
    """The map of the last rule that was drawn."""
    meshes = figure.findobj(matplotlib.collections.QuadMesh)
    return max(
        (m for m in meshes if m.get_array().size > 10_000), key=lambda m: m.zorder
    ).get_array()


def test_the_map_is_the_rule():
    figure = plots.rule_figure(rules.Oja(eta=0.1), at={"weight": 0.5})
    side = np.linspace(-1, 1, 120)
    x, y = np.meshgrid(side, side)
    np.testing.assert_allclose(change_map(figure), 0.1 * y * (x - 0.5 * y), atol=1e-7)
    assert "weight 0.5" in words(figure)
    assert "change = 0.1 · post · (pre - post · weight)" in words(figure)


def test_means_in_the_memory_are_at_rest_and_said_to_be():
    figure = plots.rule_figure(rules.Covariance(eta=0.1))
    side = np.linspace(-1, 1, 120)
    x, y = np.meshgrid(side, side)
    expected = 0.1 * (x - plots.REST) * (y - plots.REST)
    np.testing.assert_allclose(change_map(figure), expected, atol=1e-7)
    assert "post_mean 0.25, pre_mean 0.25" in words(figure)


def test_running_scale_is_drawn_in_the_middle_of_a_life():
    """Not at its first tick, when the normalised change is the sign of the inner one."""
    figure = plots.rule_figure(rules.RunningScale(rule=rules.Hebb(), eta=0.01))
    change = change_map(figure)
    side = np.linspace(-1, 1, 120)
    product = np.outer(side, side)
    expected = 0.01 * product / np.sqrt((product**2).mean())
    # The change of this very tick is a thousandth of its own mean square: at most 9/2 thousandths.
    np.testing.assert_allclose(change, expected, rtol=5e-3, atol=1e-6)


@pytest.mark.parametrize(
    ("rule", "partner"),
    [
        (rules.Hebb(), "post: activity of the receiver"),
        (rules.Delta(), "feedback: error at the receiver"),
        (rules.RFLO(), "feedback: error at the receiver"),
        (rules.Competitive(), "share in the competition"),
    ],
)
def test_the_second_axis_is_what_the_rule_looks_at(rule, partner):
    figure = plots.rule_figure(rule)
    assert partner in [axes.get_ylabel() for axes in figure.axes]


def test_only_what_matters_is_in_the_caption():
    held = words(plots.rule_figure(rules.Delta(normalised=False)))
    assert "Held fixed" not in held
    assert "Held fixed: energy 1." in words(plots.rule_figure(rules.Delta()))


def test_a_rule_that_does_nothing_says_so():
    assert "the weight does\nnot change" in words(plots.rule_figure(rules.Zero()))


def test_terms_are_sorted_and_zeros_left_out(tmp_path):
    rule = GeneralHebbian(start=(0.01, -0.04, 0.0, 0.0, 0.02, 0.0))
    figure = plots.rule_figure(rule)
    names = [label.get_text() for label in figure.axes[1].get_yticklabels()]
    assert names == ["pre", "post² weight", "pre post"]
    assert "not shown: 3 equal to 0" in words(figure)
    png(figure, tmp_path)


def test_many_terms_are_cut_and_do_not_overlap():
    rule = GeneralHebbian(terms=polynomial_terms())
    numbers = np.random.default_rng(0).normal(size=81)
    figure = plots.rule_figure(rule, {**rule.init(), "coefficients": numbers})
    axes = figure.axes[1]
    assert len(axes.get_yticks()) == 18
    assert "63 smaller ones" in words(figure)
    assert not overlapping(figure, [*axes.texts, *axes.get_yticklabels()])


def test_numbers_that_span_decades_are_on_a_logarithmic_axis():
    figure = plots.rule_figure(rules.RunningScale(rule=rules.Hebb()))
    assert figure.axes[1].get_xscale() == "log"
    names = [label.get_text() for label in figure.axes[1].get_yticklabels()]
    assert names[0] == "eta" and names[-1] == "Hebb eta"
    assert plots.rule_figure(rules.ABCD(c=-0.5)).axes[1].get_xscale() == "linear"


def owned(rule: rules.Rule, num: int):
    return jax.tree.map(lambda x: np.asarray(x) * np.ones((num, *np.shape(x))), rule.init())


def test_small_multiples_by_edge_class(tmp_path):
    rule = rules.RunningScale(rule=rules.RFLO())
    names = ["input-hidden", "bias-hidden", None, "hidden-hidden", None]
    figure = plots.rule_figure(rule, owned(rule, 5), edge_class=names)
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert [t for t in titles if t.startswith("●")] == [f"● {n}" for n in names if n]
    assert "change = eta · mean" in words(figure)  # names: the numbers differ from class to class
    png(figure, tmp_path)
    one = plots.rule_figure(rule, owned(rule, 5), edge_class={"hidden-hidden": 3})
    assert "(hidden-hidden)" in words(one)


def test_of_many_owners_the_median_is_drawn():
    rule = rules.Hebb()
    figure = plots.rule_figure(rule, {"eta": np.r_[np.zeros(50), np.full(51, 0.5)]})
    assert "median of 101 owners" in words(figure)
    assert change_map(figure).max() == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"rule": "oja"}, "rule must be a Rule, got 'oja'"),
        ({"theta": {"eat": 0.1}}, "theta lacks"),
        ({"theta": {"eta": np.nan}}, "must be finite"),
        ({"theta": {"eta": np.ones(3)}, "edge_class": ["a"]}, "must name 3 owners"),
        ({"theta": {"eta": np.ones(3)}, "edge_class": {"a": 3}}, "owners 0 .. 2"),
        ({"edge_class": ["a", "b"]}, "must be one name"),
        ({"at": {"wieght": 1.0}}, "Did you mean 'weight'"),
        ({"across": ("pre", "pots")}, "Did you mean 'post'"),
        ({"across": ("pre", "pre")}, "two different fields"),
    ],
)
def test_rule_figure_refuses(arguments, message):
    with pytest.raises((ValueError, TypeError), match=message):
        plots.rule_figure(**{"rule": rules.Oja(), **arguments})


# --- beside the controls -------------------------------------------------------------------------


def entry(mean, spread=0.02) -> dict:
    return {"mean": mean, "spread": np.full(np.shape(mean), spread).tolist(), "seeds": 4}


NAMED = ("learned", "frozen", "shuffled", "zero", "suffix_match")
RECALLED = {
    name: {"recall_by_presentation": entry([0.12, end / 2, end])}
    for name, end in zip(NAMED, (0.99, 0.12, 0.13, 0.12, 1.0), strict=True)
}
RECALL = {**RECALLED, "about": {"ceiling": [0.125, 0.93, 1.0], "chance": 0.125}}


def test_recall_by_presentation(tmp_path):
    figure = plots.recall_by_presentation(RECALL)
    (axes,) = figure.axes
    labels = {text.get_text() for text in axes.texts}
    assert labels == {
        "meta-learned",
        "frozen (no plasticity)",
        "shuffled changes",
        "zero rule",
        "suffix match",
        "ceiling (length unknown)",
        "chance",
    }
    assert not overlapping(figure, axes.texts)
    assert "± spread over 4 seeds." in words(figure)
    png(figure, tmp_path)


def test_results_may_be_flat_bare_or_per_seed():
    flat = {"learned": {"recall_by_presentation": [0.1, "nan", 0.9]}, "zero": {"loss": 2.0}}
    figure = plots.recall_by_presentation(flat, chance=0.1)
    assert [t.get_text() for t in figure.axes[0].texts] == ["meta-learned", "chance"]
    per_seed = {"learned": {"recall_by_presentation": {"per_seed": [[0.1, 0.8], [0.2, 1.0]]}}}
    figure = plots.recall_by_presentation(per_seed)
    np.testing.assert_allclose(figure.axes[0].lines[0].get_ydata(), [0.15, 0.9])
    assert "2 seeds" in words(figure)


def test_a_result_says_what_it_is_about():
    about = {
        "chance": 0.125,
        "ceiling": [0.1, 0.9, 1.0],
        "spread": "standard deviation over lifetimes",
    }
    figure = plots.recall_by_presentation({**RECALLED, "about": about})
    assert {"chance", "ceiling (length unknown)"} <= {t.get_text() for t in figure.axes[0].texts}
    assert "bands: ± standard deviation over 4 lifetimes." in words(figure)


def test_one_seed_has_no_spread():
    alone = {"learned": {"loss": {"mean": 1.0, "spread": "nan", "seeds": 1, "per_seed": [1.0]}}}
    assert "±" not in words(plots.ladder(alone, "loss"))


def test_recall_curve_counts_sequences(tmp_path):
    curves = {"learned": {"recall_curve": entry([0.1] * 50)}, "lstm": {"recall_curve": [0.2] * 50}}
    figure = plots.recall_curve(curves, sequences_per_point=100, chance=1 / 7)
    assert figure.axes[0].lines[0].get_xdata()[-1] == 4950
    assert figure.axes[0].get_xlabel() == "sequences seen"
    assert plots.recall_curve(curves).axes[0].get_xlabel() == "part of the lifetime"
    png(figure, tmp_path)


def nats(prequential, test) -> dict:
    return {"prequential_nats": prequential, "test_nats": test}


LADDER = {
    "learned": nats(entry(2.21), {"per_seed": [2.08, 2.09, 2.10]}),
    "frozen": nats(3.4, 3.41),
    "shuffled": nats(14.1, "inf"),
    "bigram": nats(2.49, 2.45),
    "lstm": nats(entry(2.17), entry(2.088)),
    "lecture": {"test_nats": 2.17},
}


def test_ladder_is_sorted_and_numbered(tmp_path):
    figure = plots.ladder(LADDER, references={"uniform": 3.296})
    assert len(figure.axes) == 2
    names = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert names == [
        "LSTM",
        "meta-learned",
        "lecture",
        "bigram",
        "frozen (no plasticity)",
        "shuffled changes",
    ]
    shown = words(figure)
    assert "2.090 ± 0.010" in shown and "not measured" in shown and "not finite" in shown
    assert "14.100 →" in shown  # does not squeeze the others into a corner
    assert all(axes.get_xlim()[1] < 6 for axes in figure.axes)
    assert all(axes.get_xlabel() == "nats per symbol" for axes in figure.axes)
    png(figure, tmp_path)


@pytest.mark.parametrize("spread", [0.2, 3.0])
def test_a_wide_spread_does_not_hide_its_number(spread):
    """Of a bar that leaves the axis, or no room behind it, the number is drawn all the same."""
    wide = {"mean": 2.5, "spread": spread, "seeds": 2}
    found = {"learned": {"loss": 2.0}, "lstm": {"loss": 2.1}, "shuffled": {"loss": wide}}
    figure = plots.ladder(found, "loss")
    figure.draw_without_rendering()
    inside = figure.axes[0].get_window_extent()
    (number,) = (text for text in figure.axes[0].texts if text.get_text().startswith("2.500"))
    assert number.get_text().endswith(" →") == (2.5 + spread > figure.axes[0].get_xlim()[1])
    box = number.get_window_extent()  # empty, and elsewhere, where Matplotlib leaves it out
    assert inside.x0 < box.x0 and box.x1 <= inside.x1 + 1


def test_ladder_of_one_row_and_one_column(tmp_path):
    figure = plots.ladder({"learned": {"loss": 1.0}}, "loss")
    assert len(figure.axes) == 1
    png(figure, tmp_path)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: plots.recall_by_presentation({"a": {"loss": 1.0}}),
            "no 'recall_by_presentation'.*loss",
        ),
        (lambda: plots.recall_by_presentation([1, 2]), "must be a mapping"),
        (lambda: plots.recall_curve({"a": {"recall_curve": {"median": 1}}}), "must have a mean"),
        (lambda: plots.recall_curve({"a": {"recall_curve": "high"}}), "must be numbers"),
        (
            lambda: plots.recall_curve({"a": {"recall_curve": [1]}}, sequences_per_point=0),
            "positive",
        ),
        (lambda: plots.ladder({}, "loss"), "it has nothing"),
        (lambda: plots.ladder({"a": {"loss": [1.0, 2.0]}}, "loss"), "must be one number"),
    ],
)
def test_results_that_cannot_be_drawn(call, message):
    with pytest.raises((ValueError, TypeError), match=message):
        call()


# --- one lifetime, for real ----------------------------------------------------------------------

SIZES = {"num_inputs": 5, "num_hidden": 20, "num_outputs": 4}


@pytest.fixture(scope="module")
def network() -> tuple[LoopyNetwork, graphs.Graph]:
    made = make_graphs("fixed_in_degree", num_graphs=2, degree=3, **SIZES)
    choices = {"output_rule": rules.Delta(), "sharing": "per_class"}
    return LoopyNetwork.for_graph(made, rules.Hebb(), **SIZES, **choices), made


@pytest.mark.parametrize("layout", some_fast(("dense", "sparse"), ("sparse",)))
def test_a_real_lifetime(network, layout, tmp_path):
    net, made = network
    net = dataclasses.replace(net, layout=layout)
    task = Memorize(length=4, alphabet=4, presentations=3)
    life = Lifetime(Plastic(net, made), task, record=plots.record_network)
    theta, key = life.init_theta(), jax.random.key(0)
    _, metrics = jax.jit(life)(theta, key)
    record = metrics["record"]
    assert {name: values.shape for name, values in record.items()} == {
        "stimulus": (12, 5),
        "activity": (12, 20),
        "weights_onto_hidden": (12, 48),
        "weights_onto_outputs": (12, 48),
        "prediction": (12, 4),
    }
    # The sample is of real synapses, whatever the layout: those that never existed stay at zero.
    assert (np.asarray(record["weights_onto_hidden"][0]) != 0).all()
    assert (np.asarray(record["stimulus"])[:, -1] == 1).all()
    _, episode = life.start(theta, key)
    figure = plots.lifetime(record, symbols=task.spec.symbols, target=episode.target)
    titles = [axes.get_title(loc="left") for axes in figure.axes if axes.get_title(loc="left")]
    assert [title.split(":")[0] for title in titles] == [
        "stimulus",
        "prediction",
        "activity of hidden nodes",
        "weights onto hidden nodes",
        "weights onto outputs",
    ]
    right = (np.asarray(record["prediction"]).argmax(1) == np.asarray(episode.target)).sum()
    marks = list(figure.axes[1].collections)
    assert [len(mark.get_offsets()) for mark in marks] == [right, 12 - right]
    assert "symbols lived" in words(figure)
    png(figure, tmp_path)


def test_the_record_is_the_network(network):
    """Dense and sparse samples are the same synapses with the same weights."""
    net, made = network
    one = graphs.Graph(*(part[0] for part in made))
    seen = []
    for layout in ("dense", "sparse"):
        net = dataclasses.replace(net, layout=layout)
        wiring = net.wire(one)
        state = net.init(jax.random.key(1), wiring)
        seen.append(plots.record_network((wiring, state), np.zeros(4), num_weights=7))
        weights = np.asarray(net.edge_values(wiring, state.weight))
        hidden = net.num_edges[1]
        at = np.linspace(0, hidden - 1, 7).astype(int)
        np.testing.assert_array_equal(seen[-1]["weights_onto_hidden"], weights[:hidden][at])
    np.testing.assert_array_equal(seen[0]["weights_onto_outputs"], seen[1]["weights_onto_outputs"])


def test_long_lifetimes_are_cut_in_the_middle(tmp_path):
    figure = plots.lifetime(
        {"loss": np.ones(3000), "code": np.zeros((3000, 3, 4))}, max_symbols=100
    )
    assert "the first 50 and the last 50 of 3,000 symbols" in words(figure)
    assert figure.axes[1].get_xlim() == (2949.5, 2999.5)
    png(figure, tmp_path)


def test_lines_for_few_and_a_map_for_many():
    figure = plots.lifetime({"few": np.ones((9, 3)), "many": np.ones((9, 4))}, max_lines=3)
    assert len(figure.axes[0].lines) == 3
    assert len(figure.axes[1].images) == 1


@pytest.mark.parametrize(
    ("record", "target", "message"),
    [
        ({}, None, "at least one array"),
        ({"a": 1.0}, None, "must be an array"),
        ({"a": np.ones(3), "b": np.ones(4)}, None, "of one length T"),
        ({"a": np.ones(3)}, np.ones(4), "target must have length 3"),
        ([1, 2], None, "must be a mapping"),
    ],
)
def test_lifetime_refuses(record, target, message):
    with pytest.raises((ValueError, TypeError), match=message):
        plots.lifetime(record, target=target)


# --- the graph -----------------------------------------------------------------------------------


def test_a_ring_is_its_own_shortest_cycle(tmp_path):
    ring = make_graph("ring", num_inputs=1, num_hidden=7, num_outputs=1, input_degree=1)
    looped, cycle = plots.graphs._loops(ring, 9)
    assert looped.sum() == 7 and sorted(cycle) == np.flatnonzero(looped).tolist()
    # In order: each edge leaves the node that the one before it led to.
    senders, receivers = ring.senders[cycle], ring.receivers[cycle]
    assert (np.roll(receivers, -1) == senders).all() or (receivers == np.roll(senders, -1)).all()
    figure = plots.graph(ring, 1, 7, 1)
    shown = words(figure)
    assert "a shortest cycle (7 edges)" in shown
    assert "8 of" not in shown and "7 of 9 nodes, all 7 hidden ones" in shown
    png(figure, tmp_path)


def test_the_shortest_cycle_is_as_long_as_the_census_says():
    for seed in range(5):
        made = make_graph(num_inputs=2, num_hidden=30, num_outputs=2, degree=2, seed=seed)
        _, cycle = plots.graphs._loops(made, 34)
        assert len(cycle) == graphs.census(made, 2, 30, 2).girth


def test_kinds_of_edges_and_nodes(tmp_path):
    made = make_graph(num_inputs=3, num_hidden=30, num_outputs=2, degree=4, return_degree=1)
    weights = np.random.default_rng(0).normal(size=made.num_edges)
    figure = plots.graph(made, 3, 30, 2, num_memory=5, weights=weights)
    shown = words(figure)
    for text in ("3 inputs", "2 outputs", "5 memory nodes", "25 hidden nodes", "an opposite edge"):
        assert text in shown
    assert "The width of an edge is the size of its weight" in shown
    png(figure, tmp_path)


def test_a_feed_forward_graph_is_called_so(tmp_path):
    made = make_graph("layered", num_inputs=2, num_hidden=6, num_outputs=2, layers=2)
    figure = plots.graph(made, 2, 6, 2)
    assert "A feed-forward network" in words(figure) and "There is no cycle" in words(figure)
    png(figure, tmp_path)


def test_the_legend_of_a_matrix_names_what_is_there():
    made = make_graph("complete", num_inputs=2, num_hidden=200, num_outputs=2)
    shown = words(plots.graph(made, 2, 200, 2))
    assert "with an opposite edge" in shown and "inside the strongly connected" not in shown


@pytest.mark.parametrize("weighted", [False, True])
def test_large_graphs_become_matrices(weighted, tmp_path):
    made = make_graph(num_inputs=5, num_hidden=200, num_outputs=3, degree=3)
    weights = np.linspace(-1, 1, made.num_edges) if weighted else None
    figure = plots.graph(made, 5, 200, 3, num_memory=50, weights=weights)
    assert len(figure.axes[0].images) == 1
    assert figure.axes[0].get_xlabel() == "sender"
    if not weighted:
        assert "inside the strongly connected part" in words(figure)
    png(figure, tmp_path)


def test_graphs_without_inputs_hidden_or_edges(tmp_path):
    png(plots.graph(make_graph(num_inputs=2, num_hidden=0, num_outputs=2), 2, 0, 2), tmp_path)
    png(plots.graph(make_graph(num_inputs=0, num_hidden=3, num_outputs=0), 0, 3, 0), tmp_path)
    png(plots.graph(make_graph(num_inputs=0, num_hidden=1, num_outputs=0), 0, 1, 0), tmp_path)


def test_graph_refuses():
    made = make_graph(num_inputs=1, num_hidden=5, num_outputs=1, degree=2)
    with pytest.raises(ValueError, match="must cover every node"):
        plots.graph(made, 1, 3, 1)
    with pytest.raises(ValueError, match="num_memory must be at most"):
        plots.graph(made, 1, 5, 1, num_memory=6)
    with pytest.raises(ValueError, match=r"weights must have shape"):
        plots.graph(made, 1, 5, 1, weights=np.ones(3))
    stack = make_graphs(num_graphs=2, num_inputs=1, num_hidden=5, num_outputs=1, degree=2)
    with pytest.raises(ValueError, match="stack"):
        plots.graph(stack, 1, 5, 1)


# --- a run folder --------------------------------------------------------------------------------


def a_run(folder) -> Run:
    task = Memorize(length=3, alphabet=4, presentations=3)
    return Run.create(folder, TrainConfig(task, task), name="run")


def write_rule(run: Run, network: NetworkConfig, classes=EDGE_CLASSES, **theta) -> None:
    """A rule.json with these numbers."""
    about = {"format": RULE_FORMAT, "version": RULE_VERSION}
    network, theta = runs.to_dict(network), theta_to_json(theta)
    stored = {**about, "network": network, "theta": theta, "edge_classes": classes}
    run.write_json("rule.json", stored)


@pytest.mark.slow
def test_training_figures_of_a_whole_run(tmp_path):
    run = a_run(tmp_path)
    for g in range(4):
        run.append_metrics({"generation": g, "loss": 2.0 - 0.1 * g, "best": 2.0 - 0.1 * g})
    rule, output_rule = rules.RunningScale(rule=rules.RFLO()), rules.Delta()
    write_rule(
        run,
        NetworkConfig(sharing="per_class", num_hidden=8, rule=rule, output_rule=output_rule),
        rule=owned(rule, 5),
        output_rule=owned(output_rule, 5),
        innate=Innate().init(),
    )
    result = {name: {"loss": entry(1.0), **metrics} for name, metrics in RECALLED.items()}
    about = {"task": "memorize", "chance": 0.25, "floor": 0.3, "ceiling": [0.125, 0.93, 1.0]}
    run.write_json("result.json", {**result, "about": about})
    said = []
    paths = plots.training_figures(run.path, say=said.append)
    assert not said
    assert [path.name for path in paths] == [
        "learning_curve.png",
        "rule.png",
        "recall_by_presentation.png",
        "ladder.png",
        "lifetime.png",
        "graph.png",
    ]
    assert all(path.parent == run.figures and path.stat().st_size > 5000 for path in paths)


def test_training_figures_of_a_learner_are_those_that_there_can_be(tmp_path):
    run = a_run(tmp_path)
    for g in range(2):
        run.append_metrics({"generation": g, "loss": 2.0 - 0.1 * g, "best": 2.0 - 0.1 * g})
    about = {"format": RULE_FORMAT, "version": RULE_VERSION}
    run.write_json("rule.json", about | {"learner": "counts", "theta": {"discount": 0.5}})
    run.write_json("result.json", {"learned": {"loss": entry(1.0)}})
    said = []
    paths = plots.training_figures(run.path, say=said.append)
    assert not said
    assert [path.name for path in paths] == ["learning_curve.png", "ladder.png"]


def test_of_a_long_life_the_beginning_is_recorded(tmp_path, monkeypatch):
    run = a_run(tmp_path)  # of 9 symbols
    network = NetworkConfig(rule=rules.Oja(), num_hidden=8)
    write_rule(run, network, rule={"eta": np.float32(0.2)}, innate=Innate().init())
    seen = []
    monkeypatch.setattr(
        plots.run_folders, "lifetime", lambda record, **_: seen.append(len(record["activity"]))
    )
    plots.run_folders._run_lifetime(run)
    monkeypatch.setattr(
        plots.run_folders, "_RECORDED", 5 * 17
    )  # 5 inputs, 8 hidden nodes, 4 outputs
    plots.run_folders._run_lifetime(run)
    assert seen == [9, 5]


def test_a_lifetime_of_another_task_than_the_report_says_so(tmp_path, monkeypatch):
    titles = []
    monkeypatch.setattr(
        plots.run_folders, "lifetime", lambda record, **look: titles.append(look["title"])
    )
    network = NetworkConfig(rule=rules.Oja(), num_hidden=8)
    task = Memorize(length=3, alphabet=4, presentations=3)
    longer = Memorize(length=3, alphabet=4, presentations=4)
    for name, reported in (("same", task), ("longer", longer)):
        run = Run.create(tmp_path, TrainConfig(reported, task), name=name)
        write_rule(run, network, rule={"eta": np.float32(0.2)}, innate=Innate().init())
        plots.run_folders._run_lifetime(run)
    assert titles == [
        "One lifetime of the rule found, on memorize",
        "One lifetime of the rule found, on memorize as in the search",
    ]


def test_training_figures_says_what_is_missing(tmp_path):
    run = a_run(tmp_path)
    said = []
    assert plots.training_figures(run.path, say=said.append) == []
    assert len(said) == 3
    assert "no metrics yet" in said[0] and "rule.json" in said[1] and "result.json" in said[2]
    with pytest.raises(RunError, match="no run folder"):
        plots.training_figures(tmp_path / "missing")


def test_all_rules_of_a_run(tmp_path):
    """What learns, and of the edge classes those that its networks have."""
    run = a_run(tmp_path)
    classes = [f"{a}-{b}" for a in ("input", "bias", "hidden") for b in ("hidden", "output")]
    network = NetworkConfig(sharing="per_class", rule=rules.Hebb(), output_rule=rules.Delta())
    theta = {"rule": owned(rules.Hebb(), 5), "output_rule": owned(rules.Delta(), 5)}
    write_rule(run, network, classes, **theta)
    figure = plots.run_folders._run_rule(run)["rule"]
    titles = {axes.get_title(loc="left") for axes in figure.axes}
    assert {title[2:] for title in titles if title.startswith("●")} == set(classes)
    assert "Synapses onto hidden nodes: Hebb" in words(figure)
    assert "Synapses onto outputs: Delta" in words(figure)
    png(figure, tmp_path)
    write_rule(run, NetworkConfig(rule=rules.Zero(), output_rule=rules.Zero()), rule={})
    with pytest.raises(ValueError, match="holds no rule with numbers"):
        plots.run_folders._run_rule(run)


def test_per_class_thetas_find_their_names(tmp_path):
    """One part of theta for two bundles: the second five owners are those onto outputs."""
    run, eta = a_run(tmp_path), np.zeros(10, np.float32)
    eta[5 + EDGE_CLASSES.index("hidden-output") - 10] = 0.5
    network = NetworkConfig(sharing="per_class", rule=rules.Hebb())
    write_rule(run, network, ["hidden-hidden", "hidden-output"], rule={"eta": eta})
    figure = plots.run_folders._run_rule(run)["rule"]
    panels = {axes.get_title(loc="left"): axes for axes in figure.axes}
    assert not panels["● hidden-hidden"].collections
    assert panels["● hidden-output"].collections


def test_results_of_other_tasks(tmp_path):
    run = a_run(tmp_path)
    network = NetworkConfig(rule=rules.Oja(), num_hidden=8)
    write_rule(run, network, rule={"eta": np.float32(0.2)}, innate=Innate().init())
    metrics = {"recall_curve": [0.1, 0.9], "prequential_nats": 2.2, "test_nats": 2.1}
    run.write_json("result.json", {"learned": metrics, "about": {"task": "names"}})
    said = []
    paths = plots.training_figures(run.path, say=said.append)
    assert [path.stem for path in paths] == ["rule", "recall_curve", "ladder", "lifetime", "graph"]
    assert len(said) == 1
