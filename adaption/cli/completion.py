"""Print a script that completes verbs, flags and their values in bash, zsh or fish. Put it where
the shell reads it at its start, or load it with eval.
"""

from __future__ import annotations

import argparse

from adaption.cli.parser import Parser

HELP = "print a script that completes verbs and flags in a shell"
EXAMPLE = (
    '  eval "$(adaption completion bash)"\n'
    "  adaption completion fish > ~/.config/fish/completions/adaption.fish"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("shell", choices=("bash", "zsh", "fish"), help="whose script to print")


def run(args: argparse.Namespace) -> int:
    from adaption.cli.main import verb_parsers

    verbs = verb_parsers()
    print(_fish(verbs) if args.shell == "fish" else _bash(verbs, args.shell == "zsh"))
    return 0


def _values(parser: Parser) -> dict[str, list[str]]:
    """The values of each flag that has a list of them."""
    found = {}
    for action in parser._actions:
        for flag in action.option_strings:
            listed = action.choices or _braced(action.metavar)
            if listed:
                found[flag] = [str(value) for value in listed]
    return found


def _braced(metavar: object) -> list[str]:
    """`{a,b}` as its values: flags of option values state them so, and check them later."""
    text = metavar if isinstance(metavar, str) else ""
    return text[1:-1].split(",") if text.startswith("{") and text.endswith("}") else []


def _bash(verbs: dict[str, Parser], is_zsh: bool) -> str:
    """For bash; zsh runs it through bashcompinit."""
    lines = ["autoload -U +X bashcompinit && bashcompinit"] if is_zsh else []
    lines += [
        "_adaption() {",
        '    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} words=""',
        "    COMPREPLY=()",
        '    if [ "$COMP_CWORD" -eq 1 ]; then',
        f'        COMPREPLY=($(compgen -W "{" ".join(verbs)}" -- "$word"))',
        "        return",
        "    fi",
        '    case "${COMP_WORDS[1]} $before" in',
    ]
    for verb, parser in verbs.items():
        for flag, values in _values(parser).items():
            lines.append(f'    "{verb} {flag}") words="{" ".join(values)}" ;;')
    lines += [
        "    esac",
        '    if [ -z "$words" ] && [ "${word:0:1}" = - ]; then',
        '        case "${COMP_WORDS[1]}" in',
    ]
    for verb, parser in verbs.items():
        lines.append(f'        {verb}) words="{" ".join(parser.flags())}" ;;')
    lines += [
        "        esac",
        "    fi",
        '    [ -z "$words" ] || COMPREPLY=($(compgen -W "$words" -- "$word"))',
        "}",
        "complete -o default -F _adaption adaption",
    ]
    return "\n".join(lines)


def _fish(verbs: dict[str, Parser]) -> str:
    lines = []
    for verb, parser in verbs.items():
        text = str(parser.description or "").split("\n")[0].replace("'", "")
        lines.append(f"complete -c adaption -n __fish_use_subcommand -f -a {verb} -d '{text[:60]}'")
        values = _values(parser)
        for flag in parser.flags():
            given = f" -x -a '{' '.join(values[flag])}'" if flag in values else ""
            lines.append(
                f"complete -c adaption -n '__fish_seen_subcommand_from {verb}'"
                f" -l {flag.removeprefix('--')}{given}"
            )
    return "\n".join(lines)
