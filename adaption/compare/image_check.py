"""What comparisons of outputs and of embedded preprocessing found."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["ImageCheck", "OutputCheck"]


@dataclass(frozen=True)
class OutputCheck:
    """One output of the unchanged file. `agreeing` counts samples whose greatest class score is
    at the same class, None where the output holds no class scores."""

    blob: str
    max_error: float
    agreeing: int | None

    def to_dict(self) -> dict[str, Any]:
        """The check as plain values, for JSON."""
        return {"blob": self.blob, "max_error": self.max_error, "agreeing": self.agreeing}

    def detail(self, samples: int) -> str:
        """The result in a few words."""
        agree = "" if self.agreeing is None else f", {self.agreeing}/{samples} predictions agree"
        return f'output "{self.blob}" within {self.max_error:.3g}{agree}'


@dataclass(frozen=True)
class ImageCheck:
    """What the file made of images, against what the net's transform makes of them.

    `stated` is what the file says of its preprocessing, `unlike` the parts of it that the transform
    has otherwise. Errors in units of the net's input. `outputs` are those of the file on the images
    against those of the net on what the transform made; reported, not judged.
    """

    path: Path
    blob: str
    samples: int
    count: int
    differing: int
    max_error: float
    stated: Mapping[str, Any]
    unlike: tuple[str, ...] = ()
    outputs: tuple[OutputCheck, ...] = ()

    @property
    def ok(self) -> bool:
        """True when every value is bit-equal."""
        return not self.differing

    @property
    def detail(self) -> str:
        """The result in one line."""
        where = f'"{self.blob}", made by the file from {self.samples} images'
        if self.ok:
            said = f"{where}: bit-equal to the net's own preprocessing"
        else:
            said = (
                f"{where}: differs from the net's own preprocessing in {self.differing} of"
                f" {self.count} values, by up to {self.max_error:.3g}"
            )
        ends = [f"from image to {o.detail(self.samples)}" for o in self.outputs]
        return "; ".join([said, *self.unlike, *ends])

    def to_dict(self) -> dict[str, Any]:
        """The check as plain values; one entry of `verification`."""
        return {
            "what": f"embedded preprocessing of {self.path.name}",
            "ok": self.ok,
            "detail": self.detail,
            "file": os.fspath(self.path),
            "samples": self.samples,
            "max_error": self.max_error,
            "differing": self.differing,
            "stated": dict(self.stated),
            "outputs": [o.to_dict() for o in self.outputs],
        }

    def __str__(self) -> str:
        return f"preprocessing of {self.path.name}: {self.detail}"
