"""Draw docs/one_step.png, the README's picture, from the shipped networks: `make picture`."""

import torch

from course import ROOT
from mfutils import DISTRIBUTIONS, gaussian, load_pretrained, plots, sample

torch.manual_seed(0)
z_1 = gaussian(5000)
pictures = {method: {name: sample(load_pretrained(name, method), z_1, 1) for name in DISTRIBUTIONS}
            for method in ("flow_matching", "mean_flow", "self_distilled_mean_flow")}
pictures["target"] = {name: distribution.sample(5000) for name, distribution in DISTRIBUTIONS.items()}
picture = plots.png(plots.gallery(pictures, size=2.2))
(ROOT / "docs" / "one_step.png").write_bytes(plots.light(picture))
