"""The `genregenie` command: mounts the commands of the packages, each loaded only when it is called."""

import importlib
import sys
from collections.abc import Sequence
from typing import Final

import typer

COMMANDS: Final = {
    "classify": ("core.cli.classify", "Hear songs: files, folders or links."),
    "doctor": ("bot.cli", "Say what is there, what is missing, and the remedy."),
    "bot": ("bot.cli", "Run the Discord bot."),
    "invite": ("bot.cli", "Print the link that invites the bot to a server."),
    "backup": ("bot.cli", "Copy the database to a file, also while the bot runs."),
    "corrections": ("bot.cli", "Members' corrections as a table."),
    "web": ("web.cli", "Open the page in a browser."),
    "train": ("training.cli", "Train a model."),
    "evaluate": ("training.cli", "Measure models."),
    "robustness": ("training.cli", "Measure a model on distorted music."),
    "report": ("training.cli", "Write docs/research/README.md from cards and figures."),
}
"""Command → the module that has a function, or an app, of that name; what it does."""

EXTRAS: Final = {"web": "web", "training": "train"}
"""Packages that need more than the runtime's requirements: the extra that has it."""


def build_app(arguments: Sequence[str]) -> typer.Typer:
    """Make the app with the one command that the arguments name loaded, and the others known by name only."""
    app = typer.Typer(
        name="genregenie",
        help="GenreGenie hears a piece of music and says its genre.",
        add_completion=False,
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
    )
    wanted = next((argument for argument in arguments if not argument.startswith("-")), None)
    for name, (module, summary) in COMMANDS.items():
        if name != wanted:
            app.command(name, help=summary)(_unloaded)
            continue
        loaded = getattr(importlib.import_module(module), name)
        if isinstance(loaded, typer.Typer):
            app.add_typer(loaded, name=name, help=summary)
        else:
            app.command(name)(loaded)
    return app


def _unloaded() -> None:
    """Stand for a command that was not asked for."""


def main() -> None:
    """Run the command line; exit 2 with one line where the set-up is wrong."""
    from core.errors import ConfigurationError

    arguments = sys.argv[1:]
    try:
        app = build_app(arguments)
        app(arguments, prog_name="genregenie")
    except ConfigurationError as error:
        print(f"genregenie: {error}", file=sys.stderr)
        sys.exit(2)
    except ModuleNotFoundError as error:
        package = next((COMMANDS[word][0].split(".")[0] for word in arguments if word in COMMANDS), "")
        if package not in EXTRAS or (error.name or "").split(".")[0] in ("core", "bot", "training", "web"):
            raise
        print(
            f"genregenie: this needs more than the bot does: "
            f"pip install --require-hashes -r requirements/{EXTRAS[package]}.txt",
            file=sys.stderr,
        )
        sys.exit(2)


if __name__ == "__main__":
    main()
