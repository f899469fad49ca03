"""What a user may choose, as frozen values that Python, the shell and plan.json share.

`Formats` decides which formats are proposed, `Refinement` what is done to weights and biases,
`Budget` what word lengths may cost, `Tuning` how the result is fine-tuned, `RunOptions` how nets
are built and run. Torch is not needed to name or check a choice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from adaption.later import names_of

if TYPE_CHECKING:
    from adaption.options.base import COMMON, Option, Options
    from adaption.options.budget import Budget
    from adaption.options.formats import INT8, JOINS, RULE_NAMES, Formats
    from adaption.options.keywords import takes_options
    from adaption.options.refinement import BEST, Refinement
    from adaption.options.run import NET, RunOptions
    from adaption.options.tuning import Tuning
    from adaption.options.word_lengths import Bits, WordLengths
else:  # most verbs take few of them
    _NAMES_OF = {
        "base": ("COMMON", "Option", "Options"),
        "budget": ("Budget",),
        "formats": ("INT8", "JOINS", "RULE_NAMES", "Formats"),
        "keywords": ("takes_options",),
        "refinement": ("BEST", "Refinement"),
        "run": ("NET", "RunOptions"),
        "tuning": ("Tuning",),
        "word_lengths": ("Bits", "WordLengths"),
    }
    __getattr__ = names_of(
        __name__,
        {name: f"{__name__}.{module}" for module, names in _NAMES_OF.items() for name in names},
    )

__all__ = [
    "BEST",
    "COMMON",
    "INT8",
    "JOINS",
    "NET",
    "RULE_NAMES",
    "Bits",
    "Budget",
    "Formats",
    "Option",
    "Options",
    "Refinement",
    "RunOptions",
    "Tuning",
    "WordLengths",
    "takes_options",
]
