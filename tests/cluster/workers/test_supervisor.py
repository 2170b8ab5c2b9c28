"""Workers that crash, hang or complain, as real Ray actors."""

import os
import time
from collections.abc import Callable
from typing import Any

import pytest
import ray
from ray.exceptions import RayActorError

from cluster.workers.supervisor import Patience, Supervisor, Worker, finish, kill
from distill.errors import BufferUnavailable, ReplacedError, RunError

pytestmark = pytest.mark.usefixtures("own_ray")

SHARE = 0.1
QUICK = Patience(call_seconds=60.0, first_backoff_seconds=0.05, max_backoff_seconds=0.2, failures=2, budget_seconds=60)


@ray.remote(num_cpus=SHARE)
class WithoutBuffer:
    """Misses the buffer service in its constructor, as often as it is told."""

    def __init__(self, misses: bool) -> None:
        if misses:
            raise BufferUnavailable("away")

    def work(self) -> str:
        return "works"


@ray.remote(num_cpus=SHARE)
class Unreliable:
    """Does what its name says on its n-th call."""

    def __init__(self, incarnation: int) -> None:
        self._incarnation = incarnation

    def work(self) -> tuple[int, int]:
        return self._incarnation, os.getpid()

    def rest(self, seconds: float) -> None:
        time.sleep(seconds)

    def crash(self) -> None:
        os._exit(1)

    def complain(self) -> None:
        raise ValueError(f"complaint {self._incarnation}")

    def miss_the_buffer(self) -> None:
        raise BufferUnavailable("away")

    def find_a_bad_setting(self) -> None:
        raise RunError("no such device")

    def find_another_in_its_place(self) -> None:
        raise ReplacedError("it was replaced")


def worker(submit: Callable[[Any], Any], **settings: Any) -> Worker:
    return Worker("w", "tester", Unreliable.remote, submit, **settings)


class Recorder:
    """Notes the restarts of a supervisor."""

    def __init__(self, patience: Patience = QUICK) -> None:
        self.reasons: list[str] = []
        self.times: list[float] = []
        self.supervisor = Supervisor(self._note, patience)

    def _note(self, worker: Worker, reason: str) -> None:
        self.reasons.append(reason)
        self.times.append(time.monotonic())

    def first_answer(self, seconds: float = 60.0) -> Any:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            for _, answer in self.supervisor.poll(0.05):
                return answer
        pytest.fail("no answer")

    def end(self) -> None:
        for handle in self.supervisor.handles("tester"):
            kill(handle)


def test_calls_in_flight_stay_below_the_depth():
    recorder, submitted, answered, most = Recorder(), 0, 0, 0

    def submit(handle: Any) -> Any:
        nonlocal submitted, most
        submitted += 1
        most = max(most, submitted - answered)
        return handle.rest.remote(0.01)

    recorder.supervisor.add(worker(submit, depth=2))
    while answered < 20:
        for _ in recorder.supervisor.poll(0.05):
            answered += 1
    assert most == 2
    recorder.end()


def test_one_that_crashes_is_replaced_and_the_others_go_on():
    recorder = Recorder()
    first = worker(lambda handle: handle.crash.remote() if not recorder.reasons else handle.work.remote())
    other = Worker("other", "tester", Unreliable.remote, lambda handle: handle.work.remote())
    recorder.supervisor.add(first)
    recorder.supervisor.add(other)
    pids: set[int] = set()
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        found = list(recorder.supervisor.poll(0.05))
        pids |= {answer[1] for who, answer in found if who is other}
        if any(who is first and answer[0] == 1 for who, answer in found):
            break
    else:
        pytest.fail("it was not replaced")
    assert len(recorder.reasons) == 1
    assert len(pids) == 1, "the other one is still the same process"
    assert first.incarnation == 2 and other.incarnation == 1
    recorder.end()


def test_one_that_fails_for_ever_ends_the_run_with_its_first_traceback():
    recorder = Recorder(QUICK)
    recorder.supervisor.add(worker(lambda handle: handle.complain.remote()))
    with pytest.raises(RunError, match="w failed 3 times within 60 s; the first time:") as caught:
        recorder.first_answer()
    assert "complaint 0" in str(caught.value) and "in complain" in str(caught.value)
    assert "complaint 1" not in str(caught.value)
    waits = [later - sooner for sooner, later in zip(recorder.times, recorder.times[1:], strict=False)]
    assert len(recorder.reasons) == 2
    assert waits[0] >= QUICK.first_backoff_seconds


def test_a_failure_is_forgotten_after_a_while():
    recorder = Recorder(
        Patience(60.0, first_backoff_seconds=0.01, max_backoff_seconds=0.01, failures=1, budget_seconds=0)
    )
    recorder.supervisor.add(
        worker(lambda handle: handle.complain.remote() if len(recorder.reasons) < 2 else handle.work.remote())
    )
    assert recorder.first_answer()[0] == 2
    recorder.end()


def test_a_missing_buffer_is_no_fault_of_the_worker():
    recorder = Recorder(Patience(first_backoff_seconds=0.01, failures=1))
    recorder.supervisor.add(
        worker(lambda handle: handle.miss_the_buffer.remote() if len(recorder.reasons) < 2 else handle.work.remote())
    )
    assert recorder.first_answer()[0] == 2
    recorder.end()


def test_a_buffer_missing_at_the_start_is_no_fault_of_the_worker_either():
    recorder = Recorder(Patience(first_backoff_seconds=0.01, failures=0))
    recorder.supervisor.add(
        Worker("w", "tester", lambda starts: WithoutBuffer.remote(starts < 2), lambda handle: handle.work.remote())
    )
    assert recorder.first_answer() == "works"
    assert len(recorder.reasons) == 2 and "away" in recorder.reasons[0]
    recorder.end()


def test_the_first_failure_that_is_told_is_none_of_an_outage_that_is_over():
    recorder = Recorder(QUICK)
    recorder.supervisor.add(
        worker(lambda handle: handle.complain.remote() if recorder.reasons else handle.miss_the_buffer.remote())
    )
    with pytest.raises(RunError, match="w failed 3 times within 60 s; the first time:") as caught:
        recorder.first_answer()
    assert "complaint 1" in str(caught.value) and "away" not in str(caught.value)
    recorder.end()


def test_a_ray_that_is_gone_ends_all_and_nobody_is_asked_any_more():
    trouble = ""
    supervisor = Supervisor(lambda _, reason: pytest.fail(reason), QUICK, lambda: trouble)
    handle = Unreliable.remote(0)
    supervisor.add(Worker("w", "tester", lambda _: handle, lambda handle: handle.rest.remote(0.01)))
    list(supervisor.poll(0.05))
    trouble = "its raylet was ended by SIGKILL"
    with pytest.raises(RunError, match=r"^ray: its raylet was ended by SIGKILL, and with it all actors and learners"):
        list(supervisor.poll(0.05))
    assert supervisor.handles("tester") == []
    kill(handle)


def test_a_bad_setting_that_an_essential_worker_finds_ends_the_run_at_once():
    recorder = Recorder()
    recorder.supervisor.add(worker(lambda handle: handle.find_a_bad_setting.remote(), essential=True))
    with pytest.raises(RunError, match="no such device"):
        recorder.first_answer()
    assert recorder.reasons == []
    recorder.end()


@pytest.mark.parametrize("essential", [True, False])
def test_a_worker_that_is_told_that_it_was_replaced_ends_the_run_at_once(essential: bool):
    recorder = Recorder()
    recorder.supervisor.add(worker(lambda handle: handle.find_another_in_its_place.remote(), essential=essential))
    with pytest.raises(ReplacedError, match="it was replaced"):
        recorder.first_answer()
    assert recorder.reasons == []
    recorder.end()


def test_one_that_hangs_is_replaced():
    # They are started before: a start that takes long on a busy machine would be taken for one that hangs.
    handles = [Unreliable.remote(incarnation) for incarnation in range(2)]
    ray.get([handle.work.remote() for handle in handles], timeout=60.0)
    recorder = Recorder(Patience(call_seconds=2.0, first_backoff_seconds=0.01))
    hangs, works = handles
    recorder.supervisor.add(
        Worker(
            "w",
            "tester",
            handles.__getitem__,
            lambda handle: handle.rest.remote(3600.0) if handle is hangs else handle.work.remote(),
        )
    )
    assert recorder.first_answer()[0] == 1
    (reason,) = recorder.reasons
    assert reason.startswith("no answer for 2 s")
    with pytest.raises(RayActorError):
        ray.get(hangs.work.remote(), timeout=60.0)
    kill(works)


@pytest.mark.parametrize("starts", [1, 3])
def test_one_that_never_answers_ends_the_run_soon(starts: int):
    patience = Patience(call_seconds=1.0, first_backoff_seconds=0.01, silent_starts=starts - 1)
    recorder = Recorder(patience)
    recorder.supervisor.add(worker(lambda handle: handle.rest.remote(3600.0)))
    with pytest.raises(RunError, match=rf"^w: started {starts} times, and never an answer within 1 s; \S+"):
        recorder.first_answer()
    assert len(recorder.reasons) == starts - 1
    recorder.end()


def test_one_without_work_is_left_alone_and_poll_still_takes_its_time():
    recorder = Recorder()
    recorder.supervisor.add(worker(lambda handle: None))
    began = time.monotonic()
    assert list(recorder.supervisor.poll(0.1)) == []
    assert time.monotonic() - began >= 0.1
    recorder.end()


def test_drained_workers_get_no_more_calls_and_last_words_are_bounded_in_time():
    recorder, calls = Recorder(), 0

    def submit(handle: Any) -> Any:
        nonlocal calls
        calls += 1
        return handle.work.remote()

    recorder.supervisor.add(worker(submit))
    recorder.first_answer()
    (handle,) = recorder.supervisor.handles("tester")
    recorder.supervisor.drain("tester", 10.0)
    before = calls
    assert list(recorder.supervisor.poll(0.05)) == []
    assert calls == before
    assert recorder.supervisor.handles("tester") == []
    answers = finish([handle.work.remote(), handle.complain.remote(), handle.rest.remote(3600.0)], 1.0, "testers")
    assert len(answers) == 1 and answers[0][0] == 0, "neither the one that fails nor the one that is late"
    kill(handle)
    kill(handle)
