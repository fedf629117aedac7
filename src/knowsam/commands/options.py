"""The parser of the command line: the options of each command, and one for each public setting of the method."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from knowsam import __version__
from knowsam.commands.words import COMMANDS, Word
from knowsam.config import Config
from knowsam.setting import Setting, setting_of


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Parse a command line; wrong usage ends the program with exit code 2."""
    return _parser(show_method="--help-all" in arguments).parse_args(arguments)


def chosen_config(options: argparse.Namespace, usual: Config | None = None) -> Config:
    """Return the configuration, by default the usual one, with the settings given on the command line."""
    given = {key.removeprefix("set_"): value for key, value in vars(options).items() if key.startswith("set_")}
    return (usual or Config()).with_values(**given)


def _parser(*, show_method: bool) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="knowsam",
        description="Segment a medical volume from a few painted slices: KnowSAM learns from them and from all the "
        "unlabelled slices.",
        epilog="`knowsam COMMAND --help` explains a command.",
    )
    parser.add_argument("--version", action="version", version=f"knowsam {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, summary, description, example, words in COMMANDS:
        # Without abbreviations, a new option cannot change the meaning of an old script.
        command = commands.add_parser(
            name, help=summary, description=description, epilog=f"Example: knowsam {name} {example}", allow_abbrev=False
        )
        command.add_argument("--debug", action="store_true", help="log what happens and show the traceback of an error")
        _add_words(command, words)
        if name in ("segment", "train"):
            _add_method_options(command, show_method)
    return parser


def _add_words(parser: argparse._ActionsContainer, words: Sequence[Word | list[Word]]) -> None:
    for word in words:
        if isinstance(word, list):
            _add_words(parser.add_mutually_exclusive_group(), word)
        else:
            parser.add_argument(*word[0], **word[1])


def _add_method_options(parser: argparse.ArgumentParser, show: bool) -> None:
    """Make an option of every public setting of the method; help shows them only if `show`."""
    for name, section in Config().sections():
        title = (type(section).__doc__ or name).splitlines()[0].rstrip(".")
        group = parser.add_argument_group(title) if show else parser
        for setting_field in fields(section):  # type: ignore[arg-type]
            rules = setting_of(setting_field)
            if rules.is_public and setting_field.name != "variant":  # that one is --teacher
                _add_setting(group, setting_field.name, getattr(section, setting_field.name), rules, show)


def _add_setting(group: Any, name: str, default: Any, setting: Setting, show: bool) -> None:
    details: dict[str, Any] = {"metavar": "N", "type": type(default)}
    if isinstance(default, bool | None):
        details = {"action": argparse.BooleanOptionalAction}
    elif setting.choices:
        details = {"choices": setting.choices}
    text = _setting_help(default, setting).replace("%", "%%") if show else argparse.SUPPRESS
    flag, target = "--" + name.replace("_", "-"), "set_" + name
    group.add_argument(flag, dest=target, default=argparse.SUPPRESS, help=text, **details)


def _setting_help(default: Any, setting: Setting) -> str:
    unit = f" {setting.unit}" if setting.unit else ""
    allowed = "" if setting.low is None else f"{setting.low} to {setting.high}{unit}, "
    words = {None: "auto", False: "off", True: "on"}
    usual = words[default] if isinstance(default, bool | None) else f"{default}{unit}"
    return f"{setting.help} ({allowed}default: {usual})"
