"""What networks cost: parameters, bytes of their weights, and the time that one observation takes."""

import time
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

import numpy as np

from cluster.experiment.blocks import Block, Grid, bounds, number
from cluster.experiment.compression import DIRECTLY, NETWORKS
from cluster.experiment.scores import Scores
from distill.architectures import ARCHITECTURES
from distill.games import MAX_ACTIONS, OBSERVATION_SHAPE
from distill.statistics import geometric_mean_over_seeds

_CALLS, _WARM_UP = 400, 50
_FLOAT32_BYTES = 4
_GAME = "seaquest"
"""A game whose minimal set has all actions, as in the paper's counts."""


def measure_networks() -> list[dict[str, Any]]:
    """Return parameters, bytes and milliseconds an observation of every network, with the paper's 18 actions."""
    # They take seconds to import, and whoever only tells what was measured needs neither.
    from distill.inference import make_q_function  # noqa: PLC0415
    from distill.networks import QNetwork  # noqa: PLC0415

    observation = np.random.default_rng(1).integers(0, 256, (1, *OBSERVATION_SHAPE), np.uint8)
    found: list[dict[str, Any]] = []
    for name in ("teacher", *NETWORKS):
        network = QNetwork(ARCHITECTURES[name], {_GAME: MAX_ACTIONS})
        q_function = make_q_function(network)
        seconds: list[float] = []
        for _ in range(_WARM_UP + _CALLS):
            began = time.perf_counter()
            q_function(observation, _GAME)
            seconds.append(time.perf_counter() - began)
        parameters = sum(parameter.numel() for parameter in network.parameters())
        found.append({
            "network": name,
            "parameters": parameters,
            "bytes": parameters * _FLOAT32_BYTES,
            "milliseconds": round(1000.0 * median(seconds[_WARM_UP:]), 4),
        })  # fmt: skip
    return found


def tell_networks(measured: Sequence[Mapping[str, Any]], scores: Scores) -> list[Block]:
    """Return a table of what networks cost and what they keep of the teacher's score."""
    whole = measured[0]["parameters"]
    rows = [
        (
            str(each["network"]),
            f"{each['parameters']:,}",
            f"{each['parameters'] / whole:.1%}",
            f"{each['bytes'] / 1e6:,.2f}",
            f"{each['milliseconds']:.3f}",
            _kept(scores, str(each["network"])),
            _kept(scores, f"{each['network']}{DIRECTLY}"),
        )
        for each in measured
    ]
    head = (
        "network", "parameters", "of the teacher's", "MB in float32", "ms an observation, one core",
        "distilled: % of the teacher", "by DQN",
    )  # fmt: skip
    return [Grid("What a network costs, and the geometric mean that it keeps", head, rows)]


def _kept(scores: Scores, variant: str) -> str:
    if variant not in scores.variants or not (pairs := scores.pairs(variant)):
        return ""
    found = geometric_mean_over_seeds(pairs)
    if found.value is None:
        return number(None)
    return f"{100.0 * found.value:.1f}{bounds(found.interval, '.1f', 100.0)}"
