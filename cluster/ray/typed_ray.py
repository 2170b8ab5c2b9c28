"""Functions of Ray that it gives no types itself, with the types that they have here."""

from typing import Any, Protocol, cast

import ray


class _Context(Protocol):
    @property
    def gcs_address(self) -> str: ...


class _Util(Protocol):
    def get_node_ip_address(self) -> str: ...


class _Ray(Protocol):
    """Attributes of the module `ray`. An actor's handle and a call's answer may be anything, so they are `Any`."""

    @property
    def util(self) -> _Util: ...

    def init(self, *, address: str, **settings: Any) -> object: ...

    def shutdown(self) -> None: ...

    def get_runtime_context(self) -> _Context: ...

    def available_resources(self) -> dict[str, float]: ...

    def cluster_resources(self) -> dict[str, float]: ...

    def nodes(self) -> list[dict[str, Any]]: ...

    def put(self, value: object) -> ray.ObjectRef[Any]: ...

    def wait(
        self, calls: list[Any], /, *, num_returns: int, timeout: float, fetch_local: bool = True
    ) -> tuple[list[ray.ObjectRef[Any]], list[ray.ObjectRef[Any]]]: ...

    def get(self, call: ray.ObjectRef[Any], /, *, timeout: float) -> Any: ...

    def kill(self, actor: Any, /) -> None: ...

    def cancel(self, call: ray.ObjectRef[Any], /) -> None: ...


typed_ray = cast(_Ray, ray)
