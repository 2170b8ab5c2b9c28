"""Divides a machine's cores among a run's processes, so that they are neither oversubscribed nor waited for."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cluster.ray.cluster import ACTOR_RESOURCE, LEARNER_RESOURCE, RayCluster
from distill.config import MOST_ACTORS, TrainingConfig
from learner.device import choose_device

LEARNER_THREADS_MAX = 8
"""Networks and minibatches of this size do not gain from more."""


@dataclass(frozen=True)
class Placement:
    """Shares of one machine or of a cluster.

    Attributes:
        cluster: the Ray that is shared.
        learner_threads: CPU threads of each learner.
        learner: what a learner asks Ray for, as its options.
        actor: what every other actor asks Ray for, likewise; all together ask for what there is or less, so that none
            pends.
        added: what actors ask for that are added later. On a run's own Ray it is nothing: they share the cores.
    """

    cluster: RayCluster
    learner_threads: int
    learner: Mapping[str, Any]
    actor: Mapping[str, Any]
    added: Mapping[str, Any]


def place(others: int, learners: int, training: TrainingConfig, cluster: RayCluster) -> Placement:
    """Return the placement of a run.

    Args:
        others: processes that are no learners: actors, evaluators, a coordinator.
        learners: learners.
        training: threads and device of a learner.
        cluster: the Ray that the run uses.

    A learner gets the cores that the others leave. Its threads wait for each other many times an update, so with one
    thread more than there are free cores it is slower than with one thread in all: 42 updates/s beside 119 on 2 cores.

    Raises:
        RunError: if the cluster lacks what the run asks for.
    """
    cluster.require(learners, others, training.device)
    processes = others + learners
    threads = training.learner_threads or _free_threads(others, learners, cluster)
    # A host is left with up to one share that is not whole. So with as many shares more as there are further hosts,
    # everybody has a place, however the cores are divided among the hosts. Ray takes fractions of a CPU in steps of
    # 0.0001; floor keeps the sum below the total.
    share = min(1.0, int(10_000 * cluster.cores / (processes + cluster.hosts - 1)) / 10_000)
    wanted = cluster.for_learner(training.device)
    learner: dict[str, Any] = {
        "num_cpus": 0.0 if LEARNER_RESOURCE in wanted else share,
        "resources": {name: amount for name, amount in wanted.items() if name != "GPU"},
        # PyTorch and Ray each set OMP_NUM_THREADS to num_cpus unless it is given.
        "runtime_env": cluster.environment({"OMP_NUM_THREADS": str(threads)}),
    }
    if "GPU" in wanted:
        learner["num_gpus"] = wanted["GPU"]
    added = cluster.actor_options(share if cluster.resources else 0.0)
    return Placement(cluster, threads, learner, cluster.actor_options(share), added)


def players_per_game(games: int, learners: int, training: TrainingConfig, cluster: RayCluster) -> int:
    """Return how many players of each game fill the cores that learners and evaluator leave; at least one.

    A learner on a CPU has its threads before there is a second player: an update takes much more than the steps that it
    learns from. One on a GPU needs a core, from which it launches kernels.

    Args:
        games: that are played.
        learners: learners.
        training: threads and device of a learner.
        cluster: the Ray that the run uses.
    """
    if ACTOR_RESOURCE in cluster.resources:
        places = int(cluster.resources[ACTOR_RESOURCE])
    else:
        least = 1 if on_card(training, cluster) else _free_threads(games + 1, learners, cluster)
        places = cluster.cores - learners * (training.learner_threads or least)
    return min(MOST_ACTORS, max(1, (places - 1) // games))


def _free_threads(others: int, learners: int, cluster: RayCluster) -> int:
    return min(LEARNER_THREADS_MAX, max(1, (cluster.cores - others) // learners))


def on_card(training: TrainingConfig, cluster: RayCluster) -> bool:
    """Return whether learners compute on a CUDA device."""
    if cluster.resources:
        return "GPU" in cluster.for_learner(training.device)
    return choose_device(training.device).type == "cuda"
