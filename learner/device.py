"""On which device a learner computes, and in which precision."""

import torch

from distill.errors import RunError


def choose_device(name: str) -> torch.device:
    """Return the device of that name; `auto` is the first CUDA device, else the CPU.

    Raises:
        RunError: if CUDA is asked for and not there.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise RunError(f"device {name}: this machine has no usable CUDA device; use --device cpu or auto")
    return torch.device(name)


def autocast_dtype(device: torch.device, precision: str) -> torch.dtype | None:
    """Return the trunk's reduced dtype, or None for float32; `auto` takes bfloat16 where the hardware multiplies it."""
    if precision == "auto":
        if device.type == "cuda":
            native = torch.cuda.is_bf16_supported(including_emulation=False)
        else:
            capabilities = torch.cpu.get_capabilities()
            native = bool(capabilities.get("amx_bf16") or capabilities.get("avx512_bf16"))
        return torch.bfloat16 if native else None
    return torch.bfloat16 if precision == "bfloat16" else None
