"""Lets a run train, and looks for half an hour whether anything of it grows: `make soak`.

    python -m tests.chaos.soak --minutes 30 --out results/soak.json

Its rings are small, so that they are full when the measurement begins: the stream, the replay, and the newest versions
whose weights are kept. What is known of a version is kept for ever, half a kilobyte for each. What is fitted are means
over half a minute: single samples follow one another, and would make the interval too small.
"""

import json
import re
import signal
import socket
import sys
import time
import urllib.request
from argparse import ArgumentParser
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean

import psutil
from scipy import stats

from cluster.redis.typed_redis import typed
from distill.files import write_atomically
from tests.chaos.circumstances import circumstances
from tests.chaos.whole import RUN, Whole, started
from tests.support.sandbox import processes

SAMPLE_SECONDS = 5.0
ANSWER_SECONDS = 60.0
"""A busy machine is slow; how long an answer takes is not what is measured."""
BLOCK_SECONDS = 30.0
VERSIONS = ("--eval-every", "4000")
"""Three or four in a minute, so that as many as are kept have come within the first five."""
RINGS = ("--replay-capacity", "16384", "--capacity", "131072", "--backlog", "65536")
WARM_MINUTES, LEAST_MINUTES = 40.0, 2.0
"""Before the measurement, and of it. The rings are full after five. Ray's raylet takes 3 MiB in its first ten thousand
calls and then no more: asked 15 times a second, it was level from minute 9 to 36. A run asks it less often."""
CONFIDENCE = 0.95
ALLOWANCES = {
    "anonymous memory, MiB": 0.02,
    "descriptors": 0.0,
    "threads": 0.0,
    "used memory, MiB": 0.02,
    "series": 0.0,
}
"""By quantity, the share of its mean that it may gain in an hour and still count as flat: allocators breathe."""
Series = dict[tuple[str, str], list[tuple[float, float]]]


@dataclass(frozen=True)
class Slope:
    """A fitted line.

    Attributes:
        who: whose quantity it is.
        what: the quantity and its unit.
        mean: of it.
        slope: gain in an hour.
        low: lower end of the slope's interval.
        high: upper end.
        rises: whether it grows beyond what is allowed for.
    """

    who: str
    what: str
    mean: float
    slope: float
    low: float
    high: float
    rises: bool


def fit(who: str, what: str, samples: Sequence[tuple[float, float]], allowance: float = 0.0) -> Slope:
    """Fit a line through means over blocks of time.

    Args:
        who: whose quantity it is.
        what: the quantity.
        samples: times in seconds and values, at least three blocks long.
        allowance: share of the mean that it may gain in an hour.
    """
    blocks: dict[int, list[tuple[float, float]]] = defaultdict(list)
    for at, value in samples:
        blocks[int(at / BLOCK_SECONDS)].append((at / 3600.0, value))
    times = [fmean(at for at, _ in block) for block in blocks.values()]
    values = [fmean(value for _, value in block) for block in blocks.values()]
    mean = fmean(values)
    if max(values) == min(values):
        return Slope(who, what, mean, 0.0, 0.0, 0.0, rises=False)
    line = stats.linregress(times, values)
    slope, margin = float(line.slope), float(line.stderr * stats.t.ppf((1.0 + CONFIDENCE) / 2.0, len(times) - 2))
    rises = slope - margin > 0.0 and slope > allowance * abs(mean)
    return Slope(who, what, mean, slope, slope - margin, slope + margin, rises)


def sample(whole: Whole, port: int) -> Mapping[tuple[str, str], float]:
    """Return what every process, Redis and the metrics take now; processes of one name are added up."""
    found: dict[tuple[str, str], float] = defaultdict(float)
    for pid, command in processes(whole.sandbox.path).items():
        try:
            process = psutil.Process(pid)
            with process.oneshot():
                who = _role(command)
                found[who, "anonymous memory, MiB"] += _anonymous(pid) / 2**20
                found[who, "descriptors"] += process.num_fds()
                found[who, "threads"] += process.num_threads()
        except psutil.Error:
            continue
    with whole.redis(ANSWER_SECONDS) as client:
        found["Redis", "used memory, MiB"] = typed(client).info("memory")["used_memory"] / 2**20
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=ANSWER_SECONDS) as page:
        found["metrics", "series"] = sum(not line.startswith(b"#") for line in page.read().splitlines())
    return found


def _anonymous(pid: int) -> int:
    """Return the bytes of a process that are its own: pages of files come and go as other programs need the memory.

    Raises:
        psutil.NoSuchProcess: if it has ended.
    """
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError as error:
        raise psutil.NoSuchProcess(pid) from error
    found = re.search(r"^RssAnon:\s+(\d+) kB$", status, re.MULTILINE)
    return 1024 * int(found[1]) if found else 0


def _role(command: str) -> str:
    """Return what a process is, by its command line."""
    if title := re.match(r"ray::(\w+)", command):
        return title[1]
    names = [Path(word).name for word in command.split()[:4] if not word.startswith("-")]
    script = next((name for name in names if not name.startswith("python")), "process")
    return script.rstrip(":")


def soak(minutes: float) -> tuple[list[Slope], int]:
    """Run for so long behind the warm-up; return the fitted lines and the number of samples."""
    port = _free_port()
    series: Series = defaultdict(list)
    with started("run", (*RUN, *VERSIONS, *RINGS, "--metrics-port", str(port))) as whole:
        start = time.monotonic()
        count = 0
        while (at := time.monotonic() - start) < 60.0 * (WARM_MINUTES + minutes):
            whole.process.until(lambda: True, "the end of the soak")
            if at > 60.0 * WARM_MINUTES:
                count += 1
                for key, value in sample(whole, port).items():
                    series[key].append((at, value))
            time.sleep(SAMPLE_SECONDS)
    # A process that was there for a moment has no slope.
    lasting = {key: values for key, values in series.items() if len(values) > count * 0.9}
    return [fit(*key, values, ALLOWANCES[key[1]]) for key, values in sorted(lasting.items())], count


def _free_port() -> int:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return server.getsockname()[1]


def main() -> int:
    """Soak, and return 1 if something rises."""
    parser = ArgumentParser(prog="python -m tests.chaos.soak", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=30.0, help=f"behind {WARM_MINUTES:g} of warm-up")
    parser.add_argument("--out", type=Path, help="file to write")
    options = parser.parse_args()
    # What was started is ended as well.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    if options.minutes < LEAST_MINUTES:
        parser.error(f"--minutes: expected at least {LEAST_MINUTES:g}, which have a slope")
    slopes, count = soak(options.minutes)
    found = {
        **circumstances(),
        "minutes": options.minutes,
        "samples": count,
        "slopes": [asdict(slope) for slope in slopes],
    }
    for slope in slopes:
        sys.stdout.write(f"{slope}\n")
    if options.out is not None:
        write_atomically(options.out, (json.dumps(found, indent=1) + "\n").encode())
    return int(any(slope.rises for slope in slopes))


if __name__ == "__main__":
    sys.exit(main())
