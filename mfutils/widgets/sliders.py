"""The panels of the course. What a slider shows is computed before; moving it only draws."""

from .. import plots
from .panel import Choice, Interval, Panel


def steps_slider(samples, target, distances, method="mean_flow"):
    """Samples of a method (dict from n_steps to points) beside the target, with their distances to it."""
    fig, (left, right) = plots.planes(["samples", "target"], size=3)
    cloud = plots.dots(left, next(iter(samples.values())), plots.color(method))
    plots.dots(right, target, plots.DATA)

    def draw(n_steps):
        plots.put(cloud, samples[n_steps])
        left.set_title(f"steps: {n_steps}, sliced W2 {distances[n_steps]:.3f}", fontsize=10)
        return f"Samples, steps: {n_steps}, beside the target; sliced W2 {distances[n_steps]:.3f}."

    return Panel([Choice("steps", list(samples))], fig, draw)


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
    """Samples beside the target, by distribution, method and number of steps.

    samples, distances: dicts from (distribution, method, n_steps).  targets: a dict from distribution.
    """
    names, methods, steps = (list(dict.fromkeys(column)) for column in zip(*samples))
    fig, (left, right) = plots.planes(["samples", "target"], size=3)
    cloud = plots.dots(left, samples[names[0], methods[0], steps[0]])
    goal = plots.dots(right, targets[names[0]], plots.DATA)

    def draw(*key):
        plots.put(cloud, samples[key])
        plots.put(goal, targets[key[0]])
        cloud.set_color(plots.color(key[1]) or plots.SAMPLES)
        left.set_title(f"steps: {key[2]}, sliced W2 {distances[key]:.3f}", fontsize=10)
        return f"{key[0]}, {key[1]}, steps: {key[2]}, beside the target; sliced W2 {distances[key]:.3f}."

    return Panel([Choice("data", names, slider=False), Choice("method", methods, slider=False),
                  Choice("steps", steps)], fig, draw)
