"""What is played after the training of a run with Q-learners: which versions, with which weights and seeds."""

from pathlib import Path

from online_support import row

from cluster.buffer.address import BufferAddress
from cluster.buffer.push import Limits
from cluster.buffer.server import PrivateRedis
from cluster.coordinator import Coordinator
from cluster.online.session import OnlineSession
from cluster.online.superseded import superseded_looks
from cluster.run_folder import new_run
from cluster.services import RedisServices
from distill.teach_config import OnlineConfig, PromotionConfig, TeachGeneralConfig


def test_what_gave_way_in_the_last_half_gets_the_look_that_it_missed(one_redis_server: PrivateRedis, tmp_path: Path):
    config = OnlineConfig(
        general=TeachGeneralConfig(name="run", root=tmp_path, games=("pong", "breakout"), seed=3),
        promotion=PromotionConfig(look_episodes=20, most_episodes=40, play_superseded=True),
    )
    folder = new_run(config, ["pong", "breakout"])
    address = BufferAddress(one_redis_server.url, folder.name, ("pong", "breakout"), Limits(1_000, 1_000))
    session = OnlineSession(folder, config, RedisServices(address, folder.path))
    line = session.lines[-1]
    ledger = session.services.ledger(line.name)
    assert list(superseded_looks(session, line, ledger)) == [], "nothing was published yet"

    # Ten at once are two more than the registry holds, so the first two are gone when the coordinator comes.
    for version in range(1, 11):
        ledger.publish(b"%d" % version, {"updates": version, "seconds": 100.0 + version, "transitions": {}})
    coordinator = Coordinator([line], session.services, config.promotion, config.general.seed)
    first_look = coordinator.advance([]).tasks[0]
    assert first_look.version == 10
    ledger.turn_down(10, "rejected", "worse")
    folder.append("evaluations.jsonl", row("student", 5, 0, 105.0, 1.0))
    folder.append("evaluations.jsonl", row("pong", 6, 0, 106.0, 1.0))
    folder.append("evaluations.jsonl", row("student", 7, 1_000_000, 107.0, 1.0))

    looks = list(superseded_looks(session, line, ledger))
    expected = [(version, game) for version in range(3, 10) for game in ("pong", "breakout")]
    expected.remove((5, "pong"))
    assert [(task.version, task.game) for task in looks] == expected
    assert all(task.model == b"%d" % task.version for task in looks)
    for task in looks:
        assert (task.line, task.who, task.block, task.episodes, task.lanes) == ("student", "student", 0, 20, 20)
        assert (task.seed, task.epsilon) == (first_look.seed, first_look.epsilon), "as those that were played in time"
    assert [message for message in session.messages if "student 1 cannot be played" in message]
    assert [message for message in session.messages if "student 2 cannot be played" in message]

    ledger.publish(b"11", {"updates": 11, "seconds": 213.0, "transitions": {}})
    coordinator.advance([])
    ledger.turn_down(11, "rejected", "worse")
    assert {task.version for task in superseded_looks(session, line, ledger)} == {7, 8, 9}, "half of 213 s"
