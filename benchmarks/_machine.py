"""What every benchmark prints first: the command, the machine and the versions."""

from __future__ import annotations

import os
import platform
import resource
import sys
from pathlib import Path

import numpy
import sklearn
import torch


def describe() -> str:
    """One paragraph of Markdown."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    command = " ".join([Path(sys.argv[0]).name, *sys.argv[1:]])
    return (
        f"`python benchmarks/{command}` on {cores} cores of {processor()} "
        f"({torch.backends.cpu.get_cpu_capability()}), Python {platform.python_version()}, "
        f"torch {torch.__version__}, scikit-learn {sklearn.__version__}, numpy {numpy.__version__}."
    )


def peak_memory() -> float:
    """MiB that this process has had resident at most.

    Not by `resource`, where that can be helped: what it says of a process that another one started
    includes the other's.
    """
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM"):
                return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def processor() -> str:
    """The processor's name as the system tells it."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def markdown_table(header: list[str], rows: list[list[str]]) -> str:
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
