"""The project's own exceptions. A message names the thing, what was expected, what was found and what to do."""


class DistillError(Exception):
    """Base of every error that a user can cause or mend; the command line prints its message and exits with 2."""


class ConfigError(DistillError):
    """A setting is unknown, out of range, or contradicts another one."""


class ModelFileError(DistillError):
    """A model file is missing, damaged, of another format, or does not fit its game."""


class ChunkError(DistillError):
    """A chunk is refused.

    Attributes:
        reason: one of `distill.chunks.REJECTION_REASONS`, the label under which the refusal is counted.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class BufferUnavailable(DistillError):
    """The buffer service cannot be reached, or does not answer in time."""


class ReplacedError(DistillError):
    """A process goes on though another one has taken its place; nothing that it writes counts."""


class RunError(DistillError):
    """A run cannot start, go on, or be resumed."""
