"""What the learner rebuilds from chunks is what the policy saw, on real games."""

import numpy as np
import numpy.typing as npt
import pytest

from actors.collector import Collector
from distill.chunks import Chunk, ChunkDecoder, ChunkEncoder, ages, rebuild_observations
from distill.config import RunConfig, parse_settings
from distill.games import action_count, make_environment, reset_seed
from distill.protocols import WriterCounters

LANES = 4


class Recorder:
    """Keeps chunks as a consumer would decode them; has room for `room` chunks."""

    def __init__(self, room: int = 10**9) -> None:
        self.counters = WriterCounters()
        self.chunks: list[Chunk] = []
        self.room = room
        self.closed = False

    def write(self, chunk: Chunk) -> None:
        assert self.room > 0, "the collector must wait for room first"
        self.room -= 1
        self.chunks.append(ChunkDecoder({chunk.header.game: chunk.header.actions}).decode(ChunkEncoder().encode(chunk)))

    def wait(self, timeout: float) -> bool:
        return self.room > 0

    def flush(self, timeout: float) -> int:
        return 0

    def close(self) -> None:
        self.closed = True


class Policy:
    """Deterministic q-values of an observation; remembers everything that it was asked about."""

    def __init__(self, game: str) -> None:
        self.actions = action_count(game)
        self.seen: list[npt.NDArray[np.uint8]] = []

    def __call__(self, observations: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        self.seen.append(observations.copy())
        return self.answer(observations)

    def answer(self, observations: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        sums = observations.reshape(len(observations), -1)[:, :: 97 * 3].astype(np.int64).sum(1)
        return ((sums[:, None] * np.arange(1, self.actions + 1)) % 101).astype(np.float32)


def collect(
    game: str, steps: int, chunk_steps: int, epsilon: float = 0.3, seed: int = 5
) -> tuple[Recorder, Policy, Collector]:
    recorder, policy = Recorder(), Policy(game)
    config = parse_settings(RunConfig, {"lanes": LANES, "chunk_steps": chunk_steps, "epsilon": epsilon}, "test").collect
    collector = Collector(game, policy, recorder, config, config.epsilon, seed, "test-0")
    collector.collect(600.0, steps)
    assert collector.flush(1.0) == 0
    return recorder, policy, collector


def replay_game(
    game: str, collector_seed: int, taken: list[list[int]]
) -> list[list[tuple[npt.NDArray[np.uint8], float, bool]]]:
    """Play the same actions lane by lane on a second environment: the slow, obvious version of what was recorded."""
    environment = make_environment(game, LANES)
    observations, _ = environment.reset(seed=reset_seed(collector_seed, *b"test-0", 0))
    rows: list[list[tuple[npt.NDArray[np.uint8], float, bool]]] = [[] for _ in range(LANES)]
    ended = np.zeros(LANES, bool)
    while any(len(rows[lane]) < len(taken[lane]) for lane in range(LANES)):
        actions = np.array(
            [
                0 if ended[lane] or len(rows[lane]) >= len(taken[lane]) else taken[lane][len(rows[lane])]
                for lane in range(LANES)
            ]
        )
        following, rewards, terminated, truncated, _ = environment.step(actions)
        for lane in range(LANES):
            if not ended[lane] and len(rows[lane]) < len(taken[lane]):
                rows[lane].append((observations[lane], float(rewards[lane]), bool(terminated[lane] | truncated[lane])))
        ended = (terminated | truncated) & ~ended
        observations = following
    environment.close()
    return rows


@pytest.mark.parametrize(("game", "chunk_steps"), [("breakout", 32), ("space_invaders", 128), ("pong", 50)])
def test_chunks_hold_bit_for_bit_what_the_policy_saw(game: str, chunk_steps: int) -> None:
    steps = 5_000 // LANES
    recorder, policy, collector = collect(game, steps, chunk_steps)
    assert [chunk.header.sequence for chunk in recorder.chunks] == list(range(len(recorder.chunks)))
    assert collector.counters.transitions == collector.counters.steps == sum(c.header.steps for c in recorder.chunks)
    seen = {observation.tobytes() for batch in policy.seen for observation in batch}
    episode_ends = 0
    for chunk in recorder.chunks:
        observations = rebuild_observations(chunk)
        for step, observation in enumerate(observations):
            assert observation.tobytes() in seen
            # The label belongs to this very observation, not to its neighbour.
            assert np.array_equal(policy.answer(observation[None])[0], chunk.q_values[step])
        episode_ends += int((chunk.terminated | chunk.truncated)[:-1].sum())
    assert len(recorder.chunks) > 2 * LANES
    if game != "pong":
        assert episode_ends > 0, "the play must cross episode ends inside chunks for this test to mean anything"


def test_a_lanes_chunks_replay_the_very_same_episode() -> None:
    recorder, _, collector = collect("breakout", 400, 32)
    # With chunks of 32 all lanes fill up together unless an end shifts them, so order chunks by continuity of frames.
    lanes: list[list[Chunk]] = []
    for chunk in recorder.chunks:
        previous = next(
            (
                lane
                for lane in lanes
                if np.array_equal(lane[-1].frames[-3:], chunk.frames[:3])
                and not (lane[-1].terminated | lane[-1].truncated)[-1]
                and lane[-1].header.steps == 32
            ),
            None,
        )
        if previous is None:
            previous = next((lane for lane in lanes if (lane[-1].terminated | lane[-1].truncated)[-1]), None)
        if previous is None:
            previous = []
            lanes.append(previous)
        previous.append(chunk)
    assert len(lanes) == LANES
    # Lane order of the environment is that of the first chunks, which are full at the same step.
    taken = [[int(action) for chunk in lane for action in chunk.taken] for lane in lanes]
    expected = replay_game("breakout", 5, taken)
    for lane, rows in zip(lanes, expected, strict=True):
        observations = np.concatenate([rebuild_observations(chunk) for chunk in lane])
        assert np.array_equal(observations, np.stack([row[0] for row in rows]))
        assert [row[1] for row in rows] == [float(reward) for chunk in lane for reward in chunk.rewards]
        assert [row[2] for row in rows] == [bool(e) for c in lane for e in c.terminated | c.truncated]
    assert collector.counters.episodes == sum(row[2] for rows in expected for row in rows)


def test_ages_continue_across_chunk_borders() -> None:
    recorder, _, _ = collect("breakout", 300, 8)
    assert any(0 < chunk.header.first_age < 3 for chunk in recorder.chunks) or any(
        chunk.header.first_age == 0 for chunk in recorder.chunks
    )
    for chunk in recorder.chunks:
        first = rebuild_observations(chunk)[0]
        zero_frames = int((first.reshape(4, -1) == 0).all(1).sum())
        assert zero_frames == 3 - int(ages(chunk)[0])


def test_a_full_buffer_holds_the_collector_and_loses_nothing() -> None:
    recorder, policy = Recorder(room=3), Policy("breakout")
    config = parse_settings(RunConfig, {"lanes": LANES, "chunk_steps": 16, "epsilon": 0.1}, "test").collect
    collector = Collector("breakout", policy, recorder, config, config.epsilon, 5, "test-0")
    collector.collect(0.5, None)
    held = collector.counters.steps
    collector.collect(0.2)
    assert collector.counters.steps == held, "no step may be played that no chunk has room for"
    assert collector.counters.seconds["wait"] > 0.0
    assert len(recorder.chunks) == 3
    recorder.room = 10**9
    assert collector.flush(1.0) == 0
    assert sum(chunk.header.steps for chunk in recorder.chunks) == collector.counters.steps == held
    collector.close()
    assert recorder.closed


def test_seeds_and_incarnations_play_different_episodes() -> None:
    config = parse_settings(RunConfig, {"lanes": LANES, "chunk_steps": 16, "epsilon": 0.5}, "test").collect
    played: list[bytes] = []
    for seed, producer, incarnation in ((1, "a", 0), (1, "a", 0), (2, "a", 0), (1, "b", 0), (1, "a", 1)):
        recorder = Recorder()
        collector = Collector(
            "breakout", Policy("breakout"), recorder, config, config.epsilon, seed, producer, incarnation
        )
        collector.collect(60.0, 16)
        played.append(b"".join(chunk.taken.tobytes() + chunk.frames.tobytes() for chunk in recorder.chunks))
    assert played[0] == played[1]
    assert len(set(played)) == 4


def test_the_student_drives_and_the_teacher_labels() -> None:
    recorder, teacher = Recorder(), Policy("breakout")
    config = parse_settings(RunConfig, {"lanes": LANES, "chunk_steps": 16, "epsilon": 0.0}, "test").collect
    collector = Collector("breakout", teacher, recorder, config, config.epsilon, 5, "test-0")

    def student(observations: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        return np.eye(teacher.actions, dtype=np.float32)[np.full(len(observations), 2)]

    collector.set_driver_share(1.0)
    collector.set_driver(student, version=7)
    collector.collect(60.0, 64)
    assert recorder.chunks
    for chunk in recorder.chunks:
        assert chunk.header.driver_version == 7
        assert (chunk.taken == 2).all()
        assert np.array_equal(chunk.q_values, teacher.answer(rebuild_observations(chunk)))
    assert collector.counters.driven_transitions == collector.counters.steps
    assert not collector.counters.episode_scores, "student-driven episodes say nothing of the teacher"
