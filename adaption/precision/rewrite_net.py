"""rewrite: a net with other formats, by a plan, by a recipe, or back to float."""

from __future__ import annotations

import os
from typing import Any

from adaption.errors import KeywordError, UsageError
from adaption.io.netfile import NetFile, read_net
from adaption.precision.proposal import Proposal
from adaption.precision.recipe_rewrite import write_recipe
from adaption.precision.rewrite import rewrite as rewrite_by_plan

__all__ = ["rewrite"]

BY_PLAN = ("lpact", "exclude", "partly")


def rewrite(
    net: NetFile | str | os.PathLike[str],
    plan: Proposal | None = None,
    *,
    recipe: str | None = None,
    **choices: Any,
) -> NetFile:
    """The net in low precision; without a plan or a recipe the float one.

    Args:
        plan: formats of `propose`; see `precision.rewrite.rewrite`, which `lpact`, `exclude` and
            `partly` go to.
        recipe: "wrpn"; the other choices are then the recipe's, named as its flags:
            weight_bits=4, activation_bits=4. `rewrite_files` also says what was not replaced.
    Raises: UsageError, KeywordError on choices that do not go together; LayerError when the plan
        names a layer that the net lacks.
    """
    if recipe is None:
        for name in choices:
            if name not in BY_PLAN:
                raise KeywordError(
                    f"rewrite() has no keyword {name!r} without a recipe",
                    f"name a recipe, or leave it out; without one: {', '.join(BY_PLAN)}",
                )
        return rewrite_by_plan(net, plan, **choices)
    if plan is not None:
        raise UsageError("a plan and a recipe are given, allowed: one", "leave one of them out")
    file = net if isinstance(net, NetFile) else read_net(net)
    return write_recipe([file], recipe, choices).nets[0]
