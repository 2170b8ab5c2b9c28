"""Updates as CUDA graphs, beside the same updates made one kernel at a time: `make test-cuda`."""

import threading
from collections.abc import Sequence
from typing import TypeVar

import numpy as np
import pytest
import torch

from distill.architectures import ARCHITECTURES
from distill.chunks import Chunk, ChunkHeader, column_shapes
from distill.config import StudentConfig, parse_settings
from distill.errors import RunError
from distill.games import action_count, known_games
from distill.networks import QNetwork
from distill.teach_config import TeachConfig
from learner.captured_updates import EAGER_UPDATES, MOST_AHEAD
from learner.gradient_updater import LIFE_CHECK_EVERY, MAX_BLIND_IN_A_ROW, Update
from learner.label_replay import LabelReplay
from learner.n_step_replay import NStepReplay, NStepRule
from learner.q_updater import QUpdater
from learner.student_updater import FreshLabels, StudentUpdater
from learner.updater_tensors import AnyUpdater, load_updater_tensors, updater_tensors
from tests.support.learnable_chunks import STEPS, learnable_chunk, tiny_config

pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="without a CUDA device"),
]
GAMES = {"breakout": 4, "pong": 6}
AnUpdater = TypeVar("AnUpdater", bound=AnyUpdater)


@pytest.fixture(autouse=True)
def exact(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the device compute the same sums in the same order every time."""
    for name, value in (("deterministic", True), ("allow_tf32", False)):
        monkeypatch.setattr(torch.backends.cudnn, name, value)


def student_updater(
    *,
    captured: bool = True,
    compiling: bool = False,
    games: dict[str, int] = GAMES,
    fresh: bool = False,
    dtype: torch.dtype | None = None,
    **settings: object,
) -> StudentUpdater:
    """Return an updater on the device; without `captured` it makes every update at once."""
    torch.manual_seed(1)
    device = torch.device("cuda")
    config = tiny_config(settings)
    replays = {game: LabelReplay(count, 2_048, STEPS, device) for game, count in games.items()}
    for game, replay in replays.items():
        for sequence in range(40):
            replay.append(learnable_chunk(game, games[game], sequence))
    labels = None
    if fresh:
        labels = FreshLabels(device)
        for game in games:
            labels.set_teacher(game, teacher(games, 7))
    network = QNetwork(ARCHITECTURES["one_percent"], games)
    optimization = config.learner.optimization
    call = (network, replays, config.student, optimization, device, dtype, 1)
    updater = StudentUpdater(*call, labels=labels, compile_updates=compiling)
    return made(updater, captured)


def teacher(games: dict[str, int], seed: int) -> QNetwork:
    torch.manual_seed(seed)
    return QNetwork(ARCHITECTURES["one_percent"], games)


def q_updater(
    *, captured: bool = True, compiling: bool = False, dtype: torch.dtype | None = None, **settings: object
) -> QUpdater:
    torch.manual_seed(1)
    device = torch.device("cuda")
    replay = NStepReplay(NStepRule(2, 0.9, True, True), 4_096, STEPS, device)
    for sequence in range(40):
        replay.append(learnable_chunk("pong", 6, sequence))
    optimization = parse_settings(TeachConfig, {"games": ["pong"], **settings}, "test").q_learner.optimization
    network = QNetwork(ARCHITECTURES["one_percent"], {"pong": 6})
    updater = QUpdater(
        network,
        {"pong": replay},
        optimization,
        double=True,
        target_every=7,
        device=device,
        dtype=dtype,
        seed=1,
        compile_updates=compiling,
    )
    return made(updater, captured)


def made(updater: AnUpdater, captured: bool) -> AnUpdater:
    assert updater._captured is not None
    if not captured:
        updater._captured = None
    return updater


def run(updater: AnyUpdater, count: int) -> list[Update]:
    found = [update for number in range(count) for update in updater.update(number / count)]
    return [*found, *updater.finish()]


def assert_alike(captured: AnyUpdater, eager: AnyUpdater, count: int) -> None:
    """Make updates both ways, and expect the same games, losses, draws and weights."""
    mine, other = run(captured, count), run(eager, count)
    assert [update.game for update in mine] == [update.game for update in other]
    assert [update.finite for update in mine] == [update.finite for update in other]
    np.testing.assert_allclose([u.loss for u in mine], [u.loss for u in other], rtol=2e-3, atol=1e-5)
    assert torch.equal(captured.sampler.get_state(), eager.sampler.get_state())
    assert captured.updates == eager.updates
    assert captured.sampled_version == eager.sampled_version
    for kind, network in captured.networks.items():
        for ours, theirs in zip(network.parameters(), eager.networks[kind].parameters(), strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-2, atol=1e-4)


@pytest.mark.parametrize("optimizer", ["adamw", "rmsprop"])
@pytest.mark.parametrize("fresh", [False, True])
@pytest.mark.parametrize("loss", ["kl", "mse"])
def test_a_student_learns_the_same(optimizer: str, fresh: bool, loss: str) -> None:
    settings = {"optimizer": optimizer, "loss": loss, "average": 0.99, "warmup_updates": 20, "schedule": "cosine"}
    assert_alike(
        student_updater(fresh=fresh, **settings), student_updater(captured=False, fresh=fresh, **settings), 120
    )


@pytest.mark.parametrize("optimizer", ["adamw", "rmsprop"])
def test_a_q_learner_learns_the_same(optimizer: str) -> None:
    settings = {"q_optimizer": optimizer, "q_learning_rate": 1e-3, "q_average": 0.99, "q_batch_size": 32}
    assert_alike(q_updater(**settings), q_updater(captured=False, **settings), 120)


@pytest.mark.parametrize("kind", ["stored", "fresh", "q"])
def test_compiled_ones_learn_the_same(kind: str) -> None:
    if kind == "q":
        assert_alike(q_updater(compiling=True), q_updater(captured=False), 60)
        return
    settings = {"optimizer": "rmsprop", "average": 0.99, "fresh": kind == "fresh"}
    assert_alike(student_updater(compiling=True, **settings), student_updater(captured=False, **settings), 60)


@pytest.mark.parametrize("batch_size", [32, 4_096])
def test_in_bfloat16_and_any_batch_size(batch_size: int) -> None:
    settings = {"batch_size": batch_size, "sample_to_insert_window": 1e6}
    updater = student_updater(dtype=torch.bfloat16, **settings)
    updates = run(updater, 60)
    assert len(updates) == 60
    assert all(update.finite for update in updates)
    assert np.mean([u.loss for u in updates[-10:]]) < np.mean([u.loss for u in updates[:10]])


def test_twenty_six_games_share_the_trunk() -> None:
    games = {game: action_count(game) for game in known_games()[:26]}
    assert_alike(student_updater(games=games), student_updater(captured=False, games=games), 26 * (EAGER_UPDATES + 3))


def test_gradients_are_scaled_down_to_the_limit() -> None:
    settings = {"loss": "mse", "max_gradient_norm": 0.01, "optimizer": "rmsprop"}
    assert_alike(student_updater(**settings), student_updater(captured=False, **settings), 60)


def test_only_the_drawn_controller_moves() -> None:
    updater = student_updater()
    run(updater, 40)
    before = {name: value.clone() for name, value in updater.network.state_dict().items()}
    (update,) = run(updater, 1)
    moved = {name for name, value in updater.network.state_dict().items() if not torch.equal(value, before[name])}
    other = next(name for name in GAMES if name != update.game)
    assert any(name.startswith(f"heads.{update.game}") for name in moved)
    assert not any(name.startswith(f"heads.{other}") for name in moved)


def test_a_step_that_is_not_finite_is_left_out() -> None:
    updater = student_updater(games={"pong": 6}, loss="mse")
    run(updater, 20)
    labels = updater._replays["pong"]._tables["labels"]
    kept = labels.clone()
    before = {name: value.clone() for name, value in updater.networks["network"].state_dict().items()}
    labels.fill_(float("nan"))
    assert [update.finite for update in run(updater, 9)] == [False] * 9
    assert all(torch.equal(value, before[name]) for name, value in updater.network.state_dict().items())
    labels.copy_(kept)
    assert [update.finite for update in run(updater, 3)] == [True] * 3
    assert updater.nonfinite_updates == 9
    labels.fill_(float("nan"))
    with pytest.raises(RunError, match=r"10 updates in a row .*producer-of-pong/\d+"):
        run(updater, 10)


def test_a_network_that_has_died_is_reported() -> None:
    updater = student_updater()
    run(updater, 20)
    with torch.no_grad():
        updater.network.conv2.bias.fill_(-1e3)
    with pytest.raises(RunError, match="the network is dead"):
        run(updater, LIFE_CHECK_EVERY * (MAX_BLIND_IN_A_ROW + 1))


def test_fresh_labels_come_from_the_newest_teacher() -> None:
    updater = student_updater(fresh=True, loss="mse", games={"pong": 6})
    run(updater, 2 * EAGER_UPDATES)
    newer = teacher({"pong": 6}, 8)
    with torch.no_grad():
        newer.controller("pong")[-1].bias.fill_(100.0)
    assert updater._labels is not None
    updater._labels.set_teacher("pong", newer)
    assert run(updater, 1)[0].loss > 1_000.0


@pytest.mark.parametrize("kind", ["student", "q"])
def test_a_resumed_learner_goes_on_as_an_unbroken_one(kind: str) -> None:
    make = student_updater if kind == "student" else q_updater
    first, second = make(), make()
    run(first, 30)
    load_updater_tensors(second, updater_tensors(first))
    second.updates = first.updates
    mine, other = run(first, 30), run(second, 30)
    assert [update.game for update in mine] == [update.game for update in other]
    np.testing.assert_allclose([u.loss for u in mine], [u.loss for u in other], rtol=2e-3, atol=1e-5)
    assert torch.equal(first.sampler.get_state(), second.sampler.get_state())


def test_no_more_than_so_many_updates_are_unknown() -> None:
    updater = student_updater()
    run(updater, 20)
    known = [len(updater.update(0.0)) for _ in range(4 * MOST_AHEAD)]
    assert sum(known) + len(updater.finish()) == 4 * MOST_AHEAD
    assert all(count in (0, MOST_AHEAD) or count < MOST_AHEAD for count in known)
    assert max(known) <= MOST_AHEAD
    assert updater.finish() == []


def numbered_chunk(sequence: int, steps: int) -> Chunk:
    """Return a chunk whose frames and labels all tell its number."""
    shapes = column_shapes(steps, 4)
    flags = {name: np.zeros(steps, bool) for name in ("terminated", "truncated", "life_lost")}
    value = sequence % 251 + 1
    return Chunk(
        ChunkHeader("", "breakout", "p", "p", sequence, sequence, 0, steps, 4, 3),
        frames=np.full(shapes["frames"], value, np.uint8),
        q_values=np.full((steps, 4), value, np.float32),
        taken=np.zeros(steps, np.uint8),
        rewards=np.zeros(steps, np.float32),
        **flags,
    )


def test_what_is_drawn_is_whole_while_chunks_are_written_over() -> None:
    device, steps = torch.device("cuda"), 64
    replay = LabelReplay(4, 8 * steps, steps, device)
    for sequence in range(8):
        replay.append(numbered_chunk(sequence, steps))
    generator = torch.Generator(device).manual_seed(3)
    torn = torch.zeros((), dtype=torch.int64, device=device)
    oldest = torch.zeros((), dtype=torch.int64, device=device)

    def look() -> None:
        batch = replay.draw(replay.randoms(256, generator))
        values = batch.observations.flatten(1).float()
        same = (values.amax(1) == batch.q_values[:, 0]) & (values.amin(1) == batch.q_values[:, 0])
        torn.add_((~(same & (batch.numbers // steps == batch.versions))).sum())
        oldest.copy_(batch.numbers.amin())

    side = torch.cuda.Stream()
    with replay.steady(), torch.cuda.stream(side):
        look()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    graph.register_generator_state(generator)
    with replay.steady(), torch.cuda.graph(graph, stream=side, capture_error_mode="thread_local"):
        look()
    appended = threading.Thread(target=append_all, args=(replay, range(8, 1_500), steps))
    appended.start()
    looks = 0
    while appended.is_alive() or looks < 100:
        with replay.steady():
            graph.replay()
        looks += 1
    appended.join()
    with replay.steady():
        graph.replay()
    assert int(torn) == 0
    assert int(oldest) >= 1_492 * steps
    assert looks > 100


def append_all(replay: LabelReplay, sequences: Sequence[int] | range, steps: int) -> None:
    for sequence in sequences:
        replay.append(numbered_chunk(sequence, steps))


def test_compressed_frames_are_not_captured_and_learn_too() -> None:
    torch.manual_seed(1)
    device, config = torch.device("cuda"), tiny_config({})
    replay = LabelReplay(6, 2_048, STEPS, device, compressed=True)
    for sequence in range(40):
        replay.append(learnable_chunk("pong", 6, sequence))
    network = QNetwork(ARCHITECTURES["one_percent"], {"pong": 6})
    settings = config.learner.optimization
    updater = StudentUpdater(network, {"pong": replay}, StudentConfig(), settings, device, None, 1)
    assert [update.finite for update in run(updater, 5)] == [True] * 5
    assert updater.finish() == []
