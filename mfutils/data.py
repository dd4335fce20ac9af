"""The distributions, each with its exact marginal velocity.

Points travel on z_t = (1 − t) x + t ε with data x and noise ε ~ N(0, I), so t = 0 is data and t = 1 is noise.
The marginal velocity is v(z, t) = E[ε − x | z_t = z] (Lipman et al. 2023, arXiv 2210.02747, eq. 8, with time
reversed). For the distributions here the expectation has a closed form: no network, no approximation.
"""

import math

import torch

from .checks import Choices, check_count, check_points, columns, describe, numbers

MOST = 1_000_000  # numbers held at once, of points × components: more points are done in parts


class GaussianMixture:
    """A mixture of round Gaussians, equally likely: one blob, eight of them, a hundred along a curve; in any dimension.

    means: (k, d).  sd: one number, or one for each mean, (k,).
    """

    def __init__(self, means, sd):
        try:
            self.means, self.sd = numbers(means), numbers(sd)
        except (TypeError, ValueError) as error:
            raise ValueError(f"means must be numbers, (k, d), and sd one number or k; got {describe(means)} and "
                             f"{describe(sd)} ({error}).") from None
        check_points("means", self.means)
        if self.sd.shape not in {(), (1,), (len(self.means),)}:
            raise ValueError(f"sd must be one number, or one for each of the {len(self.means)} means; "
                             f"got {tuple(self.sd.shape)}.")
        if not ((self.sd > 0) & self.sd.isfinite()).all():
            raise ValueError(f"sd must be positive and finite; got {sd}. Give every point a little width, say 0.05.")
        self.sd = self.sd.expand(len(self.means))

    def __repr__(self):
        return f"GaussianMixture of {len(self.means)} means in {self.means.shape[1]} dimensions"

    def sample(self, n, generator=None):
        """n independent points, (n, d) float32."""
        check_count("n", n)
        k = torch.randint(len(self.means), (n,), generator=generator)
        noise = torch.randn(n, self.means.shape[1], generator=generator)
        return self.means[k].float() + self.sd[k, None].float() * noise

    def velocity(self, z, t):
        """Exact marginal velocity v(z, t): z (n, d), t in (0, 1], a number or (n, 1) → (n, d), in z's dtype.

        Each component alone would give an affine velocity; the mixture weighs them by the
        probability that z came from it (the posterior, by softmax of log densities).
        """
        check_points("z", z, d=self.means.shape[1])
        t, = columns(z, after_zero=True, t=t)
        return in_parts(self._velocity, len(self.means), z.double(), t.double()).to(z.dtype)

    def _velocity(self, z, t):
        means, sd = self.means.to(z.device), self.sd.to(z.device)
        variance = ((1 - t) * sd) ** 2 + t**2  # (n, k), of z_t within each component
        log_density = -squares(z, (1 - t), means) / (2 * variance) - variance.log() * means.shape[1] / 2
        posterior = torch.softmax(log_density, dim=1)
        weight = posterior * (t - (1 - t) * sd**2) / variance
        # E[ε − x | z_t = z, component] = slope · (z − (1 − t) mean) − mean, and `weight` is posterior · slope
        return weight.sum(dim=1, keepdim=True) * z - ((1 - t) * weight + posterior) @ means

    def log_density(self, x):
        """Logarithm of the probability density at x (n, d) → (n,)."""
        check_points("x", x, d=self.means.shape[1])
        means, sd = self.means.to(x.device), self.sd.to(x.device)
        constant = means.shape[1] * (math.sqrt(2 * math.pi) * sd).log() + math.log(len(means))
        return in_parts(lambda part: torch.logsumexp(-squares(part, 1, means) / (2 * sd**2) - constant, dim=1),
                        len(means), x.double()).to(x.dtype)

    def density(self, x):
        """Probability density at x (n, d) → (n,)."""
        return self.log_density(x).exp()


def in_parts(formula, width, *columns):
    """formula(*columns) for a few rows at a time, where it holds `width` numbers for each."""
    rows = max(1, MOST // width)
    return torch.cat([formula(*part) for part in zip(*(column.split(rows) for column in columns))])


def squares(z, scale, means):
    """|z − scale · mean|² for points z (n, d), scale (n, 1) or a number, and means (k, d): (n, k)."""
    return sum((z[:, i, None] - scale * means[:, i]) ** 2 for i in range(means.shape[1]))


class Checkerboard:
    """Uniform on the 8 dark squares of a 4 × 4 board over [−2, 2]²."""

    edges = torch.arange(-2.0, 3.0, dtype=torch.float64)  # of the 4 intervals on each axis
    dark = torch.tensor([[(i + j) % 2 == 0 for j in range(4)] for i in range(4)])

    def __repr__(self):
        return "Checkerboard"

    def sample(self, n, generator=None):
        """n independent points, (n, 2) float32."""
        check_count("n", n)
        corners = self.edges[self.dark.nonzero()].float()  # (8, 2), lower left
        square = torch.randint(len(corners), (n,), generator=generator)
        return corners[square] + torch.rand(n, 2, generator=generator)

    def velocity(self, z, t):
        """Exact marginal velocity v(z, t): z (n, 2), t in (0, 1], a number or (n, 1) → (n, 2), in z's dtype.

        If x lies in [a, b] on one axis, then ε = (z − (1 − t) x) / t is a standard normal cut to
        [(z − (1 − t) b) / t, (z − (1 − t) a) / t]. Given the square the two axes are independent, so
        E[ε | z], a mean over the 8 squares, needs only the 4 intervals of each axis. Then, as
        x = (z − t ε) / (1 − t), the velocity is v = E[ε − x | z] = (E[ε | z] − z) / (1 − t).
        """
        check_points("z", z, d=2)
        t, = columns(z, after_zero=True, t=t)
        s = torch.where(t > 1 - 1e-7, t.double() - 1e-7, t.double())  # at t = 1 the last line would be 0 / 0
        return in_parts(self._velocity, 20, z.double(), s).to(z.dtype)

    def _velocity(self, z, s):
        edges, dark = self.edges.to(z.device), self.dark.to(z.device)
        bounds = (z[..., None] - (1 - s[..., None]) * edges) / s[..., None]  # (n, 2, 5), falling
        log_mass, eps = truncated_normal(bounds[..., 1:], bounds[..., :-1])  # (n, 2, 4) each
        logits = log_mass[:, 0, :, None] + log_mass[:, 1, None, :]  # (n, 4, 4), of each square
        posterior = torch.softmax(logits.masked_fill(~dark, -math.inf).flatten(1), dim=1).view(-1, 4, 4)
        mean_eps = torch.stack([(posterior.sum(dim=2) * eps[:, 0]).sum(dim=1),
                                (posterior.sum(dim=1) * eps[:, 1]).sum(dim=1)], dim=1)
        return (mean_eps - z) / (1 - s)

    def log_density(self, x):
        """Logarithm of the probability density at x (n, 2) → (n,): −∞ where there is no data."""
        return self.density(x).log()

    def density(self, x):
        """Probability density at x (n, 2) → (n,): 1/8 on the dark squares, 0 elsewhere."""
        check_points("x", x, d=2)
        cell = torch.floor(x + 2).long()
        inside = ((cell >= 0) & (cell <= 3)).all(dim=1)
        cell = cell.clamp(0, 3)
        return torch.where(inside & self.dark.to(x.device)[cell[:, 0], cell[:, 1]], 1 / 8, 0.0).to(x.dtype)


def truncated_normal(low, high):
    """Log of the mass, and the mean, of a standard normal cut to [low, high] (float64, any shape).

    Three formulas, since each loses its digits somewhere: a narrow slice is flat; around zero the
    error function is exact; in a tail masses underflow, so divide the density at the nearer end out
    (erfcx(x) = exp(x²) erfc(x)).
    """
    middle, width = (low + high) / 2, high - low
    narrow = width < 1e-3
    flat_log_mass = torch.log(width) - middle**2 / 2 - math.log(2 * math.pi) / 2
    flat_mean = middle * (1 - width**2 / 12)

    # Mirror so that the nearer end is `a`; then a < 0 < b means the slice holds zero.
    a, b = torch.where(middle < 0, -high, low), torch.where(middle < 0, -low, high)
    drop = torch.where(narrow, 1.0, (b - a) * (b + a) / 2)  # φ(b) = φ(a) exp(−drop)
    holds_zero = a < 0
    tail = a.clamp(min=0)
    scaled_mass = torch.where(
        holds_zero,
        (torch.erf(b / math.sqrt(2)) - torch.erf(a / math.sqrt(2))) / 2 * math.sqrt(2 * math.pi),
        math.sqrt(math.pi / 2) * (torch.special.erfcx(tail / math.sqrt(2))
                                  - torch.special.erfcx(b.clamp(min=0) / math.sqrt(2)) * torch.exp(-drop)))
    scaled_mass = torch.where(narrow, 1.0, scaled_mass)
    log_scale = torch.where(holds_zero, 0.0, -(tail**2) / 2)
    wide_log_mass = scaled_mass.log() + log_scale - math.log(2 * math.pi) / 2
    near_density = torch.where(holds_zero, torch.exp(-(a**2) / 2), 1.0)
    wide_mean = torch.where(middle < 0, -1.0, 1.0) * near_density * -torch.expm1(-drop) / scaled_mass
    return torch.where(narrow, flat_log_mass, wide_log_mass), torch.where(narrow, flat_mean, wide_mean)


def _along(curve, k):
    """k points along a curve: `curve` maps (k,) numbers in [0, 1] to x and y."""
    return torch.stack(curve(torch.linspace(0, 1, k, dtype=torch.float64)), dim=1)


def _crescent(s):
    angle = math.pi * (0.25 + 1.5 * s)
    return 1.5 * torch.cos(angle) + 0.4, 1.5 * torch.sin(angle)


def _spiral(s):
    angle = 3.5 * math.pi * torch.sqrt(s)  # √: even spacing along an Archimedean spiral
    return 2 * torch.sqrt(s) * torch.cos(angle), 2 * torch.sqrt(s) * torch.sin(angle)


def _circle(s):
    return 1.8 * torch.cos(2 * math.pi * s), 1.8 * torch.sin(2 * math.pi * s)


DISTRIBUTIONS = Choices(
    checkerboard=Checkerboard(),
    crescent=GaussianMixture(_along(_crescent, 48), sd=0.05 + 0.17 * (math.pi * torch.linspace(0, 1, 48)).sin()),
    spiral=GaussianMixture(_along(_spiral, 100), sd=0.08),
    eight_gaussians=GaussianMixture(_along(_circle, 9)[:-1], sd=0.15),
)
