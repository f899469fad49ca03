"""From a float net to a low-precision one: measure, propose, rewrite, convert, evaluate."""
