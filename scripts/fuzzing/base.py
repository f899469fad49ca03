"""What a format of inputs is, and how inputs are made of whole ones."""

from __future__ import annotations

import importlib.util
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from fuzzing.corpus import Corpus
from fuzzing.mutate import damage, damage_json, damage_message, damage_text

__all__ = ["FORMATS", "Format", "of_bytes", "of_json", "of_message", "of_text", "register"]


@dataclass
class Format:
    """One kind of input.

    seeds: whole inputs to start from. make: one input from them. run: does with an input, in the
    file of this name in the working directory, what adaption does with such a file.
    is_cheap: each input is one file that is read; otherwise a net, a snapshot or a store is made,
    too, or another library opens the file.
    """

    name: str
    file: str
    is_cheap: bool
    seeds: Callable[[Corpus], Sequence[bytes]]
    make: Callable[[random.Random, Sequence[bytes]], bytes]
    run: Callable[[Path], object]
    needs: str | None = None  # a package that not every Python has
    _seeds: list[bytes] = field(default_factory=list)

    @property
    def is_possible(self) -> bool:
        """Whether what it needs is installed."""
        return self.needs is None or importlib.util.find_spec(self.needs) is not None

    def prepare(self, corpus: Corpus) -> None:
        self._seeds = [seed for seed in self.seeds(corpus) if seed]

    def input(self, number: int, seed: int = 0) -> bytes:
        """The input of this number, always the same for a seed and a corpus."""
        draw = random.Random(f"{self.name}:{seed}:{number}")
        return self.make(draw, self._seeds)


FORMATS: dict[str, Format] = {}


def register(
    name: str,
    file: str,
    seeds: Callable[[Corpus], Sequence[bytes]],
    make: Callable[[random.Random, Sequence[bytes]], bytes],
    *,
    cheap: bool = True,
    needs: str | None = None,
) -> Callable[[Callable[[Path], object]], Callable[[Path], object]]:
    def add(run: Callable[[Path], object]) -> Callable[[Path], object]:
        FORMATS[name] = Format(name, file, cheap, seeds, make, run, needs)
        return run

    return add


def of_bytes(draw: random.Random, seeds: Sequence[bytes]) -> bytes:
    return damage(draw, draw.choice(seeds), seeds)


def of_message(draw: random.Random, seeds: Sequence[bytes]) -> bytes:
    return damage_message(draw, draw.choice(seeds), seeds)


def of_text(draw: random.Random, seeds: Sequence[bytes]) -> bytes:
    texts = [draw.choice(seeds).decode("utf-8", "replace") for _ in range(2)]
    return damage_text(draw, texts[0], texts[1:]).encode("utf-8", "replace")


def of_json(draw: random.Random, seeds: Sequence[bytes]) -> bytes:
    return damage_json(draw, draw.choice(seeds).decode()).encode("utf-8", "surrogatepass")
