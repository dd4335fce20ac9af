"""Draw docs/one_step.png, the README's picture, from the shipped networks: `make picture`."""

from pathlib import Path

from mfutils import DISTRIBUTIONS, gaussian, load_pretrained, plots, sample

z_1 = gaussian(5000)
rows = {"flow matching": "flow_matching", "improved mean flow": "improved_mean_flow"}
pictures = {label: {name: sample(load_pretrained(name, method), z_1, 1) for name in DISTRIBUTIONS}
            for label, method in rows.items()}
pictures["target"] = {name: distribution.sample(5000) for name, distribution in DISTRIBUTIONS.items()}
(Path(__file__).parent.parent / "docs" / "one_step.png").write_bytes(plots.png(plots.gallery(pictures, size=2.2)))
