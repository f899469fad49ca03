"""The path of cuts: against every combination of word lengths of small nets."""

from __future__ import annotations

import itertools

import pytest

from adaption.precision.allocation import Path, last_that_fits, path_of

ERRORS = {
    "a": {2: 9.0, 3: 2.0, 4: 0.5, 5: 0.1},
    "b": {2: 4.0, 3: 3.9, 4: 0.2, 5: 0.05},
    "c": {2: 1.0, 3: 0.2, 4: 0.25, 5: 0.0},  # 3 bits are better than 4
}
COSTS = {"a": 10, "b": 100, "c": 7}


def plans() -> list[tuple[int, float]]:
    """Cost and error of every combination."""
    return [
        (
            sum(COSTS[n] * bits for n, bits in zip(ERRORS, lengths, strict=True)),
            sum(ERRORS[n][bits] for n, bits in zip(ERRORS, lengths, strict=True)),
        )
        for lengths in itertools.product((2, 3, 4, 5), repeat=3)
    ]


def test_each_position_has_the_least_error_at_its_cost() -> None:
    path = path_of(ERRORS, COSTS)
    for k in range(len(path) + 1):
        lengths = path.lengths(k)
        cost = sum(COSTS[name] * bits for name, bits in lengths.items())
        error = sum(ERRORS[name][bits] for name, bits in lengths.items())
        assert path.error_at(k) == pytest.approx(error)
        assert 5 * sum(COSTS.values()) - sum(cut.saved for cut in path.cuts[:k]) == cost
        assert not [e for c, e in plans() if c <= cost and e < error - 1e-9]


def test_cuts_of_a_layer_follow_its_convex_hull() -> None:
    path = path_of(ERRORS, COSTS)
    assert [c.price for c in path.cuts] == sorted(c.price for c in path.cuts)
    of_b = [(c.before, c.bits) for c in path.cuts if c.layer == "b"]
    assert of_b == [(5, 4), (4, 2)]  # 3 bits of b bring next to nothing
    of_c = [(c.before, c.bits) for c in path.cuts if c.layer == "c"]
    assert of_c == [(5, 3), (3, 2)]


def test_neighbours_say_why_a_layer_has_its_length() -> None:
    path = path_of(ERRORS, COSTS)
    k = next(i for i, cut in enumerate(path.cuts) if cut.layer == "b") + 1
    last, following = path.last_cut("b", k), path.next_cut("b", k)
    assert last is not None and (last.before, last.bits) == (5, 4)
    assert following is not None and following.bits == 2
    assert path.last_cut("b", 0) is None
    assert path.next_cut("b", len(path)) is None


def test_a_layer_that_costs_nothing_is_not_cut() -> None:
    path = path_of({"a": {2: 1.0, 3: 0.0}, "twin": {2: 1.0, 3: 0.0}}, {"a": 5, "twin": 0})
    assert path.lengths(len(path)) == {"a": 2, "twin": 3}


def test_a_single_length_leaves_nothing_to_cut() -> None:
    assert path_of({"a": {4: 0.5}}, {"a": 3}) == Path({"a": 4}, (), 0.5)


@pytest.mark.parametrize("last", [None, *range(9)])
def test_bisection_finds_the_last_that_fits(last: int | None) -> None:
    asked = []

    def fits(position: int) -> bool:
        asked.append(position)
        return last is not None and position <= last

    assert last_that_fits(range(9), fits) == last
    assert len(asked) == len(set(asked)) <= 5
