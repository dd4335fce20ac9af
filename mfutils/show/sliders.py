"""The panels of the course. What a slider shows is computed before; moving it only draws."""

from . import plots
from .panel import Choice, Interval, Panel


def field_slider(panels):
    """The flow at a time: a dict from t to (points, v), as in `plots.flow_field`."""
    fig, (ax,) = plots.planes([""], size=4.2)
    move = plots.flow_field(ax, *next(iter(panels.values())))

    def draw(t):
        move(*panels[t])
        ax.set_title(f"t = {t}", fontsize=10)
        return f"The crowd at t = {t}, and arrows that show where its points move next."

    return Panel([Choice("t", list(panels))], fig, draw)


def euler_slider(paths, states):
    """Euler's steps over the true paths: paths (k, m, 2), and a dict from n_steps to states (n_steps + 1, m, 2)."""
    fig, (ax,) = plots.planes([""], size=4.2)
    move = plots.polyline(ax, paths, next(iter(states.values())), plots.color("flow_matching"))

    def draw(n_steps):
        move(states[n_steps])
        miss = (states[n_steps][-1] - paths[-1]).norm(dim=1).square().mean().sqrt().item()
        ax.set_title(f"steps: {n_steps}, missing the true ends by {miss:.2f}", fontsize=10)
        return f"Steps: {n_steps}, as arrows over the true paths; they miss the true ends by {miss:.2f} (rms)."

    return Panel([Choice("steps", list(states))], fig, draw)


def steps_slider(samples, target, distances, method="mean_flow", name="steps"):
    """Samples of a method (a dict from a number of steps to points) beside the target, with their distances to it.

    name: what kind of steps; those of the sampler, or of training.
    """
    fig, (left, right) = plots.planes(["samples", "target"], size=3)
    cloud = plots.dots(left, next(iter(samples.values())), plots.color(method))
    plots.dots(right, target, plots.DATA)

    def draw(n_steps):
        plots.put(cloud, samples[n_steps])
        left.set_title(f"{name}: {n_steps}, sliced W2 {distances[n_steps]:.3f}", fontsize=10)
        return f"Samples, {name}: {n_steps}, beside the target; sliced W2 {distances[n_steps]:.3f}."

    return Panel([Choice(name, list(samples))], fig, draw)


def chord_slider(path):
    """The chord of one particle's path between the times r and t.

    path: (k + 1, 2), the particle's states at times 1, 1 − 1/k, …, 0.
    """
    levels = len(path) - 1
    fig, (ax,) = plots.planes([""], size=4.2)
    move = plots.chord(ax, path, 0, levels)

    def draw(interval):
        r, t = interval
        start, end = (round((1 - s) * levels) for s in (t, r))
        move(start, end)
        if start == end:
            text = f"r = t = {t:.2f}: the chord has shrunk to the velocity v"
        else:
            u = (path[start] - path[end]) / (t - r)
            text = f"r = {r:.2f}, t = {t:.2f}: u = ({u[0]:.2f}, {u[1]:.2f})"
        ax.set_title(text, fontsize=10)
        return f"A curved path and its chord from t = {t:.2f} to r = {r:.2f}. {text}."

    return Panel([Interval(levels)], fig, draw)


def swing_slider(path, z_r, moments):
    """The chord from z_r to a particle that moves along its path (k, 2), and where its tip goes next.

    moments: a dict from (tangents in words, t) to (z_t, ahead, tip), as in `plots.swing`.
    """
    every, times = (list(dict.fromkeys(column)) for column in zip(*moments))
    fig, (ax,) = plots.planes([""], size=4.2)
    move = plots.swing(ax, path, z_r)

    def draw(tangents, t):
        z_t, ahead, tip = moments[tangents, t]
        move(z_t, ahead, tip)
        miss = (z_t + tip - ahead).norm().item()
        ax.set_title(f"t = {t}: the arrow misses the new tip by {miss:.3f}", fontsize=10)
        return f"t = {t}, tangents {tangents}: two chords, and an arrow whose tip misses the new one's by {miss:.3f}."

    return Panel([Choice("tangents", every, slider=False), Choice("t", times)], fig, draw)


def journey_slider(z_1, states):
    """Points on their way, each in the colour of the direction in which its noise z_1 (n, 2) lies: a dict from time to
    points (n, 2)."""
    fig, (ax,) = plots.planes([""], size=4.2)
    cloud = plots.wheel(ax, z_1[:plots.SHOWN], z_1[:plots.SHOWN], size=3)

    def draw(r):
        cloud.set_offsets(states[r][:plots.SHOWN].numpy())
        ax.set_title(f"r = {r}, one evaluation from noise", fontsize=10)
        return f"Points painted like a colour wheel, at r = {r}, one evaluation from noise."

    return Panel([Choice("r", list(states))], fig, draw)


def noise_slider(clouds):
    """The noise of the target with two tangents: a dict from (data, r) to two clouds (n, 2), with their root mean
    squares in the titles."""
    every, times = (list(dict.fromkeys(column)) for column in zip(*clouds))
    fig, axes = plots.planes(["", ""], size=3)
    shown = [plots.dots(ax, next(iter(clouds.values()))[0], colour, 2)
             for ax, colour in zip(axes, (plots.NOISE, plots.SAMPLES))]
    for ax in axes:
        ax.set(xlim=(-5, 5), ylim=(-5, 5), xticks=[-4, 0, 4], yticks=[-4, 0, 4])

    def draw(data, r):
        said = []
        for ax, artist, points, name in zip(axes, shown, clouds[data, r], ("marginal", "conditional")):
            plots.put(artist, points)
            said.append(f"{name} tangent: {points.square().sum(dim=1).mean().sqrt().item():.2f}")
            ax.set_title(said[-1], fontsize=10)
        return f"{data}, r = {r}, noise of the target; {'; '.join(said)}."

    return Panel([Choice("data", every, slider=False), Choice("r", times)], fig, draw)


@plots.in_our_style
def error_slider(errors, rms, levels):
    """Map of |u_net − u| over the plane for every r ≤ t.

    errors, rms: dicts from (i, j), meaning r = i / levels and t = j / levels, to values (n²,) on
    `plots.grid(n)` and to one number.
    """
    fig, (ax,) = plots.planes([""], size=4.2)
    picture = plots.heat_map(ax, errors[0, levels], highest=1.0)
    fig.colorbar(picture, ax=ax, label="error of u", extend="max", shrink=0.8)

    def draw(interval):
        i, j = (round(s * levels) for s in interval)
        picture.set_data(errors[i, j].view(picture.get_array().shape).numpy())
        ax.set_title(f"r = {i / levels:.2f}, t = {j / levels:.2f}: rms error {rms[i, j]:.3f}", fontsize=10)
        return f"Map of the error of u at r = {i / levels:.2f}, t = {j / levels:.2f}; rms error {rms[i, j]:.3f}."

    return Panel([Interval(levels)], fig, draw)


def comparison_panel(samples, targets, distances):
    """Samples beside the target, by distribution, method and number of evaluations.

    samples, distances: dicts from (distribution, method, NFE); missing combinations read "not made".  targets: a dict
    from distribution. What has one option only has no menu.
    """
    columns = [list(dict.fromkeys(column)) for column in zip(*samples)]
    fig, (left, right) = plots.planes(["samples", "target"], size=3)
    first = next(iter(samples))
    cloud, goal = plots.dots(left, samples[first]), plots.dots(right, targets[first[0]], plots.DATA)

    def draw(*chosen):
        chosen = iter(chosen)
        key = tuple(column[0] if len(column) == 1 else next(chosen) for column in columns)
        plots.put(cloud, samples.get(key, targets[key[0]][:0]))
        plots.put(goal, targets[key[0]])
        cloud.set_color(plots.color(key[1]) or plots.SAMPLES)
        score = f"sliced W2 {distances[key]:.3f}" if key in samples else "not made"
        left.set_title(f"NFE: {key[2]}, {score}", fontsize=10)
        return f"{key[0]}, {key[1]}, NFE: {key[2]}, beside the target; {score}."

    controls = [Choice("data", columns[0], slider=False), Choice("method", columns[1], slider=False),
                Choice("NFE", columns[2])]
    return Panel([control for control in controls if len(control.options) > 1], fig, draw)


def case_panel(samples, targets, scores):
    """Two ways to train or to sample, side by side; the first one only on the left.

    samples, scores: dicts from (data, steps, case) to points (n, 2) and to a distance in words.  targets: a dict from
    data to points.
    """
    every, numbers, cases = (list(dict.fromkeys(column)) for column in zip(*samples))
    fig, axes = plots.planes(["", "", "target"], size=2.6)
    clouds = [plots.dots(ax, next(iter(samples.values())), size=2) for ax in axes[:2]]
    goal = plots.dots(axes[2], targets[every[0]], plots.DATA, size=2)

    def draw(left, right, data, steps):
        plots.put(goal, targets[data])
        said = []
        for ax, cloud, case in zip(axes, clouds, (left, right)):
            plots.put(cloud, samples[data, steps, case])
            ax.set_title(f"{case.split(': ')[-1]}\n{scores[data, steps, case]}", fontsize=9)
            said.append(f"{case}, {scores[data, steps, case]}")
        return f"{data}, steps: {steps}. Left: {said[0]}. Right: {said[1]}."

    return Panel([Choice("left", cases, slider=False, live_only=True), Choice("right", cases[1:], slider=False),
                  Choice("data", every, slider=False), Choice("steps", numbers)], fig, draw)


def image_panel(images, names, said, columns=10, size=7.0):
    """Sheets of images: a dict from a tuple of choices to images (n, side²); numbers are chosen by a slider, words from
    a menu. What is missing is left white.

    names: of the choices, in order.  said: a dict from the same tuples to a line of text.
    """
    options = [list(dict.fromkeys(column)) for column in zip(*images)]
    blank = 0 * next(iter(images.values())) - 1
    fig = plots.sheets({"": blank}, columns, width=size)
    artist = fig.axes[0].images[0]

    def draw(*key):
        artist.set_data(plots.mosaic(images.get(key, blank), columns))
        text = said.get(key, "not made")
        fig.axes[0].set_title(text, fontsize=10)
        return f"{', '.join(f'{name} {value}' for name, value in zip(names, key))}: handwritten digits; {text}."

    return Panel([Choice(name, values, slider=not isinstance(values[0], str))
                  for name, values in zip(names, options)], fig, draw)
