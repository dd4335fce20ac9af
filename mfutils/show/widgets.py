"""Panels to hold: what each one is given, and where its knobs start. scenes.js has the rest. And a place to bring data
of one's own."""

import html
import math

import ipywidgets
import torch

from .. import shapes
from ..data import DISTRIBUTIONS
from ..records import recorded
from . import plots
from .panel import Panel, described, exact, interval, keys, menu, packed, packed_small, show, slider, time

FEW = 1200  # points of a cloud that is sent
STEPS = [1, 2, 4, 8, 16, 32, 64]
PLACE = [1.5, -1.2]  # where a handle starts
INSTEAD = "❀"  # of a first text that cannot be drawn


def field(dist):
    """Travellers on their roads, or a crowd in the exact field, at any time; and one to drag, with its path."""
    return Panel("field", dict(dist=exact(dist)), dict(t=1.0, who=0, z=PLACE),
                 [time(), keys("who", "points", ["on roads", "in the field"])], play="t", glide=["z"])


def roads(dist, n=40):
    """n roads through a place and time that can be dragged, each as dark as it is likely, and the mean of all."""
    known, x = exact(dist), dist.sample(n, torch.Generator().manual_seed(2))
    return Panel("roads", dict(dist=known, x=packed(x)), dict(t=0.6, z=[1.6, -1.2]), [time(low=0.05)])


def solvers(dist, starts):
    """Steps of Euler or the midpoint rule over the exact paths from starts (k, 2), and from a point to drag."""
    return Panel("solvers", dict(dist=exact(dist), starts=shapes.plane_points(starts).tolist(), steps=STEPS),
                 dict(n=2, solver=0, z=[-0.6, 1.4]),
                 [slider("n", "steps", STEPS), keys("solver", "solver", ["Euler", "midpoint"])])


def chord(dist, start):
    """The exact path from a noise point, start (2,), and its chord between two times, with both ends to drag."""
    data = dict(dist=exact(dist), start=one_point(start))
    return Panel("chord", data, dict(rt=[0.2, 0.8]), [interval()])


def one_point(point):
    """A point of the plane, (2,) or (1, 2), as a list; ValueError for anything else."""
    (only,) = shapes.plane_points(torch.as_tensor(point).reshape(1, -1)).tolist()
    return only


def cut(dist, starts):
    """A jump from t to r, and the same jump in two pieces: the cut can be dragged along the path, and so can both ends;
    in the triangle of (r, t), what each piece stands for. starts (k, 2): the noise points to choose from."""
    data = dict(dist=exact(dist), starts=shapes.plane_points(starts).tolist())
    return Panel("cut", data, dict(rt=[0.1, 0.9], s=0.5, k=0), [], glide=["s"])


def swing(dist, start, r, dt, tangents):
    """The chord from z_r swings while t grows by dt; and where tangents (v, a, b), given as (a, b), send its tip."""
    if not 0 <= r < r + 0.02 + dt < 1:
        raise ValueError(f"r and dt must leave room for t: 0 ≤ r and r + dt < 0.98; got r = {r} and dt = {dt}.")
    data = dict(dist=exact(dist), start=one_point(start), r=r, dt=dt, tangents=list(map(list, tangents)))
    return Panel("swing", data, dict(t=max(r + 0.02, min(0.8, 1 - dt))), [time(low=r + 0.02, high=1 - dt)])


def comparison(networks, distances, about="sliced W2"):
    """A matrix of methods and numbers of evaluations to choose from, and their samples beside the target.

    networks: a dict from distribution (by name) to a dict from label to (network or name of a shipped one, solver),
    where the solver is "Euler", "midpoint" or "jump", which is one step of a mean flow.
    distances: a dict from (distribution, label, NFE) to the number in the cell; others are not made.
    """
    labels, columns = (list(dict.fromkeys(key[i] for key in distances)) for i in (1, 2))
    columns, data, texts = sorted(columns), [], []
    for name, methods in networks.items():
        for label in labels:
            if label not in methods or methods[label][1] not in {"Euler", "midpoint", "jump"}:
                raise ValueError('networks must hold a network and a solver, "Euler", "midpoint" or "jump", for '
                                 f"{name}, {label}; got {methods.get(label)!r}.")
            if methods[label][1] == "midpoint" and any((name, label, nfe) in distances for nfe in columns if nfe % 2):
                raise ValueError(f"midpoint takes two evaluations a step: the NFE of {label} must be even.")
        every = [methods[label][0] for label in labels]  # one that occurs twice is sent once, then goes by its place
        nets = [net if isinstance(net, str) else every.index(net) if every.index(net) < i else described(net)
                for i, net in enumerate(every)]
        data.append(dict(name=plots.in_words(name), dist=described(DISTRIBUTIONS[name]), networks=nets))
        cells = [distances.get((name, label, nfe)) for label in labels for nfe in columns]
        texts.append([None if cell is None else f"{cell:.3f}" for cell in cells])
    first = next(iter(networks.values()))
    methods = [dict(label=label, solver=first[label][1], color=color_of(label)) for label in labels]
    jumps = [i for i, text in enumerate(texts[0]) if text and methods[i // len(columns)]["solver"] == "jump"]
    start = next(iter(jumps), next((i for i, text in enumerate(texts[0]) if text), 0))
    shipped = sorted({net for one in data for net in one["networks"] if isinstance(net, str)})
    return Panel("comparison", dict(data=data, methods=methods, columns=columns, texts=texts, about=about),
                 dict(which=0, cell=start), [keys("which", "data", [one["name"] for one in data])] * (len(data) > 1),
                 glide=["cell"], shipped=shipped)


def color_of(label):
    """What the canvas calls a method's colour: flow_matching for "flow matching, Euler"."""
    return label.split(",")[0].replace(" ", "_").replace("-", "_")


def stages(samples, places, errors, distances, name="training step"):
    """Samples at several stages of training beside the errors over the triangle r ≤ t, bright is large.

    samples: a dict from stage to points (n, 2), each in the colour of its place in `places` (n, 2).  errors: a dict
    from stage to values (k, k) by t, then r, NaN where r > t.  distances: a dict from stage to what they are, in words.
    """
    few, title = places[:FEW].detach().cpu(), [f"{name} {stage}" for stage in samples]
    each, highest = torch.stack([errors[stage].flatten() for stage in samples]), max(map(most, errors.values()))
    half = 0.5 / (len(errors[next(iter(errors))]) - 1)  # tiles are around their times
    ends = [-half, 1 + half]
    squares = [cloud(list(samples.values()), title, dict(k=1), "mean_flow", place=packed(few)),
               dict(items=packed_small(each), titles=["error of u: r across, t up"], by=dict(k=1), color="mean_flow",
                    share=0.8, highest=highest, view=[*ends, *ends], **{"as": "tiles"})]
    words = [f"{name} {stage}: {distances[stage]}. Largest error {most(errors[stage]):.2f}; yellow is {highest:.2f}."
             for stage in samples]
    return choices(squares, words, dict(k=1), dict(k=0), [slider("k", name, samples)], play="k")


def film(errors):
    """The errors over the triangle r ≤ t of several networks as they are trained, bright is large: a dict from title to
    (a dict from step to values (k, k) by t, then r, NaN where r > t)."""
    highest = max(most(values) for one in errors.values() for values in one.values())
    steps, half = list(next(iter(errors.values()))), 0.5 / (len(next(iter(next(iter(errors.values())).values()))) - 1)
    ends = [-half, 1 + half]
    squares = [dict(items=packed_small(torch.stack([values.flatten() for values in one.values()])), titles=[title],
                    by=dict(k=1), color="ink", share=0.66, highest=highest, view=[*ends, *ends], **{"as": "tiles"})
               for title, one in errors.items()]
    words = [f"step {step}, largest error: "
             + ", ".join(f"{title} {most(one[step]):.2f}" for title, one in errors.items())
             + f". Yellow is {highest:.2f}; r across, t up." for step in steps]
    return choices(squares, words, dict(k=1), dict(k=0), [slider("k", "training step", steps)], play="k")


def most(values):
    """The largest of them, but for those that are not numbers."""
    return values.nan_to_num(0).max().item()


def choices(squares, words, by, state, knobs, matrix=None, **more):
    """Squares that show what was made before: in each the item at the sum of position × stride over its knobs `by`."""
    return Panel("choices", dict(squares=squares, words=words, by=by, matrix=matrix), state, knobs, **more)


def cloud(clouds, titles, by, color, few=FEW, pack=packed, **more):
    """A square of `choices`: equally many points, (n, 2), for every position."""
    points = torch.stack([points[:few].detach().cpu() for points in clouds])
    return dict(items=pack(points), titles=titles, by=by, color=color, **{"as": "points"}, **more)


def error(errors, rms, levels):
    """Maps of |u_net − u| over the plane for r ≤ t, to be chosen in a triangle coloured by their rms.

    errors, rms: dicts from (i, j), meaning r = i / levels and t = j / levels, to values (n²,) on `plots.grid(n)` and to
    one number.
    """
    order = [(i, j) for j in range(levels + 1) for i in range(j + 1)]
    maps = torch.stack([errors[key] for key in order]).clamp(max=1)
    data = dict(errors=packed_small(maps), rms=[round(rms[key], 4) for key in order], levels=levels)
    return Panel("error", data, dict(rt=[0.0, 1.0]), [interval(1 / levels)])


def explore(u_net, method="mean_flow", dist=None):
    """Your own network in your hand: drag a patch of noise and see where it lands, move r and t, count the steps.

    u_net: a MeanVelocityMLP or VelocityMLP of the plane, trained or not, or a distribution, with its exact velocity.
    method: whose colour it has.  dist: the data, if known: colours then say where the exact flow takes each point.
    Raises ValueError for a network that the page cannot compute.
    """
    data = dict(described=described(u_net), dist=dist and described(dist), color=method, steps=STEPS)
    return Panel("explore", data, dict(rt=[0.0, 1.0], n=0, p=[0.8, 0.6]), [interval(), slider("n", "steps", STEPS)])


def noise(clouds):
    """The noise of the target with two tangents: a dict from (data, r) to two clouds (n, 2), of which the first one is
    the same for every r."""
    every, times = (list(dict.fromkeys(column)) for column in zip(*clouds))
    times, by = sorted(times), dict(which=len(times), r=1)

    def square(name, points, by, color):
        titles = [f"{name}, rms {one.square().sum(dim=1).mean().sqrt():.2f}" for one in points]
        return cloud(points, titles, by, color, few=800, view=[-5, 5, -5, 5])

    marginal, conditional = ([clouds[data, times[0]][0] for data in every],
                             [clouds[data, r][1] for data in every for r in times])
    squares = [square("marginal tangent: Δ", marginal, dict(which=1), "noise"),
               square("conditional tangent: JΔ", conditional, by, "mean_flow")]
    words = [f"{data}, r = {r}: {{0}}; {{1}}." for data in every for r in times]
    return choices(squares, words, by, dict(which=0, r=len(times) - 1),
                   [keys("which", "data", every), slider("r", "r", times)])


def cases(samples, targets, scores, points=215):
    """Any two ways to train or to sample, side by side, and the target.

    samples, scores: dicts from (data, steps, case) to points (n, 2) and to a distance in words.  targets: a dict from
    data to points.
    """
    every, numbers, names = (list(dict.fromkeys(column)) for column in zip(*samples))
    order = [(data, steps, name) for name in names for data in every for steps in numbers]
    by, per = dict(data=len(numbers), steps=1), len(every) * len(numbers)
    titles = [f"{name}, {scores[data, steps, name]}" for data, steps, name in order]
    inside = [samples[key].where(samples[key].abs() < 3.1, torch.nan) for key in order]  # what is seen; 8 bits will do
    left = cloud(inside, titles, dict(left=per, **by), "mean_flow", points, packed_small, share=0.8, size=2)
    squares = [left, {**left, "by": dict(right=per, **by), "items": dict(same=0)},
               cloud([targets[data] for data in every], ["target"], dict(data=1), "data", points, share=0.8, size=2)]
    words = [f"{plots.in_words(data)}, steps: {steps}. Left: {{0}}. Right: {{1}}."
             for data in every for steps in numbers]
    return choices(squares, words, by, dict(left=0, right=min(1, len(names) - 1), data=0, steps=0),
                   [menu("left", "left", names), menu("right", "right", names),
                    keys("data", "data", map(plots.in_words, every)),
                    keys("steps", "steps", [f"{n} step{'s'[:n > 1]}" for n in numbers])])


def sheets(images, names, said, columns=10, few=30):
    """Sheets of small images: a dict from two choices to images (n, side²). Words of the first choice are the rows of a
    matrix, numbers are keys.

    names: of the choices.  said: a dict from the same pairs to a line of text, whose last word is in the cell.
    """
    first, second = (list(dict.fromkeys(column)) for column in zip(*images))
    blank = 0 * next(iter(images.values())) - 1
    order = [(a, b) for a in first for b in second]
    every, side = torch.stack([images.get(key, blank)[:few] for key in order]), round(blank.shape[1] ** 0.5)
    square = dict(items=packed_small(every), color="mean_flow", side=side, columns=columns, **{"as": "images"},
                  view=[-1, columns * (side + 1), -math.ceil(every.shape[1] / columns) * (side + 1), 1],
                  titles=[", ".join(f"{name} {value}" if name != "method" else value for name, value in zip(names, key))
                          for key in order])
    words = [f"{said.get(key, 'not made')}." for key in order]
    if isinstance(first[0], str):
        texts = [said[key].split()[-1] if key in said else None for key in order]
        matrix = dict(key="cell", rows=first, columns=[f"{value} {names[1]}" for value in second], texts=texts)
        return choices([{**square, "by": dict(cell=1)}], words, dict(cell=1), dict(cell=0), [], matrix, glide=["cell"])
    by = dict(a=len(second), b=1)
    return choices([{**square, "by": by}], words, by, dict(a=0, b=0),
                   [keys("a", names[0], first), slider("b", names[1], second)])


def between(squares, grid):
    """One digit at a place between four, which can be dragged: a dict from (corners, turn of the noise in degrees) to
    images (grid², side²)."""
    corners, turns = (list(dict.fromkeys(column)) for column in zip(*squares))
    every = torch.stack([torch.stack([squares[name, turn].flatten() for turn in turns]) for name in corners])
    side = round(next(iter(squares.values())).shape[1] ** 0.5)
    data = dict(sheets=packed_small(every), side=side, grid=grid, corners=corners, turns=turns)
    return Panel("between", data, dict(p=[0.5, 0.5], which=0, turn=0), play="turn", knobs=[
        keys("which", "corners", corners), slider("turn", "turn of the noise", [f"{turn}°" for turn in turns])])


def race():
    """Steps along a learned velocity against one jump by a learned average velocity, from the same noise."""
    jumps = {"right: learned from pairs": "mean_flow", "from itself": "self_distilled_mean_flow",
             "from paths": "distilled_mean_flow"}
    data = []
    for name, dist in DISTRIBUTIONS.items():
        left = [[score(name, "flow_matching", n * per_step, solver) for n in STEPS]
                for solver, per_step in (("euler", 1), ("midpoint", 2))]
        data.append(dict(name=plots.in_words(name), dist=described(dist), left=left,
                         networks=[f"{name}-{method}" for method in ("flow_matching", *jumps.values())],
                         jumps=[score(name, method, 1, "euler") for method in jumps.values()]))
    return Panel("race", dict(data=data, steps=STEPS, solvers=["Euler", "midpoint"], colors=list(jumps.values())),
                 dict(which=0, n=0, solver=0, jump=2, z=[0.9, -0.3], rt=[0.0, 1.0], seed=0),
                 [keys("which", "data", [one["name"] for one in data]), slider("n", "steps on the left", STEPS),
                  keys("solver", "solver", ["Euler", "midpoint"]), keys("jump", "right", list(jumps))],
                 glide=["seed"], shipped=[name for one in data for name in one["networks"]])


def score(distribution, method, nfe, solver):
    """Total variation, the mean of five recorded seeds, in words; None where it was not measured."""
    five = recorded(distribution, method, "total_variation", nfe, solver)
    return f"{sum(five) / len(five):.2f}" if five else None


def draw():
    """A square to draw in, and the exact velocity of what was drawn: many steps of it, and one of its average."""
    return Panel("draw", dict(steps=STEPS), dict(ink=[], means=[], width=0.06, n=0), [slider("n", "steps", STEPS)])


class OwnData(ipywidgets.VBox):
    """Write something, choose a file, or draw with the mouse: `distribution` is the exact mixture of what came last, or
    of ❀ as long as nothing that came could be drawn. Beside it, live, what its exact velocity does."""

    def __init__(self, text):
        write = ipywidgets.Text(text, description="write", continuous_update=False)
        choose = ipywidgets.FileUpload(accept="image/*,.csv,.txt", description="or a file")
        hint = ipywidgets.HTML("a picture, or two numbers in every line; below 1 MB")  # more is lost in Colab
        self.state, panel = ipywidgets.HTML(), draw().live()
        self.canvas = getattr(panel, "children", [None])[-1]  # none without anywidget
        write.observe(lambda change: self.take(shapes.mixture_of_text, change.new), "value")
        choose.observe(lambda change: self.take(shapes.mixture_of_file, uploaded(change.new)), "value")
        if self.canvas:
            self.canvas.observe(self.take_drawing, "ink")
        self.take(shapes.mixture_of_text, text)
        super().__init__([ipywidgets.HBox([write, choose, hint]), panel, self.state])

    def _ipython_display_(self):
        """Live, and beside it the panel for the website."""
        panel = draw()
        panel.state |= means_of(self.distribution)
        show(self, panel)

    def take(self, mixture_of, given):
        """Make the mixture and show it, or say what is wrong."""
        try:
            self.distribution = mixture_of(given)
        except ValueError as error:
            shown = "still shows the last one that worked"
            if not hasattr(self, "distribution"):  # the cells below need one
                self.take(shapes.mixture_of_text, INSTEAD)
                shown = f"shows {INSTEAD} instead"
            self.state.value = f"{html.escape(str(error))} The picture {shown}."
            return
        self.state.value = f"a mixture of {len(self.distribution.means)} Gaussians"
        if self.canvas and mixture_of is not shapes.mixture_of_points:  # what is drawn is on the canvas already
            with self.canvas.hold_sync():
                for key, value in means_of(self.distribution).items():
                    setattr(self.canvas, key, value)

    def take_drawing(self, change):
        points = torch.tensor(change.new).view(-1, 2)
        if len(points) > 1:
            self.take(shapes.mixture_of_points, points)


def means_of(distribution):
    """A mixture as the state of the canvas."""
    return dict(means=[[round(part, 3) for part in mean] for mean in distribution.means.tolist()],
                width=round(distribution.sd[0].item(), 4), ink=[])


def uploaded(value):
    """The bytes of the one file in a FileUpload's value: a dict in ipywidgets 7, a tuple in 8."""
    (file,) = value.values() if isinstance(value, dict) else value
    return bytes(file["content"])
