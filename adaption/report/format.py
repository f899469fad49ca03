"""Numbers as people read them; one spelling for the terminal and the HTML report.

Every function takes None (nothing measured: "-") and NaN ("NaN"). The text is ASCII, so it can go
through any pipe; `typeset` swaps in the typographic minus and dash for the HTML report.
"""

from __future__ import annotations

import math
import re

from adaption.errors import one_line

__all__ = [
    "ABSENT",
    "Q_CONVENTION",
    "compact",
    "count",
    "decibel",
    "duration",
    "energy",
    "one_line",
    "percent",
    "points",
    "power_of_ten",
    "power_of_two",
    "shorten",
    "significant",
    "size",
    "typeset",
]

ABSENT = "-"
Q_CONVENTION = (
    "Qm.f: m counts the sign bit, f bits right of the point; "
    "values are multiples of 2^-f, up to 2^(m-1) - 2^-f"
)

# What has a minus: -1, 1e-7, 2^-14 and Q2.-3. Dates, ranges and names such as conv2-3 have hyphens.
_SIGNED = re.compile(
    r"(?<![\w./-])-?\d+(?:\.\d+)?(?:e[-+]?\d+)?(?![\w/-]|\.\w)|(?<=\^)-\d+|\bu?Q-?\d+\.-\d+\b"
)
_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def percent(share: float | None, digits: int = 2, unit: str = " %") -> str:
    """A share 0..1 in percent; only a true 0 prints as 0 and only a true 1 prints as 100.

    A share too small for `digits` prints as "<0.01 %", one too near to 1 as ">99.99 %".
    """
    special = _special(share)
    if special is not None or share is None:
        return special or ABSENT
    if share in (0.0, 1.0):
        return f"{100 * share:.0f}{unit}"
    step = 10.0**-digits
    if 0.0 < share * 100 < step / 2:
        return f"<{step:.{digits}f}{unit}"
    if 100 - step / 2 < share * 100 < 100.0:
        return f">{100 - step:.{digits}f}{unit}"
    return f"{100 * share:.{digits}f}{unit}"


def points(change: float | None, digits: int = 2) -> str:
    """A difference of two shares in percentage points, with its sign: "-0.02 points"."""
    special = _special(change)
    if special is not None or change is None:
        return special or ABSENT
    if change == 0:
        return "no change"
    step = 10.0**-digits
    sign = "-" if change < 0 else "+"
    if abs(change) * 100 < step / 2:
        return f"{sign}<{step:.{digits}f} points"
    return f"{sign}{abs(change) * 100:.{digits}f} points"


def decibel(sqnr_db: float | None, unit: str = " dB") -> str:
    """An SQNR. None and inf both say "exact": JSON has no inf, so summaries hold null for it."""
    if sqnr_db is None or sqnr_db == math.inf:
        return "exact"
    return _special(sqnr_db) or f"{sqnr_db:.1f}{unit}"


def size(size_bytes: float | None) -> str:
    """Bytes with decimal prefixes: "1.73 MB"."""
    special = _special(size_bytes)
    if special is not None or size_bytes is None:
        return special or ABSENT
    return f"{size_bytes:.0f} B" if size_bytes < 1000 else f"{_prefixed(size_bytes, ' kMGTP')}B"


def energy(picojoules: float | None) -> str:
    """An energy in three digits: "71.1 uJ"."""
    special = _special(picojoules)
    if special is not None or picojoules is None:
        return special or ABSENT
    for unit in ("pJ", "nJ", "uJ", "mJ"):
        if picojoules < 999.5 or unit == "mJ":
            break
        picojoules /= 1000
    return f"{picojoules:#.3g}".rstrip(".") + f" {unit}"


def compact(number: float | None) -> str:
    """A large count in three digits: "2.29 M"; below 1000 as it is."""
    special = _special(number)
    if special is not None or number is None:
        return special or ABSENT
    return f"{number:.0f}" if abs(number) < 1000 else _prefixed(number, " kMGTP")


def count(number: float | None) -> str:
    """A whole number with thousands marks: "1,234,567"."""
    special = _special(number)
    if special is not None or number is None:
        return special or ABSENT
    return f"{number:,.0f}"


def significant(value: float | None, digits: int = 4) -> str:
    """A value with `digits` significant digits: "0.4034", "1.2e-07"."""
    special = _special(value)
    if special is not None or value is None:
        return special or ABSENT
    return f"{value:.{digits}g}"


def duration(seconds: float | None) -> str:
    """A time span: "0.42 s", "12.3 s", "3 min 05 s", "2 h 07 min"."""
    special = _special(seconds)
    if special is not None or seconds is None:
        return special or ABSENT
    if seconds < 9.995:
        return f"{seconds:.2f} s"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def power_of_two(exponent: int) -> str:
    """ "2⁻¹⁵" for -15; for figures, not for pipes."""
    return "2" + str(exponent).translate(_SUPERSCRIPTS)


def power_of_ten(exponent: int) -> str:
    """ "10⁻³" for -3; for figures, not for pipes."""
    return "10" + str(exponent).translate(_SUPERSCRIPTS)


def shorten(text: str, width: int) -> str:
    """`text`, or its beginning and end around an ellipsis when it is longer than `width`."""
    if len(text) <= width:
        return text
    tail = (width - 1) // 2
    return f"{text[: width - 1 - tail]}…{text[-tail:]}"


def typeset(text: str) -> str:
    """The typographic minus for numbers and an en dash for `ABSENT`."""
    if text == ABSENT:
        return "–"
    if text.startswith(("-<", "-inf")):
        text = f"\u2212{text[1:]}"
    return _SIGNED.sub(lambda number: number[0].replace("-", "\u2212"), text)


def _special(value: float | None) -> str | None:
    """The text of NaN and the infinities, None for an ordinary number."""
    if value is None or math.isfinite(value):
        return None
    return "NaN" if math.isnan(value) else ("inf" if value > 0 else "-inf")


def _prefixed(value: float, prefixes: str) -> str:
    last = len(prefixes) - 1
    power = 0
    while abs(value) >= 999.5 and power < last:
        value /= 1000
        power += 1
    digits = max(0, 2 - int(math.log10(abs(value)))) if abs(value) >= 1 else 2
    return f"{value:.{digits}f} {prefixes[power].strip()}"
