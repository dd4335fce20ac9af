"""Small images for the method: handwritten digits as points in 64 dimensions, and networks for them.

A row holds an image, 64 pixels in [−1, 1], and after it the condition: 10 columns for its class, a 1 in one of them or
zeros where it is not given; for guidance one column more, ω − 1. The condition gets no noise, so its velocity is 0.
Path, losses, derivative, training and sampler are then those of the plane.
"""

import functools
import math

import torch
from torch import nn
from torch.nn.functional import gelu, pad

from ..checks import Choices, called_as_written, check_points, columns
from ..data import in_parts
from ..flow import (
    chords_of,
    distilled_mean_flow_loss,
    flow_matching_loss,
    improved_mean_flow_loss,
    interpolate,
    mean_flow_loss,
    sample_r_t,
    self_distilled_mean_flow_loss,
    total_derivative,
)
from ..methods import FOLDER, OF_BOTH, Method, one_time, pretrained
from ..nets import gelu_backward, is_linear_or_gelu
from ..records import check_recorded, read_record
from ..training import train

PIXELS, CLASSES = 64, 10
MOST = 3.0  # the largest guidance scale ω that is trained
RECIPE = dict(n_steps=6000, batch_size=512, lr=1e-3)  # the rest is as `train` has it
N_PATHS = 20_000  # that the distilled mean flow learns from


# The data

class Digits:
    """Images (k, 64) with their classes (k,), as a distribution over rows (n, 74), with its exact velocity."""

    def __init__(self, images, classes):
        self.images, self.classes = images, classes

    def sample(self, n, generator=None):
        """n rows (n, 74). In one of ten the class is not given, so that a network learns all digits together too."""
        k = torch.randint(len(self.images), (n,), generator=generator)
        hidden = torch.rand(n, generator=generator) < 0.1
        return rows(self.images[k], self.classes[k].masked_fill(hidden, -1))

    def velocity(self, z, t):
        """Exact marginal velocity of these images and no others: z (n, 74), t in (0, 1], a number or (n, 1) → (n, 74).

        Given the image x, z_t is N((1 − t) x, t² I). So the posterior is a softmax over squared distances, of the
        images that have the row's class, and v = E[ε − x | z_t = z] = (z − E[x | z_t = z]) / t.
        """
        check_points("z", z, d=PIXELS + CLASSES)
        t, = columns(z, after_zero=True, t=t)
        return in_parts(self._velocity, len(self.images), z.double(), t.double()).to(z.dtype)

    def _velocity(self, z, s):
        pixels, condition = z.split([PIXELS, CLASSES], dim=1)
        images = self.images.double()
        square = (1 - s) ** 2 * images.square().sum(dim=1) - 2 * (1 - s) * pixels @ images.T  # but for |z|², a constant
        prior = torch.where(condition.sum(dim=1, keepdim=True) > 0, condition[:, self.classes], 1.0)
        posterior = torch.softmax(prior.log() - square / (2 * s**2), dim=1)
        return pad((pixels - posterior @ images) / s, (0, CLASSES))


def load():
    """Two `Digits`: 1,347 to train on, and 450 held out, with the same share of each class. They are yours: a change of
    theirs reaches no other.

    From scikit-learn, where pixels are whole numbers from 0 to 16 (Alpaydin and Kaynak 1998, UCI).
    """
    return tuple(Digits(part.images.clone(), part.classes.clone()) for part in original())


@functools.cache
def original():
    from sklearn.datasets import load_digits  # here: the trained networks do without it
    from sklearn.model_selection import train_test_split

    images, classes = load_digits(return_X_y=True)
    parts = train_test_split(images / 8 - 1, classes, test_size=450, random_state=0, stratify=classes)
    images, unseen, classes, unseen_classes = map(torch.from_numpy, parts)
    return Digits(images.float(), classes), Digits(unseen.float(), unseen_classes)


def rows(images, classes, scale=None):
    """Images or noise (n, 64) beside their classes, whole numbers (n,), of which −1 means not given: (n, 74). With a
    guidance scale ω (n, 1), one column more holds ω − 1. Raises ValueError for a class that is no digit."""
    check_points("images", images, d=PIXELS)
    if classes.shape != (len(images),) or not ((classes >= -1) & (classes < CLASSES)).all():
        raise ValueError(f"classes must be whole numbers from 0 to 9, or −1 for any, one for each of the {len(images)} "
                         f"images; got {classes.tolist()[:10]} of shape {tuple(classes.shape)}.")
    condition = [(classes[:, None] == torch.arange(CLASSES)).to(images.dtype)]
    return torch.cat([images, *condition] + ([scale - 1] if scale is not None else []), dim=1)


def image(z):
    """The images (n, 64) in rows, in the range of pixels."""
    return z[:, :PIXELS].clamp(-1, 1)


def keep_condition(x, eps):
    """The noise eps, with the condition of x: both (n, 64 + condition)."""
    return torch.cat([eps[:, :PIXELS], x[:, PIXELS:]], dim=1)


def forget(z):
    """The rows z without their condition: any class, ω = 1."""
    return pad(z[:, :PIXELS], (0, z.shape[1] - PIXELS))


# The networks

class ResidualMLP(nn.Module):
    """u(z, r, t): rows z (n, 64 + condition), r and t (n, 1) → the same shape as z, zero for the condition.

    It names no hidden weights, so `train` takes Adam for all: Muon would cost a CPU more than everything else.
    """

    def __init__(self, condition=CLASSES, width=192, inner=256, depth=3):
        super().__init__()
        self.condition = condition
        self.first, self.last = nn.Linear(PIXELS + condition + 2, width), nn.Linear(width, PIXELS)
        self.up = nn.ModuleList(nn.Linear(width, inner) for _ in range(depth))
        self.down = nn.ModuleList(nn.Linear(inner, width) for _ in range(depth))

    def forward(self, z, r, t):
        h = self.first(torch.cat([z, t, t - r], dim=1))
        for up, down in zip(self.up, self.down):
            h = h + down(gelu(up(h)))
        return pad(self.last(h), (0, self.condition))

    as_written = forward  # another one, in a subclass say, has another derivative

    def by_hand(self) -> bool:
        """Whether `total_derivative` below holds for this very network, as in `MeanVelocityMLP`."""
        layers = (self.first, self.last, *self.up, *self.down)
        return (called_as_written(self, ResidualMLP.as_written)
                and all(isinstance(layer, nn.Linear) and is_linear_or_gelu(layer) for layer in layers))

    def total_derivative(self, z, r, t, v, dr=0.0, dt=1.0):
        """u(z, r, t) and du/dt along (v, 0, 1), both (n, 64 + condition), forward mode by hand as in `MeanVelocityMLP`:
        first the values h, then their rates of change dh, which carry no gradient."""
        h, before = self.first(torch.cat([z, t, t - r], dim=1)), []
        for up, down in zip(self.up, self.down):
            before.append(up(h))
            h = h + down(gelu(before[-1]))
        with torch.no_grad():
            dr, dt = torch.full_like(r, dr), torch.full_like(t, dt)
            dh = torch.cat([v, dt, dt - dr], dim=1) @ self.first.weight.T
            for up, down, a in zip(self.up, self.down, before):
                dh = dh + gelu_backward(dh @ up.weight.T, a) @ down.weight.T
            dudt = dh @ self.last.weight.T
        return pad(self.last(h), (0, self.condition)), pad(dudt, (0, self.condition))


class ResidualVelocityMLP(ResidualMLP):
    """v(z, t), for flow matching: the same network, which sees no r."""

    def forward(self, z, t):
        return super().forward(z, t, t)


# The methods

def conditioned(loss):
    """A loss of the plane for rows: the noise does not touch the condition."""
    def conditioned_loss(net, x, eps, *others):
        return loss(net, x, keep_condition(x, eps), *others)

    return conditioned_loss


def guided_mean_flow_loss(u_net, x, eps, r, t, u_average):
    """Mean flow for the guided velocity v(z, t | c) + (ω − 1) (v(z, t | c) − v(z, t)), for every ω at once.

    Guidance in training is from Geng et al. (2025, Section 4.2), ω as an input and the form used here, in which the
    noisy ε − x stands for v(z, t | c) once, without the factor ω, from their sequel (arXiv 2512.02012). The difference
    is that of the moving average's two velocities without guidance.

    x, eps: (n, 75).  r, t: (n, 1).  u_average: the moving average of u_net, called without gradient.
    """
    z, v_cond = interpolate(x, keep_condition(x, eps), t)
    more = z[:, -1:]  # ω − 1
    with torch.no_grad():
        v_class = u_average(torch.cat([z[:, :-1], 0 * more], dim=1), t, t)
        v_any = u_average(forget(z), t, t)
    v_guided = v_cond + more * (v_class - v_any)
    u, dudt = total_derivative(u_net, z, r, t, v_guided)
    u_tgt = v_guided - (t - r) * dudt
    return (u - u_tgt.detach()).square().sum(dim=1).mean()


def two_times(n, generator):
    """Two uniform times in order, so that t leans to noise (its density is 2t): pictures have their shapes to find
    first. r = t in half of the rows, r = 0 in one eighth."""
    return sample_r_t(n, p_equal=0.5, p_zero=0.125, generator=generator)


def sample_scaled(n, generator=None):
    """n rows (n, 75) of the training set with a guidance scale ω: 1 in a fifth of them, else uniform up to `MOST`."""
    scale = 1 + (MOST - 1) * (1.25 * torch.rand(n, 1, generator=generator) - 0.25).clamp(min=0)
    return torch.cat([load()[0].sample(n, generator), scale - 1], dim=1)


METHODS = Choices(
    flow_matching=Method(ResidualVelocityMLP, conditioned(flow_matching_loss), one_time),
    mean_flow=Method(ResidualMLP, conditioned(mean_flow_loss), two_times),
    improved_mean_flow=Method(ResidualMLP, conditioned(improved_mean_flow_loss), two_times),
    self_distilled_mean_flow=Method(ResidualMLP, conditioned(self_distilled_mean_flow_loss), two_times,
                                    with_average=True),
    distilled_mean_flow=Method(ResidualMLP, distilled_mean_flow_loss, one_time, teacher="flow_matching"),
    guided_mean_flow=Method(functools.partial(ResidualMLP, condition=CLASSES + 1), guided_mean_flow_loss, two_times,
                            with_average=True),
)


def train_method(method, seed=0, **arguments):
    """Train as the shipped networks were; further arguments go to `train`. Returns (network, losses). A method with a
    teacher trains that first, for as many steps."""
    network, loss, draw, with_average, teacher = METHODS[method]
    data = sample_scaled if method == "guided_mean_flow" else load()[0].sample
    if teacher:
        v, _ = train_method(teacher, seed, **{key: arguments[key] for key in OF_BOTH if key in arguments})
        generator = torch.Generator().manual_seed(seed)
        x = data(N_PATHS, generator)
        data = chords_of(v, keep_condition(x, torch.randn(x.shape, generator=generator)))
    torch.manual_seed(seed)
    return train(network(), **dict(loss=loss, data=data, times=draw, with_average=with_average, seed=seed,
                                   **RECIPE) | arguments)


def load_pretrained(method, solver=None):
    """The network trained beforehand, as u(z, r, t) ready for `sample`. `make digits` made it.

    solver: what makes a u of flow matching's velocity: `euler`, taken if none is given, or `midpoint`. The mean flows
    need none.
    """
    return pretrained(METHODS[method].network(), method, weights_file(method), solver)


@functools.cache
def load_record():
    """What was written down when the networks were made: recipe, versions, what real digits score, and for every run
    its seed, CPU seconds, and scores by number of function evaluations (for guidance by scale, then by steps)."""
    return read_record("digits.json")


def recorded(method, metric, nfe, solver="euler", n_steps=RECIPE["n_steps"]):
    """The recorded scores of one method at one number of evaluations, one per seed and in the order of the seeds, NaN
    where a run diverged; empty where none was recorded.

    method: one of METHODS; "own_target" or "averaged_target", which lie between improved and self-distilled mean flow;
    or, with n_steps=load_record()["short"], a mean flow with one ingredient changed, by its name in notebook 8.
    metric: "accuracy", "frechet", "sliced_w2", "precision", "recall", "nearest" or "copying".
    solver: of flow matching, "euler" or "midpoint".
    n_steps: of training.
    """
    check_recorded(load_record(), method=method)
    Choices(dict.fromkeys(load_record()["floor"]))[metric]
    which = Choices(euler="euler", midpoint="midpoint")[solver] if method == "flow_matching" else "own"
    runs = [run for run in load_record()["runs"] if (run["method"], run["n_steps"]) == (method, n_steps)]
    values = [math.nan if "diverged" in run else run.get(which, {}).get(metric, {}).get(str(nfe))
              for run in sorted(runs, key=lambda run: run["seed"])]
    return [value for value in values if value is not None]


def weights_file(method):
    return FOLDER / f"digits-{method}.pt"
