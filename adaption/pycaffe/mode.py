"""pycaffe's process-wide switches. Nets read them when they are built."""

from __future__ import annotations

from dataclasses import dataclass, field

from adaption.errors import UsageError

__all__ = [
    "TEST",
    "TRAIN",
    "allow_python",
    "set_device",
    "set_mode_cpu",
    "set_mode_gpu",
    "set_original_semantics",
    "set_random_seed",
]

TRAIN = 0
TEST = 1


@dataclass
class Settings:
    original_semantics: bool = False
    seed: int | None = None
    nets_built: int = 0
    python_modules: list[str] = field(default_factory=list)

    def next_seed(self) -> int | None:
        """A seed for the next net: nets differ, a process with `set_random_seed` repeats itself."""
        if self.seed is None:
            return None
        self.nets_built += 1
        return self.seed + self.nets_built - 1


settings = Settings()


def set_original_semantics(on: bool) -> None:
    """Reproduce the original ADaPTION's defects, too, in nets built from now on."""
    settings.original_semantics = bool(on)


def allow_python(*modules: str) -> None:
    """Let nets built from now on run layers of type "Python" from these modules.

    Args:
        modules: names as the prototxt's `python_param { module }` gives them; they are imported
            when a net needs them. Without this such layers are refused: a model file is data.
    """
    settings.python_modules += [name for name in modules if name not in settings.python_modules]


def set_random_seed(seed: int) -> None:
    """Seed the random numbers of nets built from now on."""
    settings.seed = int(seed)
    settings.nets_built = 0


def set_mode_cpu() -> None:
    """Compute on the CPU; the only mode of this release."""


def set_mode_gpu() -> None:
    """Raises UsageError: this release computes on the CPU."""
    raise UsageError(
        "set_mode_gpu() is called, this release computes on the CPU", "remove the call"
    )


def set_device(device: int) -> None:
    """Raises UsageError: this release computes on the CPU."""
    raise UsageError(
        f"set_device({device}) is called, this release computes on the CPU", "remove the call"
    )
