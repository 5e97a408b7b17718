"""The commands `train`, `evaluate`, `robustness` and `report`."""

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from training.data.gtzan import DataError
from training.data.splits import SplitName

MODELS = Path("models")
RUNS = Path("runs")


class Kind(StrEnum):
    """What can be trained."""

    PLAIN = "plain"
    AUGMENTED = "augmented"
    GENIE = "genie"
    MUSIC = "music"


DataOption = Annotated[
    Path, typer.Option("--data", help="A GTZAN folder (genres, genres_original; WAV, AU or FLAC) or mel.npz.")
]
SplitOption = Annotated[SplitName, typer.Option("--split", help="How tracks are divided; see training/data/splits.py.")]
ListsOption = Annotated[
    Path | None, typer.Option("--lists", help="Folder with the filtered lists, where it is not beside the data.")
]
OutOption = Annotated[Path, typer.Option("--out", help="Where models and figures are written.")]


def train(
    kind: Annotated[Kind, typer.Argument(help="The study's plain or augmented CNN, our genie, or the music detector.")],
    data: DataOption,
    split: SplitOption = SplitName.TRACK,
    seed: Annotated[int, typer.Option(help="Seed of the split and of the training.")] = 0,
    out: OutOption = MODELS,
    lists: ListsOption = None,
    not_music: Annotated[
        Path | None, typer.Option(help="Folder of sound that is not music; only `train music` needs it.")
    ] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Default: as in training/fit.py.")] = None,
    test: Annotated[
        bool, typer.Option("--test/--no-test", help="Measure on the test side at the end; switch off for trial runs.")
    ] = True,
) -> None:
    """Train a model, from GTZAN to a LiteRT file with its card. An interrupted run resumes where it stopped."""
    from training import experiment

    console = Console()
    try:
        if kind is Kind.MUSIC:
            if not_music is None:
                raise typer.BadParameter("`train music` needs --not-music")
            written = experiment.make_music(data, not_music, seed, out, RUNS, lists)
        else:
            written = experiment.make_model(kind.value, data, split, seed, out, RUNS, lists, epochs, test)
    except (FileNotFoundError, DataError) as error:
        console.print(f"[red]{error}[/]", highlight=False)
        raise typer.Exit(1) from None
    console.print(f"{written} and its card are written.", highlight=False)


def evaluate(
    models: Annotated[list[str], typer.Argument(help="Models (a name under models/ or a file), or svm.")],
    data: Annotated[
        Path | None, typer.Option("--data", help="A GTZAN folder or mel.npz; not needed with --songs.")
    ] = None,
    split: Annotated[
        SplitName | None, typer.Option("--split", help="Default: the one the model was trained with.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Default: the one the model was trained with.")] = None,
    side: Annotated[str, typer.Option(help="Side of the split: test or valid.")] = "test",
    lists: ListsOption = None,
    songs: Annotated[
        Path | None, typer.Option(help="Songs to compare the models on: one folder per genre, or a CSV of file,genre.")
    ] = None,
    out: OutOption = MODELS / "figures",
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
) -> None:
    """Measure models on a split of GTZAN, or compare their answers on songs of your own."""
    from training import experiment

    console = Console()
    try:
        if songs is not None:
            from training.evaluation.songs import compare

            _show_songs(console, compare(songs, models, out))
            return
        if data is None:
            raise typer.BadParameter("--data or --songs is needed")
        found = [experiment.measure_model(model, data, split, seed, side, lists, out) for model in models]
    except (FileNotFoundError, DataError) as error:
        console.print(f"[red]{error}[/]", highlight=False)
        raise typer.Exit(1) from None
    if as_json:
        typer.echo(json.dumps(found, indent=1))
    else:
        for figures in found:
            _show(console, figures)


def _show_songs(console: Console, rows: list[dict[str, Any]]) -> None:
    from training.evaluation.songs import told_right

    right = told_right(rows)
    table = Table(title="Songs")
    for name in ("song", "real genre", *right):
        table.add_column(name, overflow="fold")
    for row in rows:
        told = row["told"].values()
        cells = [f"[{'green' if answer == row['genre'] else 'red'}]{answer}[/]" for answer in told]
        table.add_row(row["song"], row["genre"], *cells)
    table.add_section()
    table.add_row("told right", f"of {len(rows)}", *map(str, right.values()))
    console.print(table)


def _show(console: Console, found: dict[str, Any]) -> None:
    from training.report import shown

    figures = found["figures"]
    table = Table(title=f"{found['model']} on {found['split']} (seed {found['seed']}), {found['side']}")
    for column in ("figure", "value (95% of resampled track lists)"):
        table.add_column(column)
    for label, key in (
        ("accuracy, segments", "accuracy"),
        ("macro recall, segments", "macro_recall"),
        ("loss, segments", "loss"),
        ("accuracy, songs' votes", "vote_accuracy"),
        ("macro recall, songs' votes", "vote_macro_recall"),
    ):
        table.add_row(label, shown(figures[key]))
    if figures["calibration"]:
        ideal = figures["calibration"]["ideal"]
        table.add_row("ECE of the confidence", f"{figures['calibration']['ece']:.3f} (ideal {shown(ideal, 3)})")
    console.print(table)
    genres = Table("genre", "recall", "precision", "F1", "votes' recall")
    for genre, row in figures["genres"].items():
        voted = "–" if row["vote_recall"] is None else f"{row['vote_recall']:.2f}"
        genres.add_row(genre, f"{row['recall']:.2f}", f"{row['precision']:.2f}", f"{row['f1']:.2f}", voted)
    console.print(genres)


def robustness(
    model: Annotated[str, typer.Argument(help="A name under models/ or a file.")],
    data: Annotated[Path, typer.Option("--data", help="A GTZAN folder of audio files.")],
    lists: ListsOption = None,
    out: OutOption = MODELS / "figures",
    archive: Annotated[Path | None, typer.Option(help="mel.npz, to compare answers on the same tracks.")] = None,
) -> None:
    """Measure a model on held-out audio before and after ten distortions that posted songs suffer."""
    from training.evaluation.robustness import measure_robustness

    console = Console()
    try:
        rows = measure_robustness(model, data, lists, out, archive)
    except (FileNotFoundError, DataError) as error:
        console.print(f"[red]{error}[/]", highlight=False)
        raise typer.Exit(1) from None
    table = Table("distortion", "songs told right", "same answer as undistorted", title=model)
    for row in rows:
        table.add_row(row["distortion"], f"{row['right']} of {row['songs']}", f"{row['same']} of {row['songs']}")
    console.print(table)


def report(
    models: Annotated[Path, typer.Option(help="Where the cards and the folder of figures are.")] = MODELS,
) -> None:
    """Write models/README.md and the pictures from the cards and figures."""
    from training.report import write_report

    typer.echo(write_report(models))
