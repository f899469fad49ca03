"""The path of cuts: against every combination of word lengths of small nets."""

from __future__ import annotations

import itertools
import random
from collections.abc import Mapping
from functools import partial

import pytest

from adaption.precision.allocation import Path, last_that_fits, path_of, uniform_bits, within

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


@pytest.mark.parametrize(
    ("error", "bits"),
    [
        (14.0, 2),
        (6.1, 3),
        (0.95, 4),
        (0.1 + 0.05, 5),
        ((6.1 * 0.95) ** 0.5, 3.5),
        (15.0, None),
        (0, None),
    ],
)
def test_bits_everywhere_that_make_as_much_error(error: float, bits: float | None) -> None:
    found = uniform_bits(ERRORS, error)
    assert found is None if bits is None else found == pytest.approx(bits)


def test_no_length_in_common() -> None:
    assert uniform_bits({"a": {2: 1.0, 3: 0.5}, "b": {4: 1.0}}, 0.7) is None


def cost_of(lengths: Mapping[str, int], costs: Mapping[str, int]) -> int:
    return sum(costs[name] * bits for name, bits in lengths.items())


def costs_at_most(costs: Mapping[str, int], most: int, lengths: Mapping[str, int]) -> bool:
    return cost_of(lengths, costs) <= most


def test_a_budget_is_used_up() -> None:
    """Against every combination: among nets of one large layer and some small ones."""
    values, lost = random.Random(0), []
    for _ in range(200):
        costs = {n: values.choice((1, 3, 7, 20, 90)) for n in "abcde"}
        errors = {
            n: {b: values.uniform(0.5, 2) * scale * 4.0**-b for b in range(2, 6)}
            for n in costs
            for scale in [values.choice((1, 10, 100))]
        }
        path = path_of(errors, costs)
        most = round(sum(costs.values()) * values.uniform(2, 5))
        found = within(path, partial(costs_at_most, costs, most))
        assert found is not None
        made, position = found
        lengths = made.lengths(position)
        assert cost_of(lengths, costs) <= most
        assert made.error_at(position) == pytest.approx(sum(errors[n][lengths[n]] for n in errors))
        assert made.lengths(len(made)) == path.lengths(len(path))
        by_path = next(
            path.error_at(k)
            for k in range(len(path) + 1)
            if cost_of(path.lengths(k), costs) <= most
        )
        assert made.error_at(position) <= by_path + 1e-12
        lengths_of = [
            sorted({path.widest[n], *(c.bits for c in path.cuts if c.layer == n)}) for n in costs
        ]
        least = min(
            sum(errors[n][b] for n, b in zip(costs, plan, strict=True))
            for plan in itertools.product(*lengths_of)
            if cost_of(dict(zip(costs, plan, strict=True)), costs) <= most
        )
        lost.append((by_path / least, made.error_at(position) / least))
    by_path_alone, ours = (sorted(x) for x in zip(*lost, strict=True))
    assert ours[190] == pytest.approx(1) and ours[-1] < 1.1
    assert by_path_alone[190] > 1.3


def test_a_cut_that_lessens_the_error_is_kept() -> None:
    costs = {"a": 1, "b": 10}
    path = path_of({"a": {3: 0.0, 4: 1.0}, "b": {3: 1.5, 4: 0.5}}, costs)
    found = within(path, partial(costs_at_most, costs, 34))
    assert found is not None and found[0].error_at(found[1]) == 1.5


def test_a_large_net_takes_no_time() -> None:
    values, asked = random.Random(1), 0
    costs = {str(i): values.randrange(1, 1000) for i in range(150)}
    errors = {n: {b: values.uniform(0.5, 2) * 4.0**-b for b in range(2, 9)} for n in costs}

    def fits(lengths: Mapping[str, int]) -> bool:
        nonlocal asked
        asked += 1
        return costs_at_most(costs, 5 * sum(costs.values()), lengths)

    assert within(path_of(errors, costs), fits) is not None
    assert asked < 150 * 1000, "calls grow with layers times cuts"


def test_a_budget_below_every_net() -> None:
    assert within(path_of(ERRORS, COSTS), lambda lengths: False) is None


def test_a_budget_that_needs_no_cut() -> None:
    path = path_of(ERRORS, COSTS)
    assert within(path, lambda lengths: True) == (path, 0)


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
