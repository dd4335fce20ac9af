"""The algorithm in four parts: the path, the times, the losses, the sampler.

Losses are pure: data, noise and times come in as arguments, so that a number can be checked by hand.
Each returns one number, the mean over the batch of a squared distance summed over the two coordinates.
"""

import torch

from .checks import check_count, check_points, check_times


def interpolate(x, eps, t):
    """The straight path z_t = (1 − t) x + t ε and its conditional velocity v = ε − x.

    x, eps: (n, 2).  t: (n, 1) in [0, 1].  Returns z, v, each (n, 2).
    """
    check_points("x", x)
    check_points("eps", eps, n=len(x))
    check_times(len(x), t=t)
    return (1 - t) * x + t * eps, eps - x


def logit_normal(*size, mean=-0.4, sd=1.0, generator=None):
    """Times in (0, 1) whose logit is N(mean, sd²): the paper's choice (Geng et al. 2025, Table 1d)."""
    return torch.sigmoid(mean + sd * torch.randn(*size, generator=generator))


def squared_uniform(*size, generator=None):
    """Squares of uniform draws, a choice of this course. The larger of two squares is itself uniform, and the
    smaller lies near data; the larger of two uniform draws leans to noise (its density is 2t)."""
    return torch.rand(*size, generator=generator) ** 2


def sample_r_t(n, p_equal=0.5, p_zero=0.0, times=torch.rand, generator=None):
    """Two times for each of n points: draw two, call the smaller r; then set r = t, or r = 0, in some rows.

    p_equal: the share of rows with r = t, which learn the velocity. They come first.
    p_zero: the share of rows with r = 0, the end that one step must reach. They come last.
    times: `torch.rand` (uniform), `squared_uniform` or `logit_normal`; called as times(n, 2, generator=…).
    Returns r, t, each (n, 1).
    """
    check_count("n", n)
    if not (p_equal >= 0 and p_zero >= 0 and p_equal + p_zero <= 1):
        raise ValueError("p_equal and p_zero are shares of the rows, each at least 0 and together at most 1; "
                         f"got {p_equal} and {p_zero}.")
    r, t = times(n, 2, generator=generator).sort(dim=1).values.split(1, dim=1)
    row = (torch.arange(n)[:, None] + 0.5) / n
    r = torch.where(row < p_equal, t, r)
    return torch.where(row > 1 - p_zero, 0.0, r), t


def flow_matching_loss(v_net, x, eps, t):
    """|v_net(z_t, t) − (ε − x)|² (Lipman et al. 2023, arXiv 2210.02747, eq. 9). x, eps: (n, 2).  t: (n, 1)."""
    z, v = interpolate(x, eps, t)
    return (v_net(z, t) - v).square().sum(dim=1).mean()


def mean_flow_loss(u_net, x, eps, r, t, p=0.0):
    """|u_net(z_t, r, t) − sg(u_tgt)|² with u_tgt = ε − x − (t − r) du/dt; sg is the stop-gradient, `detach`
    (Geng et al. 2025, Algorithm 1).

    x, eps: (n, 2).  r, t: (n, 1), 0 ≤ r ≤ t ≤ 1.  p: power of the paper's adaptive weight, see `weighted`.
    """
    z, v = interpolate(x, eps, t)
    return weighted(error_to_target(u_net, z, r, t, v, tangent=v), p).mean()


def improved_mean_flow_loss(u_net, x, eps, r, t, u_average, p=0.5):
    """Mean flow with the network's own velocity, asked of its moving average: u_average(z, t, t), for ε − x.

    It is close to the mean of ε − x and has none of its noise. Geng et al. (2025, arXiv 2512.02012) put it into the
    tangent. Here it is in the target too, in the rows with r < t; those with r = t still learn it from ε − x.
    A target without noise allows a robust weight, `weighted`, in the rows that have it.

    u_average: the network whose velocity to trust, called without gradient.  p: power of the weight.
    The other arguments as in `mean_flow_loss`.
    """
    z, v = interpolate(x, eps, t)
    with torch.no_grad():
        own = u_average(z, t, t)
    below = r < t
    error = error_to_target(u_net, z, r, t, torch.where(below, own, v), tangent=own)
    return torch.where(below.squeeze(1), weighted(error, p, c=0.1), error).mean()


def error_to_target(u_net, z, r, t, v, tangent):
    """The part that both mean-flow losses share, (n,). They differ in the velocity: that of the target, v, and
    that at which z is said to move, `tangent`."""
    check_times(len(z), r=r, t=t)
    tangents = (tangent, torch.zeros_like(r), torch.ones_like(t))
    u, dudt = torch.func.jvp(u_net, (z, r, t), tangents)
    u_tgt = v - (t - r) * dudt
    return (u - u_tgt.detach()).square().sum(dim=1)


def weighted(error, p, c=1e-3):
    """Per-sample squared errors (n,), each divided by (itself + c)^p held fixed (Geng et al. 2025, Section 4.3).

    p = 0 is plain squared error. With p = 0.5 samples of an error well above √c pull equally hard, so that a few
    wild ones do not decide; this seeks a median, which is the mean only where the target has no noise.
    With p = 1 those of small error pull harder, and where errors are well above c the printed loss is near 1:
    do not read it.
    """
    return error / (error.detach() + c) ** p


def anchored(loss, p_equal):
    """The same loss at less cost: the first p_equal of the rows, where r = t, are done as plain flow matching.

    `sample_r_t` puts them first. There (t − r) du/dt is 0, so the value is the same, and the JVP is spared.
    Returns a loss with the arguments of `loss`; raises ValueError where r < t in those first rows.
    """
    def both(u_net, x, eps, r, t, *average):
        k = round(p_equal * len(x))
        if not torch.compiler.is_compiling() and not torch.equal(r[:k], t[:k]):
            raise ValueError(f"anchored(loss, p_equal={p_equal}) needs r = t in the first {k} of {len(x)} rows. "
                             "Draw the times with sample_r_t and the same p_equal.")
        equal = flow_matching_loss(lambda z, t: u_net(z, t, t), x[:k], eps[:k], t[:k])
        below = loss(u_net, x[k:], eps[k:], r[k:], t[k:], *average)
        return (k * equal + (len(x) - k) * below) / len(x)

    return both


def euler(v):
    """Turn a velocity v(z, t) into a u(z, r, t) for `sample`: an Euler step is a mean-flow step with
    the average velocity replaced by the velocity at the step's noisy end."""
    return lambda z, r, t: v(z, t)


@torch.no_grad()
def sample(u, z_1, n_steps, return_path=False):
    """From noise z_1 (n, 2) at t = 1 to data at t = 0 in n_steps equal steps z ← z − (t − r) u(z, r, t).

    Returns z_0 (n, 2); with return_path, all states (n_steps + 1, n, 2) from z_1 to z_0.
    """
    check_points("z_1", z_1)
    check_count("n_steps", n_steps)
    path = [z_1]
    for i in range(n_steps, 0, -1):
        t = torch.full_like(z_1[:, :1], i / n_steps)
        r = torch.full_like(z_1[:, :1], (i - 1) / n_steps)
        path.append(path[-1] - (t - r) * u(path[-1], r, t))
    return torch.stack(path) if return_path else path[-1]
