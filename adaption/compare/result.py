"""VerifyReport: what every comparison says, and how it is printed."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from adaption.compare.image_check import ImageCheck
from adaption.errors import one_line
from adaption.table import columns

__all__ = ["VerifyReport"]


@dataclass(frozen=True, kw_only=True)
class VerifyReport(ABC):
    """What `verify` found, whatever it compared.

    `problems` says what decides against the two, layer by layer; `notes` what a user should know.
    `preprocessing` has a check for each ONNX file that was given images. What a comparison has
    beyond this is in its own class, and in `to_dict()`.
    """

    samples: int
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    preprocessing: tuple[ImageCheck, ...] = ()

    @property
    def ok(self) -> bool:
        """True where nothing speaks against the two computing the same."""
        return not self.problems and all(check.ok for check in self.preprocessing)

    @property
    @abstractmethod
    def what(self) -> str:
        """What was compared with what."""

    @property
    @abstractmethod
    def verdict(self) -> str:
        """Whether they agree, in a few words."""

    @property
    @abstractmethod
    def detail(self) -> str:
        """The result in one line."""

    @abstractmethod
    def rows(self) -> Sequence[Sequence[str]]:
        """The table: its head, and a row for each thing compared, in TEXTS columns of words and
        then numbers."""

    @abstractmethod
    def facts(self) -> dict[str, Any]:
        """What `to_dict` has beside the parts that every comparison has."""

    def to_dict(self) -> dict[str, Any]:
        """The report as plain values; one entry of `verification` in summary.json."""
        return {
            "what": self.what,
            "ok": self.ok,
            "detail": self.detail,
            "samples": self.samples,
            "problems": list(self.problems),
            "notes": list(self.notes),
            **self.facts(),
            "preprocessing": [check.to_dict() for check in self.preprocessing],
        }

    def __str__(self) -> str:
        said = [*(self.problems or (self.detail,)), *self.notes]
        return "\n".join(
            [
                *columns(self.rows(), TEXTS),
                "",
                one_line(self.verdict),
                *(f"  {one_line(text)}" for text in said),
                *map(str, self.preprocessing),
            ]
        )


TEXTS = 3  # layer, blob, and format or such
