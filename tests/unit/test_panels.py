"""Every panel as Python describes it: what is sent, what the knobs are linked to, what is refused. (What is drawn is
tested in a browser.)"""

import base64
import json
import sys

import ipywidgets
import numpy as np
import pytest
import torch
from stage import BOARD, CLOUD, PAIRS, PANELS

from mfutils import DISTRIBUTIONS, GaussianMixture, MeanVelocityMLP, VelocityMLP, load_pretrained, mixture_of_text
from mfutils.show import panel as panel_module
from mfutils.show import widgets
from mfutils.show.panel import PANEL, WIDGET, described, packed, packed_small


def unpacked(sent):
    """What math.js makes of packed numbers."""
    data = base64.b64decode(sent["data"])
    if sent["bits"] == 16:
        return torch.from_numpy(np.frombuffer(data, "<f2").astype(float)).view(sent["shape"])
    whole = torch.from_numpy(np.frombuffer(data, "i1").astype(float)).view(sent["shape"])
    return torch.where(whole == -128, torch.nan, whole * sent["scale"])


@pytest.mark.parametrize("name", PANELS)
def test_a_panel_is_json_and_its_knobs_are_linked_to_the_canvas(name, monkeypatch):
    """In a notebook a knob is a slider of ipywidgets, linked in the browser to a trait of the canvas."""
    panel, links = PANELS[name](), []
    monkeypatch.setattr(ipywidgets, "jslink", lambda source, target: links.append((source, target)))
    assert len(json.dumps(panel.spec(), allow_nan=False)) < 150_000
    box = panel.live()
    *knobs, canvas = box.children
    assert len(knobs) == len(panel.knobs)
    for knob, made in zip(panel.knobs, knobs):
        trait = "value" if knob["kind"] in {"time", "interval"} else "index"
        assert ((made, trait), (canvas, knob["key"])) in links
        start = getattr(made, trait)
        assert start == (tuple(panel.state[knob["key"]]) if knob["kind"] == "interval" else panel.state[knob["key"]])
    for key, value in panel.state.items():
        assert getattr(canvas, key) == value
        assert key in canvas.keys  # it is synchronised
    assert set(canvas.spec["shared"]) == set(panel.shipped)


def test_a_panel_is_displayed_live_and_as_data(monkeypatch):
    shown = []
    monkeypatch.setattr(panel_module, "display", lambda data, raw: shown.append(data))
    panel = PANELS["chord"]()
    panel._ipython_display_()
    assert shown[0][PANEL] == panel.spec()
    assert shown[0][WIDGET]["model_id"]
    assert "run this cell" in shown[0]["text/plain"]


def test_without_anywidget_a_sentence_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "mfutils.show.canvas", None)
    assert "pip install anywidget" in PANELS["chord"]().live().value
    own = widgets.OwnData("I")
    assert "pip install anywidget" in own.children[1].value
    own.children[0].children[0].value = "O"
    assert torch.equal(own.distribution.means, mixture_of_text("O").means)


def test_packed_numbers_come_back():
    values = torch.tensor([[1.5, -2.25], [float("nan"), 0.001]])
    assert unpacked(packed(values)).numpy() == pytest.approx(values.numpy(), rel=1e-3, nan_ok=True)
    assert unpacked(packed_small(values)).numpy() == pytest.approx(values.numpy(), abs=2.25 / 254, nan_ok=True)
    assert unpacked(packed_small(torch.zeros(3))).tolist() == [0, 0, 0]


@pytest.mark.parametrize("network", [MeanVelocityMLP, VelocityMLP])
@pytest.mark.parametrize("activation", [torch.nn.GELU, torch.nn.SiLU, torch.nn.Tanh, torch.nn.ReLU])
def test_a_network_is_sent_as_its_layers(network, activation):
    torch.manual_seed(0)
    net = network(8, 2, activation=activation)
    sent = described(net)
    assert sent["activation"] == activation.__name__
    for (weight, bias), layer in zip(sent["layers"], net.net[::2], strict=True):
        assert unpacked(weight).numpy() == pytest.approx(layer.weight.detach().numpy(), abs=1e-3)
        assert unpacked(bias).numpy() == pytest.approx(layer.bias.detach().numpy(), abs=1e-3)


class Twice(MeanVelocityMLP):
    def forward(self, z, r, t):
        return 2 * super().forward(z, r, t)


class Circles(MeanVelocityMLP):
    def features(self, z, r, t):
        return torch.cat([z, t.sin(), t.cos()], dim=1)


def hooked():
    net = MeanVelocityMLP(8, 2)
    net.net[0].register_forward_hook(lambda module, given, out: 2 * out)
    return net


@pytest.mark.parametrize(("make", "says"), [
    (lambda: Twice(8, 2), "something else"),
    (lambda: Circles(8, 2), "something else"),
    (hooked, "something else"),
    (lambda: MeanVelocityMLP(8, 2, activation=torch.nn.ELU), "GELU"),
    (lambda: MeanVelocityMLP(8, 2, activation=lambda: torch.nn.GELU("tanh")), "GELU"),
    (lambda: MeanVelocityMLP(8, 2, d=3), "plane"),
    (lambda: GaussianMixture(torch.randn(3, 3), 0.1), "plane"),
    (lambda: lambda z, r, t: z, "MeanVelocityMLP or VelocityMLP"),
], ids=["forward", "features", "hook", "activation", "approximate", "space", "mixture in space", "function"])
def test_what_the_page_cannot_compute_is_refused_in_words(make, says):
    with pytest.raises(ValueError, match=says):
        widgets.explore(make())


def diverged():
    net = MeanVelocityMLP(8, 2)
    torch.nn.init.constant_(net.net[0].weight, torch.nan)
    return net


def compared(data, methods):
    return widgets.comparison({data: methods}, {(data, "a", 1): 0.1})


@pytest.mark.parametrize(("make", "says"), [
    (lambda: widgets.explore(diverged()), "diverged"),
    (lambda: widgets.field(MeanVelocityMLP(8, 2)), "exact velocity"),
    (lambda: widgets.roads(VelocityMLP(8, 2)), "exact velocity"),
    (lambda: widgets.solvers(MeanVelocityMLP(8, 2), CLOUD), "exact velocity"),
    (lambda: widgets.solvers(BOARD, CLOUD[0]), "points"),
    (lambda: widgets.chord(BOARD, [1.0, 2.0, 3.0]), "points"),
    (lambda: widgets.swing(BOARD, CLOUD[0], 0.9, 0.1, [(0, 1)]), "leave room for t"),
    (lambda: compared("spiral", {"a": (VelocityMLP(8, 2), "Heun")}), "Heun"),
    (lambda: compared("spiral", {}), "spiral, a"),
    (lambda: compared("spiral", {"a": (VelocityMLP(8, 2), "midpoint")}), "even"),
    (lambda: compared("moon", {"a": (VelocityMLP(8, 2), "Euler")}), "checkerboard"),
], ids=["diverged", "field", "roads", "solvers", "one start", "three numbers", "swing", "solver", "label", "odd",
        "data"])
def test_bad_input_is_refused_where_it_comes_in(make, says):
    with pytest.raises((ValueError, KeyError), match=says):
        make()


def test_what_a_learner_may_bring_works():
    for start in ([1.0, 0.5], torch.tensor([[1.0, 0.5]]), np.array([1.0, 0.5])):
        assert widgets.chord(BOARD, start).data["start"] == [1.0, 0.5]
    widgets.solvers(BOARD, [[1.0, 0.5], [0.0, 1.0]])
    for net in (MeanVelocityMLP(8, 2).double(), MeanVelocityMLP(8, 2).half(), MeanVelocityMLP(128, 1).train()):
        widgets.explore(net)
    only = "checkerboard", 1, "a: b"
    widgets.cases({only: CLOUD}, {"checkerboard": CLOUD}, {only: "TV"}).live()


def test_a_comparison_sends_a_network_once_and_leaves_out_what_was_not_made():
    net = VelocityMLP(8, 2)
    solvers = {"flow matching, Euler": (net, "Euler"), "flow matching, midpoint": (net, "midpoint")}
    panel = widgets.comparison({"checkerboard": solvers}, {("checkerboard", "flow matching, Euler", 1): 0.5,
                                                            ("checkerboard", "flow matching, midpoint", 2): 0.25})
    assert panel.data["data"][0]["networks"][1] == 0
    assert panel.data["texts"] == [["0.500", None, None, "0.250"]]
    assert panel.knobs == []  # one distribution needs no keys


def test_clouds_stand_where_their_knobs_look():
    """A square of `choices` shows the item at the sum of position × stride."""
    panel = PANELS["cases"]()
    left, right, target = panel.data["squares"]
    points = unpacked(left["items"])
    names, every, numbers = ("x: one", "x: two", "y: three"), ("checkerboard", "spiral"), (1, 8)
    order = [(data, steps, case) for data in every for steps in numbers for case in names]
    for state in np.ndindex(3, 2, 2):
        chosen = sum(left["by"].get(key, 0) * k for key, k in zip(("left", "data", "steps"), state))
        k = order.index((every[state[1]], numbers[state[2]], names[state[0]]))
        expected = (k + 1) / 9 * CLOUD
        expected = expected.where(expected.abs() < 3.1, torch.nan)
        assert points[chosen].numpy() == pytest.approx(expected.numpy(), abs=0.02, nan_ok=True)
        assert f"TV {k / 10}" in left["titles"][chosen]
    assert right["items"] == {"same": 0}
    assert unpacked(target["items"])[1].numpy() == pytest.approx(-CLOUD.numpy(), abs=2e-3)


def test_the_error_of_every_interval_is_sent_in_the_order_of_the_triangle():
    panel = PANELS["error"]()
    maps = unpacked(panel.data["errors"])
    for i, j in PAIRS:
        number = j * (j + 1) // 2 + i  # as scenes.js counts
        assert maps[number].mean().item() == pytest.approx((i + j) / 10, abs=0.01)
        assert panel.data["rms"][number] == i + j / 10


def test_shared_networks_go_by_their_names():
    panel = widgets.race()
    assert "checkerboard-flow_matching" in panel.shipped
    assert "layers" not in json.dumps(panel.spec())
    (weight, _), *_ = panel_module.shipped("checkerboard-mean_flow")["layers"]
    assert torch.equal(unpacked(weight).float(), load_pretrained("checkerboard", "mean_flow").net[0].weight)


def test_distributions_are_described_exactly():
    assert described(BOARD) == {"board": True}
    spiral = DISTRIBUTIONS["spiral"]
    assert torch.tensor(described(spiral)["means"]).double().numpy() == pytest.approx(spiral.means.numpy(), abs=1e-6)


def own_data():
    own = widgets.OwnData("I")
    (write, choose, _), panel, state = own.children[0].children, own.children[1], own.children[2]
    return own, write, choose, panel.children[-1], state


def test_own_data_is_what_came_last():
    own, write, _, canvas, state = own_data()
    assert len(canvas.means) == len(own.distribution.means)
    first = own.distribution
    write.value = "❀"
    flower = own.distribution
    assert flower is not first
    assert f"{len(flower.means)} Gaussians" in state.value
    assert torch.tensor(canvas.means).numpy() == pytest.approx(flower.means.numpy(), abs=1e-3)
    canvas.set_state(dict(ink=[0.1, 0.1, 0.2, 0.2, 0.3, 0.1], means=[]))  # as a pen does
    drawn = own.distribution
    assert len(drawn.means) == 3
    canvas.set_state(dict(ink=[]))  # cleared, to draw anew
    assert own.distribution is drawn


def test_a_text_is_sent_to_the_canvas(monkeypatch):
    """Not set as if it had come from there: ipywidgets 7 sends nothing back then."""
    _, write, _, canvas, _ = own_data()
    sent = []
    monkeypatch.setattr(type(canvas), "send_state", lambda self, key=None: sent.append({*key}))
    write.value = "O"
    assert {"means", "width"} <= set().union(*sent)


def test_own_data_keeps_the_last_that_worked_and_says_what_is_wrong():
    own, write, _, canvas, state = own_data()
    before, shown = own.distribution, canvas.means
    write.value = "  "
    assert "text is empty" in state.value
    assert own.distribution is before
    assert canvas.means == shown


@pytest.mark.parametrize(("text", "says"), [("恐", "font has no"), (" ", "text is empty")])
def test_own_data_has_a_distribution_though_the_first_text_cannot_be_drawn(text, says):
    own = widgets.OwnData(text)
    write, state = own.children[0].children[0], own.children[2]
    assert torch.equal(own.distribution.means, mixture_of_text("❀").means)
    assert says in state.value
    assert state.value.endswith("The picture shows ❀ instead.")
    write.value = "  "
    assert state.value.endswith("The picture still shows the last one that worked.")
    write.value = "I"
    assert torch.equal(own.distribution.means, mixture_of_text("I").means)


@pytest.mark.parametrize("value", [
    {"a.txt": {"metadata": {}, "content": b"1 2\n3 4"}},  # ipywidgets 7
    ({"name": "a.txt", "content": memoryview(b"1 2\n3 4")},),  # ipywidgets 8
], ids=["7", "8"])
def test_an_uploaded_file_is_read_in_both_versions_of_ipywidgets(value):
    assert widgets.uploaded(value) == b"1 2\n3 4"
