"""What a user may choose, as frozen values that Python, the shell and plan.json share.

`Formats` decides which formats are proposed, `RunOptions` how nets are built and run. Torch is not
needed to name or check a choice.
"""

from adaption.options.base import COMMON, Option, Options
from adaption.options.formats import INT8, JOINS, RULE_NAMES, Formats
from adaption.options.keywords import takes_options
from adaption.options.recipes import RECIPE_FORMATS
from adaption.options.run import NET, RunOptions
from adaption.options.word_lengths import Bits, WordLengths

__all__ = [
    "COMMON",
    "INT8",
    "JOINS",
    "NET",
    "RECIPE_FORMATS",
    "RULE_NAMES",
    "Bits",
    "Formats",
    "Option",
    "Options",
    "RunOptions",
    "WordLengths",
    "takes_options",
]
