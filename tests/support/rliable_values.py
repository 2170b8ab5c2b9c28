"""Makes tests/distill/rliable.json: what the package `rliable` says of made-up scores.

rliable brings pandas, which must be older than 3, statsmodels and six other packages, so the tests compare with these
stored values instead:
`python -m venv V && V/bin/pip install rliable==1.2.0 'pandas<3' && V/bin/python tests/support/rliable_values.py`.
"""

import json
from importlib import metadata
from pathlib import Path

import numpy as np
from rliable import library, metrics  # pyright: ignore[reportMissingImports] - not installed beside this project

FILE = Path(__file__).parents[1] / "distill" / "rliable.json"
RESAMPLES = 20_000
PACKAGES = ("rliable", "arch", "numpy", "scipy")


def main() -> None:
    """Write scores of X and Y, [runs, games], and rliable's estimates with their intervals."""
    generator = np.random.default_rng(20_261_126)
    x = generator.normal([0.9, 1.1, 0.4], [0.1, 0.3, 0.2], (7, 3)).round(3)
    y = generator.normal([0.8, 1.1, 0.5], [0.2, 0.2, 0.1], (5, 3)).round(3)
    found = {
        name: _estimate(scores, metric)
        for name, scores, metric in (
            ("iqm", {"": x}, metrics.aggregate_iqm),
            ("mean", {"": x}, metrics.aggregate_mean),
            ("probability_of_improvement", {"": (x, y)}, metrics.probability_of_improvement),
        )
    }
    versions = {name: metadata.version(name) for name in PACKAGES}
    document = {"versions": versions, "resamples": RESAMPLES, "x": x.tolist(), "y": y.tolist(), "estimates": found}
    FILE.write_text(json.dumps(document, indent=1) + "\n")


def _estimate(scores, metric):
    values, intervals = library.get_interval_estimates(
        scores, lambda *arrays: np.array([metric(*arrays)]), reps=RESAMPLES, random_state=np.random.RandomState(1)
    )
    return {"value": float(values[""][0]), "interval": [float(bound[0]) for bound in intervals[""]]}


if __name__ == "__main__":
    main()
