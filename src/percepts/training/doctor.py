"""What this installation has: versions, devices, threads, optional features."""

from __future__ import annotations

import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, version

import torch

from percepts import __version__
from percepts.core.optional import available
from percepts.core.runs import git_commit
from percepts.training.setup import native_bf16

PACKAGES = ("torch", "numpy", "accelerate", "safetensors", "scikit-learn", "matplotlib", "pillow", "tyro")
EXTRAS = {
    "tensorboard": "tensorboard",
    "huggingface_hub": "hub",
    "ray": "ray",
    "h5py": "datasets",
    "av": "video",
    "gymnasium": "envs",
    "stable_baselines3": "rl",
    "openai": "llm",
    "transformers": "hf",
}


def describe() -> str:
    """A report for people and bug trackers."""
    cpu = torch.device("cpu")
    lines = [
        f"percepts {__version__}" + (f" at commit {commit}" if (commit := git_commit()) else ""),
        f"python   {platform.python_version()} ({sys.executable})",
        f"system   {platform.platform()}",
        "packages " + ", ".join(f"{name} {_version(name)}" for name in PACKAGES),
        f"cpu      {os.cpu_count()} cores, torch uses {torch.get_num_threads()} threads "
        f"({torch.backends.cpu.get_cpu_capability()}), bfloat16 in hardware: {'yes' if native_bf16(cpu) else 'no'}",
        *_gpus(),
        f"compiler {'found' if _compiler() else 'none found'} (torch.compile on the CPU needs a C++ compiler)",
    ]
    for package, extra in EXTRAS.items():
        state = (
            f"{package} {_version(package)}"
            if available(package)
            else f"not installed: pip install 'percepts[{extra}]'"
        )
        lines.append(f"extra    {extra:12} {state}")
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "CUDA_VISIBLE_DEVICES"):
        if name in os.environ:
            lines.append(f"setting  {name}={os.environ[name]}")
    return "\n".join(lines)


def _gpus() -> list[str]:
    if not torch.cuda.is_available():
        return ["gpu      none that torch can use"]
    lines = []
    for index in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(index)
        memory = properties.total_memory / 2**30
        lines.append(f"gpu      {properties.name}, {memory:.0f} GiB, CUDA {torch.version.cuda}")
    return lines


def _compiler() -> bool:
    import shutil

    return any(shutil.which(name) for name in (os.environ.get("CXX", "c++"), "g++", "clang++"))


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "missing"
