from collections.abc import Mapping, Sequence
from typing import Any

import numpy.typing as npt

class SessionOptions:
    intra_op_num_threads: int
    inter_op_num_threads: int
    log_severity_level: int
    def add_session_config_entry(self, key: str, value: str, /) -> None: ...

class NodeArg:
    name: str
    shape: list[int | str | None]

class InferenceSession:
    def __init__(self, model: bytes, options: SessionOptions, /, *, providers: Sequence[str]) -> None: ...
    def get_inputs(self) -> list[NodeArg]: ...
    def get_outputs(self) -> list[NodeArg]: ...
    def run(
        self, output_names: Sequence[str] | None, input_feed: Mapping[str, npt.NDArray[Any]], /
    ) -> list[npt.NDArray[Any]]: ...
