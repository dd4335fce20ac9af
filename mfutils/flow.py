"""The algorithm: the path, the times, the derivative, the losses, the sampler.

Points are (n, d): the plane has d = 2, and nothing here knows it. Losses are pure: data, noise and times come in as
arguments, so that a number can be checked by hand. Each returns one number, the mean over the batch of a squared
distance summed over the d coordinates.
"""

from contextlib import contextmanager, suppress

import torch

from .checks import check_count, check_like, check_points, columns


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
    """t = U²: then the larger of two is uniform, and the smaller lies near data. A choice of this course; the larger
    of two uniform draws leans to noise (its density is 2t)."""
    return torch.rand(*size, generator=generator) ** 2


def sample_r_t(n, p_equal=0.5, p_zero=0.0, draw=torch.rand, generator=None):
    """Two times for each of n points: draw two, call the smaller r; then set r = t, or r = 0, in some rows.

    p_equal: the share of rows with r = t, which learn the velocity.
    p_zero: the share of rows with r = 0, the end that one step must reach.
    draw: `torch.rand` (uniform), `squared_uniform` or `logit_normal`; called as draw(n, 2, generator=…).
    Returns r, t, each (n, 1). Shares that are no whole numbers of rows are rounded at random, right on average. The
    first rows have r = t and the last r = 0, so data must come in random order.
    """
    check_count("n", n)
    if not (p_equal >= 0 and p_zero >= 0 and p_equal + p_zero <= 1):
        raise ValueError("p_equal and p_zero are shares of the rows, each at least 0 and together at most 1; "
                         f"got {p_equal} and {p_zero}.")
    r, t = draw(n, 2, generator=generator).sort(dim=1).values.split(1, dim=1)
    whole = (p_equal * n) % 1 == (p_zero * n) % 1 == 0
    row = (torch.arange(n)[:, None] + (0.5 if whole else torch.rand(1, generator=generator))) / n
    r = torch.where(row < p_equal, t, r)
    return torch.where(row > 1 - p_zero, 0.0, r), t


def total_derivative(u, z, r, t, v, dr=0.0, dt=1.0):
    """u(z, r, t) and du/dt = (∂u/∂z) v + ∂u/∂t, the JVP with tangents (v, 0, 1) (Geng et al. 2025, eq. 8).

    dr, dt: other tangents (v, dr, dt) for other identities: with (0, 1, 0) the derivative is ∂u/∂r (notebook 9).
    u: any function of (z, r, t) that PyTorch can differentiate forward. `MeanVelocityMLP` brings a derivative by hand,
    with the same numbers sooner and without gradient; it is taken where the network says that it holds.
    z, v: (n, d).  r, t: numbers or (n, 1), 0 ≤ r ≤ t ≤ 1.  Returns two tensors (n, d).

    Raises RuntimeError, with what to do, where PyTorch cannot differentiate u forward.
    """
    r, t = columns(z, r=r, t=t)
    if v.shape != z.shape:
        raise ValueError(f"v must have the shape of z, {tuple(z.shape)}; got {tuple(v.shape)}.")
    if hasattr(type(u), "by_hand") and u.by_hand():  # of its class: a wrapper may hand on what is another's
        return u.total_derivative(z, r, t, v, dr, dt)
    if (inner := uncompiled(u)) is not u:
        return total_derivative(inner, z, r, t, v, dr, dt)
    try:
        value, dudt = torch.func.jvp(u, (z, r, t), (v, torch.full_like(r, dr), torch.full_like(t, dt)))
        check_like("u(z, r, t)", value, z)
        return value, dudt
    except RuntimeError as error:
        u(z, r, t)  # if u itself fails, its own error is the better one
        raise RuntimeError(
            f"PyTorch cannot take the forward-mode derivative of this {type(u).__name__}: {error}\n"
            "Usual causes: a BatchNorm in training mode, which changes its statistics (take LayerNorm or GroupNorm, or "
            "track_running_stats=False); fused attention (use the math backend: torch.nn.attention.sdpa_kernel); an "
            "autograd.Function of your own without a `jvp`.") from error


def uncompiled(u):
    """The network inside a compiled one: PyTorch before 2.13 may lose tangents in compiled code (pytorch#187284). It
    does lose them in scripted code, which raises ValueError."""
    if isinstance(u, torch.nn.Module):
        if any(isinstance(part, torch.jit.ScriptModule) for part in u.modules()):
            raise ValueError(f"PyTorch loses du/dt in code made by torch.jit; got a {type(u).__name__}. "
                             "Give the network as it was before torch.jit.script or torch.jit.trace.")
        if "_orig_mod" in vars(u)["_modules"]:
            if u._forward_hooks or u._forward_pre_hooks:
                raise ValueError("a compiled network with hooks of its own. "
                                 "Register the hooks on the network before it is compiled.")
            return u._orig_mod
    return u


def flow_matching_loss(v_net, x, eps, t):
    """|v_net(z_t, t) − (ε − x)|² (Lipman et al. 2023, arXiv 2210.02747, eq. 9). x, eps: (n, d).  t: (n, 1)."""
    z, v_cond = interpolate(x, eps, t)
    v = v_net(z, t)
    check_like("v_net(z, t)", v, z)
    return (v - v_cond).square().sum(dim=1).mean()


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

    Eulerian self-distillation (Boffi et al. 2025, arXiv 2505.18825, where the teacher is the network itself and the
    gradient goes through the time derivative of the map, while here all of du/dt is held fixed; Sabour et al. 2025,
    arXiv 2506.14603, where the teacher is another network). The velocity in the target has no noise, and the teacher's
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


def distilled_mean_flow_loss(u_net, chords, *unused, p=0.5):
    """|u_net(z_t, r, t) − (z_t − z_r) / (t − r)|²: the average velocity by its definition, on paths that were walked
    beforehand with another network's velocity. (Luhman and Luhman 2021, arXiv 2101.02388, learn noise to data from such
    walks; Zheng et al. 2023, 2211.13449, noise to the whole path.)

    The target is right up to the error of the walk, and without noise; so `weighted` has the same minimiser.
    chords: (n, 2 d + 2), rows of z_t, z_r, r < t, as `chords_of` draws them. What else `train` draws is not used.
    """
    z_t, z_r, r, t = split_chords(chords)
    u = u_net(z_t, r, t)
    check_like("u_net(z, r, t)", u, z_t)
    return weighted((u - (z_t - z_r) / (t - r)).square().sum(dim=1), p).mean()


def weighted(error, p, c=1e-3):
    """Per-sample squared errors (n,), each divided by (itself + c)^p held fixed (Geng et al. 2025, Section 4.3).

    p = 0 is plain squared error. With p = 0.5 samples of an error well above √c pull equally hard, so that a few
    wild ones do not decide; this seeks a median, which is the mean only where the target has no noise.
    p = 1 divides each sample's gradient by its squared error, and where errors are well above c the printed loss is
    near 1: do not read it.
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

    u: a mean-flow network, an exact average velocity, or `euler` or `midpoint` of a velocity. A network is in
    evaluation mode meanwhile, and afterwards as it was.
    Returns z_0 (n, d); with return_path, all states (n_steps + 1, n, d) from z_1 to z_0.
    """
    check_points("z_1", z_1)
    check_count("n_steps", n_steps)
    z, path = z_1, [z_1]
    with evaluation_mode(u):
        for i in range(n_steps, 0, -1):
            t = torch.full_like(z[:, :1], i / n_steps)
            r = torch.full_like(z[:, :1], (i - 1) / n_steps)
            z = z - (t - r) * u(z, r, t)
            if return_path:
                path.append(z)
    return torch.stack(path) if return_path else z


def split_chords(chords):
    """z_t, z_r, r and t of the chords (n, 2 d + 2)."""
    check_points("chords", chords)
    d, odd = divmod(chords.shape[1] - 2, 2)
    if d < 1 or odd:
        raise ValueError(f"chords must have rows of z_t, z_r, r, t, shape (n, 2 d + 2); got {tuple(chords.shape)}. "
                         "Give train data=chords_of(v, z_1).")
    z_t, z_r, r, t = chords.split([d, d, 1, 1], dim=1)
    columns(z_t, r=r, t=t)
    return z_t, z_r, r, t


def chords_of(v, z_1, n_steps=16):
    """Walk the paths of a velocity v(z, t) once, from noise z_1 (N, d), by n_steps midpoint steps, and return what
    `distilled_mean_flow_loss` learns from: draw(n, generator) → n chords (n, 2 d + 2). Half of them are whole jumps,
    from t = 1 to r = 0; the others join any two of the n_steps + 1 states of a path."""
    path = sample(midpoint(v), z_1, n_steps, return_path=True)

    def draw(n, generator=None):
        def below(highest):
            return torch.randint(highest, (n,), generator=generator)

        one, k = below(n_steps + 1), below(len(z_1))
        other = (one + 1 + below(n_steps)) % (n_steps + 1)
        whole = torch.rand(n, generator=generator) < 0.5
        of_t = torch.minimum(one, other).masked_fill(whole, 0)  # states are counted from noise
        of_r = torch.maximum(one, other).masked_fill(whole, n_steps)
        r, t = (1 - number[:, None] / n_steps for number in (of_r, of_t))
        return torch.cat([path[of_t, k], path[of_r, k], r, t], dim=1)

    return draw


@contextmanager
def evaluation_mode(u):
    """No dropout and fixed statistics in the network that u is, or that it closes over as `euler(v)` does."""
    closed_over = []
    for cell in getattr(u, "__closure__", None) or ():
        with suppress(ValueError):  # an empty one
            closed_over.append(cell.cell_contents)
    parts = [part for net in (u, *closed_over) if isinstance(net, torch.nn.Module) for part in net.modules()]
    modes = [part.training for part in parts]
    try:
        for part in parts:
            part.training = False
        yield
    finally:
        for part, mode in zip(parts, modes):
            part.training = mode
