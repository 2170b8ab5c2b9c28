"""Several learners that make every update together: each a process of its own, all with the same network.

They meet through torch.distributed: gloo for what lies on CPUs, nccl for what lies on GPUs. Whoever dies makes the next
exchange of all the others fail at once, and whoever hangs makes it fail after `PATIENCE_SECONDS`: a RuntimeError, after
which the whole group is made anew.
"""

import fcntl
import os
import socket
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol, cast

import numpy as np
import torch
import torch.distributed as dist
from torch.distributed import TCPStore  # pyright: ignore[reportPrivateImportUsage] - torch documents it there

from distill.typed_torch import from_numpy, numbers

PATIENCE_SECONDS = 45.0
"""For one exchange: longer than the first rank takes to publish, and short enough to be back within a minute."""
_MEETING = timedelta(seconds=PATIENCE_SECONDS)
_ADDRESS_OF_INTERFACE = 0x8915
"""Linux' SIOCGIFADDR."""
_INTERFACE_VARIABLES = ("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME")


class _Distributed(Protocol):
    """Functions of `torch.distributed`, which gives them no types; they change the tensors that they are given."""

    def all_reduce(self, tensor: torch.Tensor, /) -> object: ...

    def all_gather(self, said: list[torch.Tensor], tensor: torch.Tensor, /) -> object: ...

    def broadcast(self, tensor: torch.Tensor, source: int, /) -> object: ...


_distributed = cast(_Distributed, dist)


@dataclass(frozen=True)
class Seat:
    """The place of one learner among several.

    Attributes:
        rank: 0 to size - 1; the first one publishes and writes checkpoints for all.
        size: how many there are.
        host: address at which the first one waits for the others.
        port: likewise.
    """

    rank: int
    size: int
    host: str
    port: int


class MeetingPoint:
    """The first rank's, at which all find each other; it listens on one address alone.

    Args:
        host: that address.
        size: how many meet.
    """

    def __init__(self, host: str, size: int) -> None:
        listener = socket.create_server((host, 0))
        self.host, self.size = host, size
        self.port = int(listener.getsockname()[1])
        # The store takes the socket over, and closes it.
        self.store = TCPStore(
            host, self.port, size, True, _MEETING, wait_for_workers=False, master_listen_fd=listener.detach()
        )

    def seat(self, rank: int) -> Seat:
        """Return the place of a rank."""
        return Seat(rank, self.size, self.host, self.port)


class Ranks:
    """All ranks, as one of them sees them; there is one in a process.

    Every method but `leave` is an exchange, which all ranks make at the same point of their work.

    Args:
        seat: of this one.
        device: on which it learns; of several CUDA devices of a machine each rank takes its own.
        meeting_point: the first rank's own.
        patience: in seconds, with one exchange.

    Raises:
        RuntimeError: if the others do not come.
    """

    def __init__(
        self,
        seat: Seat,
        device: torch.device,
        meeting_point: MeetingPoint | None = None,
        patience: float = PATIENCE_SECONDS,
    ) -> None:
        self.rank, self.size = seat.rank, seat.size
        self.device = device
        store = (
            TCPStore(seat.host, seat.port, seat.size, False, _MEETING) if meeting_point is None else meeting_point.store
        )
        if device.type == "cuda":
            self.device = torch.device("cuda", seat.rank % torch.cuda.device_count())
            torch.cuda.set_device(self.device)
        if interface := _interface_to(seat):
            for variable in _INTERFACE_VARIABLES:
                os.environ.setdefault(variable, interface)
        dist.init_process_group(
            "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo",
            store=store,
            rank=seat.rank,
            world_size=seat.size,
            timeout=timedelta(seconds=patience),
        )

    @property
    def first(self) -> bool:
        """Whether this is the rank that speaks for all."""
        return self.rank == 0

    def agree(self, time: float, ready: bool) -> tuple[float, bool]:
        """Return the first rank's time, and whether all are ready."""
        told = torch.tensor((time if self.first else 0.0, 0.0 if ready else 1.0), dtype=torch.float64)
        _distributed.all_reduce(told)
        agreed, missing = numbers(told)
        return agreed, not missing

    def average(self, tensors: Sequence[torch.Tensor]) -> None:
        """Replace float32 tensors on the learners' device by their means; all ranks get the very same bits."""
        flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
        _distributed.all_reduce(flat)
        flat /= self.size
        end = 0
        for tensor in tensors:
            begin, end = end, end + tensor.numel()
            tensor.copy_(flat[begin:end].view(tensor.shape))

    def gather(self, data: bytes) -> list[bytes]:
        """Return what every rank has said, in their order."""
        sizes = torch.zeros(self.size, dtype=torch.int64)
        sizes[self.rank] = len(data)
        _distributed.all_reduce(sizes)
        mine = torch.zeros(int(sizes.max()), dtype=torch.uint8)
        mine[: len(data)] = _as_tensor(data)
        said = [torch.empty_like(mine) for _ in range(self.size)]
        _distributed.all_gather(said, mine)
        return [one[: int(size)].numpy().tobytes() for one, size in zip(said, sizes, strict=True)]

    def told(self, data: bytes) -> bytes:
        """Return what the first rank says; what the others would say does not count."""
        size = torch.tensor([len(data)])
        _distributed.broadcast(size, 0)
        said = _as_tensor(data) if self.first else torch.empty(int(size), dtype=torch.uint8)
        _distributed.broadcast(said, 0)
        return said.numpy().tobytes()

    def leave(self) -> None:
        """Cut the connections, so that no other rank waits for this one any longer."""
        if dist.is_initialized():
            dist.destroy_process_group()


def _as_tensor(data: bytes) -> torch.Tensor:
    return from_numpy(np.frombuffer(data, np.uint8).copy())


def _interface_to(seat: Seat) -> str:
    """Return the network interface by which a rank reaches the first one, empty if it has no IPv4 address.

    Without it gloo takes the one that the host's own name stands for, which is often the loopback.
    """
    with socket.create_connection((seat.host, seat.port), timeout=PATIENCE_SECONDS) as connection:
        own = connection.getsockname()[0]
        for _, name in socket.if_nameindex():
            try:
                found = fcntl.ioctl(connection, _ADDRESS_OF_INTERFACE, struct.pack("256s", name.encode()[:15]))
            except OSError:
                continue
            if socket.inet_ntoa(found[20:24]) == own:
                return name
    return ""
