"""The algorithm: the path, the times, the derivative, the losses, the sampler.

Points are (n, d): the plane has d = 2, and nothing here knows it. Losses are pure: data, noise and times come in as
arguments, so that a number can be checked by hand. Each returns one number, the mean over the batch of a squared
distance summed over the d coordinates.
"""

import torch

from .checks import check_count, check_points, columns


def interpolate(x, eps, t):
    """The straight road z_t = (1 − t) x + t ε of each pair and its conditional velocity ε − x.

    x, eps: (n, d).  t: a number or (n, 1), in [0, 1].  Returns z, v_cond, each (n, d).
    """
    check_points("x", x)
    check_points("eps", eps, *x.shape)
    t, = columns(x, t=t)
    return (1 - t) * x + t * eps, eps - x


def logit_normal(*size, mean=-0.4, sd=1.0, generator=None):
    """Times in (0, 1) whose logit is N(mean, sd²): the paper's choice (Geng et al. 2025, Table 1d)."""
    return torch.sigmoid(mean + sd * torch.randn(*size, generator=generator))


def squared_uniform(*size, generator=None):
    """Squares of uniform draws, a choice of this course. The larger of two squares is itself uniform, and the
    smaller lies near data; the larger of two uniform draws leans to noise (its density is 2t)."""
    return torch.rand(*size, generator=generator) ** 2


def sample_r_t(n, p_equal=0.5, p_zero=0.0, draw=torch.rand, generator=None):
    """Two times for each of n points: draw two, call the smaller r; then set r = t, or r = 0, in some rows.

    p_equal: the share of rows with r = t, which learn the velocity.
    p_zero: the share of rows with r = 0, the end that one step must reach.
    draw: `torch.rand` (uniform), `squared_uniform` or `logit_normal`; called as draw(n, 2, generator=…).
    Returns r, t, each (n, 1).
    """
    check_count("n", n)
    if not (p_equal >= 0 and p_zero >= 0 and p_equal + p_zero <= 1):
        raise ValueError("p_equal and p_zero are shares of the rows, each at least 0 and together at most 1; "
                         f"got {p_equal} and {p_zero}.")
    r, t = draw(n, 2, generator=generator).sort(dim=1).values.split(1, dim=1)
    row = (torch.arange(n)[:, None] + 0.5) / n
    r = torch.where(row < p_equal, t, r)
    return torch.where(row > 1 - p_zero, 0.0, r), t


def total_derivative(u, z, r, t, v):
    """u(z, r, t) and du/dt = (∂u/∂z) v + ∂u/∂t, the JVP with tangents (v, 0, 1) (Geng et al. 2025, eq. 8).

    u: any function of (z, r, t) that PyTorch can differentiate forward. A network may bring its own
    `total_derivative`, as `MeanVelocityMLP` does: the same numbers sooner, du/dt without gradient.
    z, v: (n, d).  r, t: numbers or (n, 1), 0 ≤ r ≤ t ≤ 1.  Returns two tensors (n, d).
    """
    r, t = columns(z, r=r, t=t)
    if v.shape != z.shape:
        raise ValueError(f"v must have the shape of z, {tuple(z.shape)}; got {tuple(v.shape)}.")
    if getattr(u, "total_derivative", None):
        return u.total_derivative(z, r, t, v)
    return torch.func.jvp(u, (z, r, t), (v, torch.zeros_like(r), torch.ones_like(t)))


def flow_matching_loss(v_net, x, eps, t):
    """|v_net(z_t, t) − (ε − x)|² (Lipman et al. 2023, arXiv 2210.02747, eq. 9). x, eps: (n, d).  t: (n, 1)."""
    z, v_cond = interpolate(x, eps, t)
    return (v_net(z, t) - v_cond).square().sum(dim=1).mean()


def mean_flow_loss(u_net, x, eps, r, t, p=0.0):
    """|u_net(z_t, r, t) − sg(u_tgt)|² with u_tgt = ε − x − (t − r) du/dt; sg is the stop-gradient, `detach`
    (Geng et al. 2025, Algorithm 1). The tangent is ε − x too.

    x, eps: (n, d).  r, t: (n, 1), 0 ≤ r ≤ t ≤ 1.  p: power of the paper's adaptive weight, see `weighted`.
    """
    z, v_cond = interpolate(x, eps, t)
    u, dudt = total_derivative(u_net, z, r, t, v_cond)
    u_tgt = v_cond - (t - r) * dudt
    return weighted((u - u_tgt.detach()).square().sum(dim=1), p).mean()


def improved_mean_flow_loss(u_net, x, eps, r, t, p=0.0):
    """Mean flow whose tangent is the network's own velocity u_net(z, t, t), without gradient; the velocity in the
    target stays ε − x.

    Improved mean flow (Geng et al. 2025, arXiv 2512.02012) in its boundary form, without guidance. There it is
    written as a regression of V = u + (t − r) sg(du/dt) on ε − x, which is this loss. Arguments as in `mean_flow_loss`.
    """
    z, v_cond = interpolate(x, eps, t)
    with torch.no_grad():
        v = u_net(z, t, t)
    u, dudt = total_derivative(u_net, z, r, t, v)
    u_tgt = v_cond - (t - r) * dudt
    return weighted((u - u_tgt.detach()).square().sum(dim=1), p).mean()


def self_distilled_mean_flow_loss(u_net, x, eps, r, t, u_average, p=0.5):
    """Mean flow that is its own teacher where r < t: the velocity, in the target and in the tangent, is
    u_average(z, t, t), that of the network's moving average. The rows with r = t still learn it from ε − x.

    Eulerian self-distillation (Boffi et al. 2025, arXiv 2505.18825, where the teacher is the network itself; Sabour et
    al. 2025, arXiv 2506.14603, where it is another one). The velocity in the target has no noise, and the teacher's
    error instead: variance is traded for bias. Given (z, r, t) this target is one number, so a robust loss has the
    same minimiser: the rows with r < t may be `weighted`, with power p and c = 0.1.

    u_average: called without gradient.  The other arguments as in `mean_flow_loss`.
    """
    z, v_cond = interpolate(x, eps, t)
    with torch.no_grad():
        v = u_average(z, t, t)
    u, dudt = total_derivative(u_net, z, r, t, v)
    u_tgt = torch.where(r < t, v, v_cond) - (t - r) * dudt
    error = (u - u_tgt.detach()).square().sum(dim=1)
    return torch.where((r < t).squeeze(1), weighted(error, p, c=0.1), error).mean()


def weighted(error, p, c=1e-3):
    """Per-sample squared errors (n,), each divided by (itself + c)^p held fixed (Geng et al. 2025, Section 4.3).

    p = 0 is plain squared error. With p = 0.5 samples of an error well above √c pull equally hard, so that a few
    wild ones do not decide; this seeks a median, which is the mean only where the target has no noise.
    With p = 1 those of small error pull harder, and where errors are well above c the printed loss is near 1:
    do not read it.
    """
    return error / (error.detach() + c) ** p


def euler(v):
    """A velocity v(z, t) as a u(z, r, t) for `sample`: the velocity at the step's noisy end. One evaluation a step."""
    return lambda z, r, t: v(z, t)


def midpoint(v):
    """A velocity v(z, t) as a u(z, r, t) for `sample`: the velocity half a step on. Two evaluations a step, so
    n_steps of it cost 2 n_steps NFE."""
    def u(z, r, t):
        half = (r + t) / 2
        return v(z - (t - half) * v(z, t), half)

    return u


@torch.no_grad()
def sample(u, z_1, n_steps, return_path=False):
    """From noise z_1 (n, d) at t = 1 to data at t = 0 in n_steps equal steps z ← z − (t − r) u(z, r, t).

    u: a mean-flow network, an exact average velocity, or `euler` or `midpoint` of a velocity.
    Returns z_0 (n, d); with return_path, all states (n_steps + 1, n, d) from z_1 to z_0.
    """
    check_points("z_1", z_1)
    check_count("n_steps", n_steps)
    path = [z_1]
    for i in range(n_steps, 0, -1):
        t = torch.full_like(z_1[:, :1], i / n_steps)
        r = torch.full_like(z_1[:, :1], (i - 1) / n_steps)
        path.append(path[-1] - (t - r) * u(path[-1], r, t))
    return torch.stack(path) if return_path else path[-1]
