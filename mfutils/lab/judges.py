"""Judges of small images: a classifier and what it sees, distances between sets of images, and signs of copying."""

import functools
import statistics

import numpy as np
import torch
from sklearn.neural_network import MLPClassifier

from ..metrics import sliced_w2
from .digits import load


@functools.cache
def judge():
    """A small classifier of scikit-learn's, trained on the training set: one hidden layer of 128 units."""
    training, _ = load()
    return MLPClassifier(128, alpha=0.01, max_iter=500, random_state=0).fit(training.images, training.classes)


def accuracy(images, classes):
    """The share of images (n, 64) that the judge takes for what they should be."""
    return judge().score(images, classes)


def frechet_distance(images, real):
    """The Fréchet distance between two sets of images (n, 64) as the judge's hidden layer sees them, each taken for a
    Gaussian: |μ_a − μ_b|² + tr(A + B − 2 (A B)^½), with covariances A and B (Heusel et al. 2017, arXiv 1706.08500).
    It falls with n: compare equally many only."""
    first, offset = judge().coefs_[0], judge().intercepts_[0]
    a, b = (np.maximum(points.double().numpy() @ first + offset, 0) for points in (images, real))
    A, B = np.cov(a.T), np.cov(b.T)
    root = np.sqrt(np.linalg.eigvals(A @ B).real.clip(0)).sum()
    return float(np.square(a.mean(0) - b.mean(0)).sum() + np.trace(A + B) - 2 * root)


def recall(images, real, k=3):
    """The share of real images (m, 64) within reach of the samples, images (n, 64). A sample reaches as far as its k-th
    nearest fellow (Kynkäänniemi et al. 2019, arXiv 1904.06991, here in pixels). Compare equally many only."""
    reach = torch.cdist(images, images).topk(k + 1, largest=False).values[:, -1]  # the nearest is the image itself
    return (torch.cdist(real, images) <= reach).any(dim=1).float().mean().item()


def precision(images, real, k=3):
    """The share of samples, images (n, 64), within reach of the real images (m, 64): `recall`, with roles exchanged."""
    return recall(real, images, k)


def nearest(images, others):
    """For each image (n, 64) the distance to the nearest of the others (k, 64), and its number: two tensors (n,)."""
    return torch.cdist(images, others).min(dim=1)


def copying(images):
    """The share of images (n, 64) whose nearest digit of all is a training digit and not a held-out one (after Meehan
    et al. 2020, arXiv 2004.05675). For new digits that is the share of training digits among all, .75."""
    of_training, of_held_out = (nearest(images, part.images)[0] for part in load())
    return (of_training < of_held_out).float().mean().item()


def copying_by_chance(images, repeats=400, generator=None):
    """What `copying` would say if it were chance which digits were trained on: the same share of images (n, 64) with
    the 1,797 labels "training" and "held out" dealt out anew, once for each of the repeats: (repeats,).

    A permutation test, since images that share a nearest digit do not count as independent."""
    training, held_out = load()
    _, which = nearest(images, torch.cat([training.images, held_out.images]))
    n = len(training.images)
    return torch.stack([(torch.randperm(n + len(held_out.images), generator=generator) < n)[which].float().mean()
                        for _ in range(repeats)])


AGAINST_HELD_OUT = dict(frechet=frechet_distance, sliced_w2=functools.partial(sliced_w2, n_directions=256),
                        precision=precision, recall=recall)


def scores(images, classes, sets):
    """What all judges say of images (n, 64) that should be of these classes (n,): a dict. Those that compare with the
    held-out digits take equally many at a time, and their mean over so many sets."""
    training, held_out = load()
    found = dict(accuracy=accuracy(images, classes), copying=copying(images),
                 nearest=nearest(images, training.images)[0].mean().item())
    for metric, function in AGAINST_HELD_OUT.items():
        found[metric] = statistics.mean(function(part, held_out.images) for part in images.chunk(sets))
    return found
