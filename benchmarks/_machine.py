"""The command, the machine and the versions, as every benchmark prints them; tables and times."""

from __future__ import annotations

import argparse
import os
import platform
import resource
import shlex
import sys
import time
from pathlib import Path

import numpy
import sklearn
import torch


def describe() -> str:
    """Return one paragraph of Markdown."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    command = shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])
    gpu = f" and {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""
    return (
        f"`python benchmarks/{command}` on {cores} cores of {processor()} "
        f"({torch.backends.cpu.get_cpu_capability()}){gpu}, Python {platform.python_version()}, "
        f"torch {torch.__version__}, scikit-learn {sklearn.__version__}, numpy {numpy.__version__}."
    )


def file_to_write(text: str) -> Path:
    """Return a path whose folder exists; an argument's type, so that it fails before the work."""
    path = Path(text)
    if not path.absolute().parent.is_dir():
        raise argparse.ArgumentTypeError(f"the folder of {text!r} does not exist")
    return path


def seconds(function, *arguments):
    """Return the seconds of one call, and its result."""
    start = time.perf_counter()
    result = function(*arguments)
    return time.perf_counter() - start, result


def peak_memory() -> float:
    """Return the peak resident memory of this process, MiB.

    `resource` is the fallback only: in a child process its figure includes the parent's.
    """
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM"):
                return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def processor() -> str:
    """Return the processor's name as the system tells it."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def markdown_table(header: list[str], rows: list[list[str]]) -> str:
    """Return a Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
