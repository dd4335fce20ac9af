"""Train every distribution with every method and write mfutils/weights: `make weights`, three quarters of an hour.

Each is trained from five seeds, two runs at a time, one thread a run, with compiled losses. The first seed's
network is kept; the record keeps the distances of all. It is written anew after every run.
"""

import json
import platform
import time
from concurrent.futures import ProcessPoolExecutor
from itertools import product

import torch

from mfutils import (
    DISTRIBUTIONS,
    METHODS,
    energy_distance,
    gaussian,
    map_error,
    noise_floor,
    off_support,
    sample,
    sliced_w2,
    total_variation,
    train,
)
from mfutils.metrics import by_mode
from mfutils.pretrained import FOLDER, RECIPE, as_u, weights_file
from mfutils.training import compiled

SEEDS = range(5)
STEPS = (1, 2, 4, 8, 32, 128)
N = 50_000


def metrics(distribution):
    """The distances recorded for a distribution; each has a floor."""
    chosen = {"sliced_w2": sliced_w2, "total_variation": total_variation, "energy_distance": energy_distance}
    if distribution == "eight_gaussians":
        chosen["sliced_w2_within_modes"] = by_mode(sliced_w2, DISTRIBUTIONS[distribution].means)
    return chosen


def make(seed, distribution, method):
    """Train one network; returns its state and its entry in the record."""
    torch.set_num_threads(1)
    dist, (network, loss, times, with_average) = DISTRIBUTIONS[distribution], METHODS[method]
    loss = compiled(loss)

    def run(**recipe):
        torch.manual_seed(seed)
        return train(network(), loss, dist.sample, times, with_average=with_average, seed=seed, **recipe)[0]

    run(**RECIPE | {"n_steps": 2})  # compiles, so that the clock sees training only
    start = time.process_time()
    net = run(**RECIPE)
    u = as_u(net)
    entry = {"distribution": distribution, "method": method, "seed": seed,
             "seconds": round(time.process_time() - start, 1)}
    generator = torch.Generator().manual_seed(1000 + seed)
    z_1, target = gaussian(N, generator), dist.sample(N, generator)
    samples = {n: sample(u, z_1, n) for n in STEPS}
    for name, metric in metrics(distribution).items():
        entry[name] = {n: round(metric(samples[n], target), 5) for n in STEPS}
    entry["map_error"] = {n: round(map_error(u, dist, z_1[:5000], n).square().mean().sqrt().item(), 5)
                          for n in (1, 8)}
    if distribution == "checkerboard":
        entry["off_support"] = {n: round(off_support(dist, samples[n]), 5) for n in STEPS}
    return net.state_dict(), entry


def main():
    FOLDER.mkdir(exist_ok=True)
    record = {"n": N, "recipe": RECIPE, "python": platform.python_version(),
              "torch": torch.__version__.split("+")[0], "floor": {}, "runs": []}
    for key, dist in DISTRIBUTIONS.items():
        for name, metric in metrics(key).items():
            record["floor"].setdefault(name, {})[key] = noise_floor(metric, dist, N)
    keys = list(product(SEEDS, DISTRIBUTIONS, METHODS))
    with ProcessPoolExecutor(2) as pool:
        for (seed, distribution, method), (state, entry) in zip(keys, pool.map(make, *zip(*keys))):
            if seed == SEEDS[0]:
                torch.save(state, weights_file(distribution, method))
            record["runs"].append(entry)
            (FOLDER / "record.json").write_text(json.dumps(record, indent=1) + "\n")
            print(entry, flush=True)


if __name__ == "__main__":
    main()
