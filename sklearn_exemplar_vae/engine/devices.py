"""Which device and which precision a fit runs with."""

from __future__ import annotations

import torch


def choose_device(name: str) -> torch.device:
    """Return the device called ``name``; "auto" is CUDA where there is one.

    Raises
    ------
    ValueError
        If torch knows no such device, or it is a CUDA device and none can be reached.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ValueError(f"device={name!r} is not a device torch knows.") from error
    if device.type not in ("cpu", "cuda"):
        raise ValueError(f"device={name!r} is not supported; use 'auto', 'cpu' or 'cuda'.")
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ValueError(f"device={name!r} was asked for, but torch can reach no CUDA device.")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ValueError(
            f"device={name!r} was asked for, but torch can reach only "
            f"{torch.cuda.device_count()} CUDA devices."
        )
    return device


def choose_autocast(precision: str, likelihood: str, device: torch.device) -> torch.dtype | None:
    """Return the dtype of the network's matrix products in training, None for float32.

    "auto" takes bfloat16 for images of zeros and ones on a processor that gains by it. Gaussian
    likelihoods stay in float32: their scales are finer than bfloat16's three digits.
    """
    if precision == "auto":
        gains = likelihood == "bernoulli" and has_fast_bfloat16(device)
        precision = "bfloat16" if gains else "float32"
    return torch.bfloat16 if precision == "bfloat16" else None


def has_fast_bfloat16(device: torch.device) -> bool:
    """Return whether bfloat16 products are fast here.

    With AVX512-BF16 or AMX they are several times as fast as float32, without many times slower: a
    torch too old or too new to answer counts as a no.
    """
    if device.type == "cuda":
        # Torch would count cards that emulate it.
        return torch.cuda.get_device_properties(device).major >= 8
    questions = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, question, bool)() for question in questions)
