"""Backend c: the C99 program of a net, compiled by the system's compiler and run."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import weakref
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from adaption.compare.backends import Arithmetic, Key, Trace
from adaption.errors import UsageError
from adaption.exact import ExactNet, ExactOptions
from adaption.export.package import export_integer
from adaption.export.package.c_program import EXACT_FLOATS, FLOATS
from adaption.export.package.names import printed as printed_name
from adaption.net import Net
from adaption.numerics import FixedPoint

__all__ = ["CProgram"]

Array = npt.NDArray[Any]
COMPILERS = ("cc", "gcc", "clang")


class CProgram:
    """What `export_integer(form="c")` writes, with every value printed.

    Raises: UsageError without a compiler, or when it refuses the program.
    """

    name = "c"

    def __init__(self, net: Net, formats: Mapping[str, FixedPoint]) -> None:
        exact = ExactNet(net, ExactOptions(formats))
        self._net, self._formats, self._program = net, formats, exact.program
        self.arithmetic = Arithmetic("exact", is_lossless=exact.program.is_lossless)
        compiler = os.environ.get("CC") or next(filter(shutil.which, COMPILERS), None)
        if compiler is None:
            raise UsageError(
                f"no C compiler is installed ({', '.join(COMPILERS)})", "install one, or set CC"
            )
        self._compiler = compiler

    def run(self, inputs: Mapping[str, Array]) -> Trace:
        """All values of the samples."""
        printed = self._printed(inputs, self._tracing)
        values: dict[Key, Array] = {}
        codes = set()
        for top in self._program.tops:
            rows = printed.get(printed_name(top.value or ""))
            if rows is None:
                continue
            key = top.layer, top.blob
            if top.is_float:  # nine digits hold every float32
                shape = self._program.float_shapes[top.value or ""]
                values[key] = rows.astype(np.float32).astype(np.float64).reshape(-1, *shape[1:])
            else:
                value = self._program.values[top.value or ""]
                values[key] = rows.reshape(-1, *value.shape[1:]) * value.scale
                codes.add(key)
        return Trace(values, frozenset(codes))

    def outputs(self, inputs: Mapping[str, Array]) -> list[Array]:
        """The codes of each output blob, a row per sample; of the last codes before it, where
        layers without an integer form (Softmax) end the net; float32 values, where those do."""
        return list(self._printed(inputs, self._plain).values())

    def _printed(self, inputs: Mapping[str, Array], program: Path) -> dict[str, Array]:
        """What the program prints of the samples: codes by name, a row per sample."""
        order = list(self._program.inputs)
        rows = [np.reshape(inputs[name], (len(inputs[name]), -1)) for name in order]
        folder = program.parent
        np.concatenate(rows, 1).astype("<f4").tofile(folder / "samples.bin")
        lines = _run([str(program), "samples.bin"], folder).splitlines()
        printed: dict[str, list[Array]] = {}
        for line in lines:
            name, _, codes = line.partition(" ")
            printed.setdefault(name, []).append(np.fromstring(codes, np.float64, sep=" "))
        return {name: np.stack(codes) for name, codes in printed.items()}

    @cached_property
    def _folder(self) -> Path:
        """Where the program is written; gone with this object."""
        folder = Path(tempfile.mkdtemp())
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        export_integer(self._net, folder, form="c", input_formats=self._formats)
        return folder

    @cached_property
    def _plain(self) -> Path:
        return self._compiled("net")

    @cached_property
    def _tracing(self) -> Path:
        """The program that prints every value."""
        return self._compiled("net_trace", "-DADAPTION_TRACE")

    def _compiled(self, name: str, *flags: str) -> Path:
        sources = sorted(path.name for path in self._folder.glob("*.c"))
        exact = [EXACT_FLOATS] if (self._folder / FLOATS).exists() else []
        command = [self._compiler, "-std=c99", "-O2", *exact, *flags, "-o", name, *sources]
        _run(command, self._folder)
        return self._folder / name


def _run(command: list[str], folder: Path) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        said = done.stderr.strip().partition("\n")[0]
        raise UsageError(
            f"{' '.join(command)} failed: {said}", "check the compiler (CC), or compare another way"
        )
    return done.stdout
