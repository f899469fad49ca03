from __future__ import annotations

from tests.layers.snippets import error_of


def test_in_place_is_refused_as_in_the_original() -> None:
    assert error_of('type: "AbsVal" bottom: "x" top: "x"', (2,)) == (
        'layer "L" (AbsVal): runs in place, allowed: a top of its own\n'
        "  fix: give the top another name"
    )
