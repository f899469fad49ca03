"""One error tree, one message shape: where, which field, what was found, allowed, and to do.

Deep code raises the fact (a field, the value found, what is allowed). The one place that knows
file, line and layer adds them with `at()`. The command line prints `str(error)` and exits with 2.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Self

from adaption.nearest import nearest_name

__all__ = [
    "AdaptionError",
    "DataError",
    "FieldError",
    "FileFormatError",
    "KeywordError",
    "LayerError",
    "MissingBottomError",
    "MissingExtraError",
    "NonFiniteError",
    "ParseError",
    "RankError",
    "ResourceError",
    "ShapeError",
    "UnknownFieldError",
    "UnknownLayerError",
    "UsageError",
    "WeightsError",
    "bad_choice",
    "counted",
    "in_iteration",
    "listed",
    "near_and_all",
    "near_miss",
    "one_line",
    "plain_text",
    "remade",
    "system_error",
]


class AdaptionError(Exception):
    """Bad input, told in one line of fact and one line of fix.

    What stands in the message may come from a file; as text it holds no control characters, so it
    neither steers a terminal nor looks like more lines than it is.

    Args:
        fact: what is wrong, values with `repr`, ends without a full stop.
        fix: what to do about it; empty when the fact already says it.
        file: path of the file at fault.
        line: line in it, counted from 1; `column` likewise.
        layer: name of the layer at fault; `layer_type` its type.
    """

    def __init__(
        self,
        fact: str,
        fix: str = "",
        *,
        file: str | os.PathLike[str] | None = None,
        line: int | None = None,
        column: int | None = None,
        layer: str | None = None,
        layer_type: str | None = None,
    ) -> None:
        super().__init__(fact)
        self.fact = fact
        self.fix = fix
        self.file = file
        self.line = line
        self.column = column
        self.layer = layer
        self.layer_type = layer_type

    def __reduce__(self) -> tuple[object, ...]:
        """Errors of worker processes arrive whole, whatever arguments their class takes."""
        return remade, (type(self), self.args, self.__dict__)

    def at(
        self,
        *,
        file: str | os.PathLike[str] | None = None,
        line: int | None = None,
        layer: str | None = None,
        layer_type: str | None = None,
    ) -> Self:
        """Fill in what is not known yet and return self; what deeper code has said stays."""
        if self.file is None:
            self.file = file
        if self.line is None and self.file == file:
            self.line = line
        if self.layer is None:
            self.layer = layer
            self.layer_type = layer_type
        return self

    @property
    def where(self) -> str:
        """`file:line:column: layer "name" (Type)`, as much of it as is known."""
        parts = []
        if self.file is not None:
            spot = [os.fsdecode(self.file)]
            if self.line is not None:
                spot.append(str(self.line))
                if self.column is not None:
                    spot.append(str(self.column))
            parts.append(":".join(spot))
        if self.layer is not None:
            kind = f" ({self.layer_type})" if self.layer_type else ""
            parts.append(f'layer "{self.layer}"{kind}')
        return ": ".join(parts)

    def __str__(self) -> str:
        head = one_line(f"{self.where}: {self.fact}" if self.where else self.fact)
        return f"{head}\n  fix: {one_line(self.fix)}" if self.fix else head


class FieldError(AdaptionError):
    """A field holds a value that is not allowed."""

    def __init__(self, field: str, found: object, allowed: str, fix: str = "") -> None:
        super().__init__(
            f"{field} is {_shown(found)}, allowed: {allowed}", fix or _near(found, allowed)
        )
        self.field = field
        self.found = found
        self.allowed = allowed


def _near(found: object, allowed: str) -> str:
    """`did you mean ...?` where names are allowed, and one is near."""
    names = allowed.split(", ")
    are_names = all(_NAME.fullmatch(name.casefold()) for name in names)
    return near_miss(found, names) if isinstance(found, str) and are_names else ""


def near_miss(found: object, names: Iterable[str]) -> str:
    """`did you mean ...?` for a name that is none of `names`; "" where none of them is near."""
    near = nearest_name(str(found), tuple(names))
    return "" if near is None else f"did you mean {one_line(near)}?"


def near_and_all(found: object, names: Iterable[str], what: str) -> str:
    """A fix for a name that is none of `names`: the one that may be meant, and those there are; of
    many the first ones, where a near one stands before them.

    Args:
        what: goes before the names, as in "its layers:".
    """
    known = tuple(names)
    near = near_miss(found, known)
    return f"{near} {what} {listed(known)}" if near else f"{what} {', '.join(known) or 'none'}"


def listed(names: Iterable[str]) -> str:
    """The names with commas between; of many the first ones, and how many more there are."""
    known = tuple(names)
    more = f" and {len(known) - _MOST_LISTED} more" if len(known) > _MOST_LISTED + 1 else ""
    return f"{', '.join(known[:_MOST_LISTED] if more else known) or 'none'}{more}"


def bad_choice(what: str, found: object, names: Iterable[str], more: str = "") -> UsageError:
    """The error for a value that is none of the names that are allowed; `more` is also allowed."""
    allowed = tuple(names)
    fact = f"{what} is {_shown(found)}, allowed: {', '.join(allowed)}{more}"
    return UsageError(fact, near_miss(found, allowed))


class UsageError(AdaptionError):
    """A flag or argument of a public call is wrong."""


class KeywordError(UsageError, TypeError):
    """A keyword of a public call is unknown, or says something else than a value beside it."""


class FileFormatError(AdaptionError):
    """A file is missing, truncated, or of another kind than its place asks for."""


class ParseError(AdaptionError):
    """A prototxt does not parse."""


class UnknownFieldError(AdaptionError):
    """A net or solver that is to run holds fields nobody knows, which may change the numbers."""


class LayerError(AdaptionError):
    """A layer does not fit its place in the net (bottoms, tops, wiring)."""


class MissingBottomError(LayerError):
    """A layer reads a blob of a layer that this net state leaves out."""


class UnknownLayerError(LayerError):
    """A net needs layer types that are not known."""


class ShapeError(LayerError):
    """Shapes do not fit."""


class WeightsError(AdaptionError):
    """Weights do not fit the net they are loaded into."""


class DataError(AdaptionError):
    """A data source is empty, unreadable or does not fit the net."""


class NonFiniteError(AdaptionError):
    """A tensor holds inf or NaN where a format takes its grid from the greatest magnitude."""


class RankError(AdaptionError):
    """Another process of a training run has ended, or does not answer."""


class ResourceError(AdaptionError):
    """The system refuses: a full disk, a permission, a limit, not enough memory."""


class MissingExtraError(AdaptionError):
    """An optional package is needed; names the extra that brings it."""

    def __init__(self, package: str, extra: str, purpose: str) -> None:
        super().__init__(
            f"{purpose} needs the package {package!r}, which is not installed",
            f"pip install 'adaption[{extra}]'",
        )


@contextmanager
def in_iteration(iteration: int) -> Iterator[None]:
    """Let errors about inf and NaN say in which iteration of a run, counted from 0."""
    try:
        yield
    except NonFiniteError as error:
        error.fact += f", in iteration {iteration}"
        raise


def counted(count: int, noun: str, plural: str = "") -> str:
    """A number and its noun: "1 sample", "2,000 samples".

    Args:
        plural: of the noun, where it is not the noun and an s.
    """
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"


def one_line(text: object) -> str:
    """`text` with control characters spelled out: a layer name must not steer a terminal."""
    line = str(text)
    if line.isprintable():
        return line
    return "".join(c if c.isprintable() else _spelled(c) for c in line)


def _spelled(char: str) -> str:
    """A character spelled out; one that stands for a byte (see io/text.py) as \\xb5."""
    for base in (0xDC00, 0x10F700):
        if 0x80 <= ord(char) - base <= 0xFF:
            return f"\\x{ord(char) - base:02x}"
    return ascii(char)[1:-1]


_MOST_LISTED = 12
_NAME = re.compile(r"[a-z_][\w.-]*")  # of a choice, in any case

# C0 but tab and newline, DEL and C1; separators and marks that direct text; surrogates,
# and what stands for bytes that are no text (io/text.py).
_CONTROLS = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\U0010f780-\U0010f7ff]"
)


def plain_text(text: str) -> str:
    """Several lines of text with control characters spelled out; tabs and line ends stay."""
    return _CONTROLS.sub(lambda found: _spelled(found[0]), text)


_SYSTEM_FIXES = {
    errno.ENOSPC: "free some space, or choose another folder",
    errno.EDQUOT: "free some space, or choose another folder",
    errno.EFBIG: "raise the limit of a file's size (ulimit -f), or choose another file system",
    errno.EACCES: "check the permissions of the file and its folders",
    errno.EPERM: "check the permissions of the file and its folders",
    errno.EROFS: "choose a folder that can be written to",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.ENOENT: "check the path",
    errno.ENOTDIR: "check the path",
    errno.EISDIR: "add a file name",
    errno.EEXIST: "choose another name, or remove what is there",
    errno.ELOOP: "check the symbolic links of the path",
    errno.EIO: "check the disk and its cable or connection, and try again",
    errno.EMFILE: "raise the limit of open files (ulimit -n)",
    errno.ENFILE: "close other programs, or raise the system's limit of open files",
    errno.ENOMEM: "free some memory, or give less at a time",
}


def system_error(
    error: OSError, doing: str = "", *, file: str | os.PathLike[str] | None = None
) -> ResourceError:
    """What the system refused, as an AdaptionError.

    Args:
        doing: what could not be done, as in "cannot be written".
        file: used where the system's own error names none.
    """
    said = (error.strerror or str(error) or type(error).__name__).strip()
    said = said[:1].lower() + said[1:]
    fix = _SYSTEM_FIXES.get(error.errno or 0, "")
    named = error.filename if isinstance(error.filename, str | bytes | os.PathLike) else None
    where = os.fsdecode(named) if named is not None and file is None else file
    return ResourceError(f"{doing}: {said}" if doing else said, fix, file=where)


def remade(
    kind: type[AdaptionError], args: tuple[object, ...], state: dict[str, object]
) -> AdaptionError:
    """The error that another process pickled, whatever its constructor asks for."""
    error = kind.__new__(kind, *args)
    error.args = args
    error.__dict__.update(state)
    return error


def _shown(value: object) -> str:
    return str(value) if isinstance(value, bool | int | float) else repr(value)
