"""The shell: one file per verb, each a sentence around one public function.

A verb is a module here with HELP, EXAMPLE, `add_arguments(parser)` and `run(args) -> exit code`.
Verbs import what they need when they run, so that `adaption --help` answers at once.
"""
