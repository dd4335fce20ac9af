"""Train every distribution with every method and write mfutils/weights: `make weights`, about twenty minutes.

Each is trained from several seeds. The first seed's network is kept; the record keeps the
distances of all. The losses are compiled (this needs a C++ compiler), one thread a run.
"""

import json
import platform
from concurrent.futures import ProcessPoolExecutor
from itertools import product

import torch

from mfutils import DISTRIBUTIONS, METHODS, gaussian, noise_floor, sample, sliced_w2, total_variation, train
from mfutils.pretrained import FOLDER, as_u, weights_file

SEEDS = (0, 1, 2)
STEPS = (1, 2, 4, 8, 32, 128)
N = 50_000
METRICS = {"sliced_w2": sliced_w2, "total_variation": total_variation}


def make(distribution, method, seed):
    """Train one network; returns its state, and its distances by metric and number of steps."""
    torch.set_num_threads(1)
    network, loss, times = METHODS[method]
    data = DISTRIBUTIONS[distribution].sample
    torch.manual_seed(seed)
    net, _ = train(network(), torch.compile(loss, dynamic=False), data, times, seed=seed)
    generator = torch.Generator().manual_seed(1000 + seed)
    z_1, target = gaussian(N, generator), data(N, generator)
    samples = {n: sample(as_u(net), z_1, n) for n in STEPS}
    distances = {name: {n: metric(samples[n], target) for n in STEPS} for name, metric in METRICS.items()}
    return net.state_dict(), distances


def main():
    FOLDER.mkdir(exist_ok=True)
    keys = list(product(DISTRIBUTIONS, METHODS, SEEDS))
    record = {"n": N, "python": platform.python_version(), "torch": torch.__version__.split("+")[0],
              "floor": {name: {} for name in METRICS}, "runs": []}
    with ProcessPoolExecutor(2) as pool:
        for (distribution, method, seed), (state, distances) in zip(keys, pool.map(make, *zip(*keys))):
            if seed == SEEDS[0]:
                torch.save(state, weights_file(distribution, method))
            record["runs"].append({"distribution": distribution, "method": method, "seed": seed, **distances})
            print(distribution, method, seed, distances, flush=True)
    for name, metric in METRICS.items():
        for key, distribution in DISTRIBUTIONS.items():
            record["floor"][name][key] = noise_floor(metric, distribution, N)
    (FOLDER / "record.json").write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
