"""All experiments by name."""

from cluster.experiment.compression import COMPRESSION
from cluster.experiment.data import DATA
from cluster.experiment.design import Experiment
from cluster.experiment.driver import DRIVER
from cluster.experiment.losses import LOSSES
from cluster.experiment.multi_game import MULTI_GAME
from cluster.experiment.online import ONLINE
from cluster.experiment.temperature import TEMPERATURE
from cluster.experiment.transfer import TRANSFER

EXPERIMENTS: dict[str, Experiment] = {
    experiment.name: experiment
    for experiment in (LOSSES, TEMPERATURE, COMPRESSION, MULTI_GAME, TRANSFER, ONLINE, DRIVER, DATA)
}
"""In the order in which the results are told."""
