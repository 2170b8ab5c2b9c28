"""What is played after the training of a run with Q-learners: which versions, with which weights and seeds."""

from dataclasses import replace
from pathlib import Path

from cluster.buffer.address import BufferAddress
from cluster.buffer.push import Limits
from cluster.models.coordinator import Coordinator
from cluster.redis.private_server import PrivateRedis
from cluster.run.after_training import last_half_tasks
from cluster.services import RedisServices
from cluster.state.folder import new_run
from cluster.state.session import Session
from distill.teach_config import OnlineConfig, PromotionConfig, TeachGeneralConfig
from tests.support.evaluations import row


def test_every_version_of_the_last_half_is_played_once_and_alike(
    one_redis_server: PrivateRedis, run_name: str, tmp_path: Path
):
    config = OnlineConfig(
        general=TeachGeneralConfig(name=run_name, root=tmp_path, games=("pong", "breakout"), seed=3),
        promotion=PromotionConfig(curve_episodes=50, eval_lanes=10, eval_epsilon=0.01),
    )
    folder = new_run(config, ["pong", "breakout"])
    address = BufferAddress(one_redis_server.url, folder.name, ("pong", "breakout"), Limits(1_000, 1_000))
    session = Session(folder, config, RedisServices(address, folder.path))
    lineage = session.kind.lineages[-1]
    ledger = session.services.ledger(lineage.name)
    assert list(last_half_tasks(session, lineage)) == [], "nothing was published yet"

    # Ten at once are two more than Redis holds, and the folder holds them; somebody removes two there.
    for version in range(1, 11):
        ledger.publish(b"%d" % version, {"updates": version, "seconds": 100.0 + version, "transitions": {}})
    for version in (1, 2):
        (folder.path / f"models/student/{version}.safetensors").unlink()
    coordinator = Coordinator([lineage], session.services, config.promotion.as_rule, config.general.seed)
    coordinator.advance([])
    folder.append("evaluations.jsonl", row("student", 5, 0, 105.0, 1.0, purpose="curve"))
    folder.append("evaluations.jsonl", row("pong", 6, 0, 106.0, 1.0, purpose="curve"))
    folder.append("evaluations.jsonl", row("student", 7, 0, 107.0, 1.0))

    tasks = list(last_half_tasks(session, lineage))
    expected = [(version, game) for version in range(3, 11) for game in ("pong", "breakout")]
    expected.remove((5, "pong"))
    assert [(task.version, task.game) for task in tasks] == expected
    assert all(task.model == b"%d" % task.version for task in tasks)
    alike = {replace(task, version=0, game="", model=None) for task in tasks}
    assert len(alike) == 1, "with the same seed, so that versions differ by less luck"
    (task,) = alike
    assert (task.who, task.lineage, task.purpose, task.block) == ("student", "student", "curve", 0)
    assert (task.episodes, task.lanes, task.epsilon) == (50, 10, 0.01)
    assert [message for message in session.messages if "student 1 cannot be played" in message]
    assert [message for message in session.messages if "student 2 cannot be played" in message]

    for version in range(11, 20):
        ledger.publish(b"%d" % version, {"updates": version, "seconds": 203.0 + version, "transitions": {}})
        coordinator.advance([])
    assert {task.version for task in last_half_tasks(session, lineage)} == set(range(11, 20)), "half of 222 s is 111 s"
