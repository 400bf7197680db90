"""``q4engine completion SHELL``: a script with which the shell completes commands, options and files."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Callable, Iterable, Iterator

from q4engine.cli import options
from q4engine.cli.described import Described, described_options, positionals, summaries

_EPILOG = """\
examples:
  source <(q4engine completion bash)                              in ~/.bashrc
  q4engine completion zsh > ~/.zfunc/_q4engine                    a folder of fpath
  q4engine completion fish > ~/.config/fish/completions/q4engine.fish
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the sub-command."""
    parser = options.add_command(
        subparsers,
        "completion",
        run,
        help="print a completion script for a shell",
        description="Print a script with which the shell completes commands, options and files.",
        epilog=_EPILOG,
    )
    parser.add_argument("shell", choices=SCRIPTS, help=", ".join(SCRIPTS))


def run(args: argparse.Namespace) -> int:
    """Prints the script."""
    print("\n".join(SCRIPTS[args.shell]()))
    return 0


def _bash() -> Iterator[str]:
    yield "_q4engine() {"
    yield "    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]}"
    yield '    if [ "$COMP_CWORD" -eq 1 ]; then'
    yield f"        {_compgen(summaries())}"
    yield "        return"
    yield "    fi"
    yield "    case ${COMP_WORDS[1]}:$before in"
    for command in summaries():
        for option in described_options(command):
            if option.value is not None:
                names = "|".join(f"{command}:{name}" for name in option.names)
                action = "" if option.is_file else f"compopt +o default; {_compgen(option.choices)}; "
                yield f"    {names}) {action}return ;;"
        if first := _choices(command):
            yield f"    {command}:{command}) {_compgen(first)}; return ;;"
    yield "    esac"
    yield "    case ${COMP_WORDS[1]}:$word in"
    for command in summaries():
        yield f"    {command}:-*) {_compgen(_names(command))} ;;"
    yield "    esac"
    yield "}"
    yield "complete -o default -F _q4engine q4engine"


def _compgen(words: Iterable[str]) -> str:
    return f'COMPREPLY=($(compgen -W {shlex.quote(" ".join(words))} -- "$word"))'


def _choices(command: str) -> list[str]:
    """What may stand first without being an option."""
    return [choice for _, _, choices in positionals(command) for choice in choices]


def _names(command: str) -> list[str]:
    return [name for option in described_options(command) for name in option.names]


def _zsh() -> Iterator[str]:
    yield "#compdef q4engine"
    yield "local -a commands"
    yield "commands=("
    for command, summary in summaries().items():
        yield f"  {shlex.quote(command + ':' + _without(summary, ':'))}"
    yield ")"
    yield "if (( CURRENT == 2 )); then _describe command commands; return; fi"
    yield "local command=$words[2]"
    yield "shift words; (( CURRENT-- ))"
    yield "case $command in"
    for command in summaries():
        yield f"{command})"
        yield "  _arguments \\"
        for option in described_options(command):
            yield f"    {_zsh_option(option)} \\"
        if first := _choices(command):
            yield f"    {shlex.quote('1:' + positionals(command)[0][0] + ':(' + ' '.join(first) + ')')} \\"
        yield "    '*:file:_files'"
        yield "  ;;"
    yield "esac"


def _zsh_option(option: Described) -> str:
    value = ""
    if option.value is not None:
        action = "_files" if option.is_file else f"({' '.join(option.choices)})" if option.choices else ""
        value = f":{_without(option.value, ':')}:{action}"
    told = f"[{_without(option.first_words, '[]')}]{value}"
    if len(option.names) == 1:
        return shlex.quote(option.names[0] + told)
    return f"{shlex.quote('(' + ' '.join(option.names) + ')')}{{{','.join(option.names)}}}{shlex.quote(told)}"


def _fish() -> Iterator[str]:
    alone = "not __fish_seen_subcommand_from " + " ".join(summaries())
    for command, summary in summaries().items():
        yield f"complete -c q4engine -n {shlex.quote(alone)} -f -a {command} -d {shlex.quote(summary)}"
    for command in summaries():
        here = shlex.quote(f"__fish_seen_subcommand_from {command}")
        if first := _choices(command):
            none_yet = f"test (count (commandline -opc)) -eq 2; and __fish_seen_subcommand_from {command}"
            yield f"complete -c q4engine -n {shlex.quote(none_yet)} -f -a {shlex.quote(' '.join(first))}"
        for option in described_options(command):
            words = [_fish_name(name) for name in option.names]
            if option.value is not None:
                words.append("-r" if option.is_file else "-x")
            if option.choices:
                words.append(f"-a {shlex.quote(' '.join(option.choices))}")
            yield f"complete -c q4engine -n {here} {' '.join(words)} -d {shlex.quote(option.first_words)}"


def _fish_name(name: str) -> str:
    if name.startswith("--"):
        return f"-l {name[2:]}"
    return f"-s {name[1:]}" if len(name) == 2 else f"-o {name[1:]}"


def _without(text: str, chars: str) -> str:
    return "".join(char for char in text if char not in chars)


SCRIPTS: dict[str, Callable[[], Iterator[str]]] = {"bash": _bash, "zsh": _zsh, "fish": _fish}
