"""Draw docs/one_step.png, the README's picture, from the shipped networks: `make picture`."""

from course import ROOT
from mfutils import DISTRIBUTIONS, gaussian, load_pretrained, plots, sample

z_1 = gaussian(5000)
rows = {"flow matching": "flow_matching", "mean flow": "mean_flow", "self-distilled": "self_distilled_mean_flow"}
pictures = {label: {name: sample(load_pretrained(name, method), z_1, 1) for name in DISTRIBUTIONS}
            for label, method in rows.items()}
pictures["target"] = {name: distribution.sample(5000) for name, distribution in DISTRIBUTIONS.items()}
picture = plots.png(plots.gallery(pictures, size=2.2))
(ROOT / "docs" / "one_step.png").write_bytes(plots.light(picture))
