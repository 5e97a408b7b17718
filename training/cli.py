"""The commands `train`, `evaluate`, `robustness` and `report`."""

import json
import logging
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from training.config import (
    MODELS,
    RESEARCH,
    RUNS,
    EvaluationConfig,
    ExperimentConfig,
    GenieConfig,
    Kind,
    OutputFolders,
)
from training.data.gtzan import DataError
from training.data.splits import SplitName, SubsetName

FIGURES = RESEARCH / "figures"

DataOption = Annotated[
    Path,
    typer.Option("--data", help="A GTZAN folder (genres, genres_original; WAV, AU or FLAC), mel.npz, or FMA's folder."),
]
ListsOption = Annotated[
    Path | None, typer.Option("--lists", help="Folder of the filtered lists, where they are not beside the data.")
]
FiguresOption = Annotated[Path, typer.Option("--out", help="Folder in which the figures are written.")]


def train(
    kind: Annotated[
        Kind,
        typer.Argument(help="The study's plain or augmented CNN, our genie, or all of the study."),
    ],
    data: DataOption,
    split: Annotated[
        SplitName | None,
        typer.Option(
            "--split",
            help="How tracks are split; see training/data/splits.py. Not for study, which has its own.",
            show_default="track",
        ),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="Seed of the split and of the training. Not for study.", show_default="0")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help=f"One folder for everything that is written. Default: {MODELS}/ for shipped models, {RESEARCH}/ for "
            "figures and all other models."
        ),
    ] = None,
    lists: ListsOption = None,
    teacher: Annotated[
        Path | None,
        typer.Option(
            help="Genie: folder of two teachers' outputs (gtzan.npz, songs.npz). Without it, only labels are targets."
        ),
    ] = None,
    without_teacher: Annotated[
        bool, typer.Option("--without-teacher", help="Genie: labels only despite --teacher, to compare.")
    ] = False,
    labelled: Annotated[
        Path | None,
        typer.Option(help="Genie: songs of known genre to calibrate on. Default: labelled.npz beside the teachers'."),
    ] = None,
    not_music: Annotated[
        Path | None,
        typer.Option(help="Genie: folder of sounds that are not music, which its music output needs."),
    ] = None,
    epochs: Annotated[
        int | None, typer.Option(min=1, help="Plain and augmented. Default: the recipe's, in training/recipes.py.")
    ] = None,
    steps: Annotated[
        int | None, typer.Option(min=1, help="Genie. Default: the recipe's, in training/distillation.py.")
    ] = None,
    test: Annotated[
        bool, typer.Option("--test/--no-test", help="Measure on the test subset at the end; switch off for trial runs.")
    ] = True,
    runs: Annotated[Path, typer.Option(help="Folder of checkpoints, from which an interrupted run resumes.")] = RUNS,
    mixed_precision: Annotated[
        bool,
        typer.Option(
            "--mixed-precision",
            help="Plain and augmented: compute in bfloat16 where it is precise enough. About twice as fast on CPUs "
            "with AVX-512 BF16, slower on others.",
        ),
    ] = False,
) -> None:
    """Train a model, from GTZAN to a LiteRT file with its card. An interrupted run resumes where it stopped."""
    if kind is Kind.STUDY and (split is not None or seed is not None):
        raise typer.BadParameter("the study has splits and seeds of its own: leave --split and --seed out")
    if kind is Kind.GENIE and mixed_precision:
        raise typer.BadParameter("genie has no --mixed-precision")
    import tensorflow  # noqa: F401 - where it is missing, that is said before any data is read

    from training import experiment

    folders = OutputFolders() if out is None else OutputFolders.all_in(out)
    genie = GenieConfig(teacher, without_teacher, labelled, not_music, steps)
    config = ExperimentConfig(
        kind,
        data,
        split or SplitName.TRACK,
        seed or 0,
        lists,
        epochs,
        test,
        folders,
        runs,
        genie,
        mixed_precision=mixed_precision,
    )
    console = Console()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    try:
        if kind is Kind.STUDY:
            from training import study

            study.run_study(config)
            console.print("The study is done.", highlight=False)
            return
        written = experiment.train_genre_model(config)
    except (FileNotFoundError, DataError) as error:
        console.print(f"[red]{error}[/]", highlight=False)
        raise typer.Exit(1) from None
    console.print(f"Wrote {written} and its card.", highlight=False)


def evaluate(
    models: Annotated[list[str], typer.Argument(help="Models (a name under models/ or a file), or svm.")],
    data: Annotated[
        Path | None, typer.Option("--data", help="A GTZAN folder or mel.npz; not needed with --songs or --labelled.")
    ] = None,
    split: Annotated[
        SplitName | None, typer.Option("--split", help="Default: the split that the model was trained with.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Default: the seed that the model was trained with.")] = None,
    subset: Annotated[SubsetName, typer.Option("--subset", help="Subset of the split.")] = SubsetName.TEST,
    lists: ListsOption = None,
    songs: Annotated[
        Path | None, typer.Option(help="Songs to compare the models on: one folder per genre, or a CSV of file,genre.")
    ] = None,
    labelled: Annotated[
        Path | None, typer.Option(help="labelled.npz: spectrograms of songs of known genre, to measure each model on.")
    ] = None,
    deletion: Annotated[
        bool, typer.Option("--deletion", help="With --labelled: check that what --why marks is what matters.")
    ] = False,
    neighbours: Annotated[
        bool, typer.Option("--neighbours", help="How often the nearest song by the embedding is of the same genre.")
    ] = False,
    out: FiguresOption = FIGURES,
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
) -> None:
    """Measure models on a split of GTZAN, or on songs of your own."""
    from training import experiment

    console = Console()
    if deletion and labelled is None:
        raise typer.BadParameter("--deletion needs --labelled")
    try:
        if labelled is not None:
            for model in models:
                _evaluate_labelled(console, model, labelled, out, deletion=deletion, as_json=as_json)
            return
        if songs is not None:
            from training.evaluation.songs import compare_models

            _show_songs(console, compare_models(songs, models, out))
            return
        if data is None:
            raise typer.BadParameter("--data, --songs or --labelled is needed")
        config = EvaluationConfig(data, split, seed, subset, lists, out)
        if neighbours:
            from training.evaluation.neighbours import measure_neighbours

            for model in models:
                typer.echo(json.dumps(measure_neighbours(model, config), indent=1))
            return
        measured = experiment.evaluate_models(models, config)
    except (FileNotFoundError, DataError) as error:
        console.print(f"[red]{error}[/]", highlight=False)
        raise typer.Exit(1) from None
    if as_json:
        typer.echo(json.dumps(measured, indent=1))
    else:
        for measurement in measured:
            _show(console, measurement)


def _evaluate_labelled(
    console: Console, model: str, labelled: Path, out: Path, *, deletion: bool, as_json: bool
) -> None:
    from training.evaluation.deletion import evaluate_deletion
    from training.evaluation.labelled import evaluate_labelled

    measured = evaluate_deletion(model, labelled, out) if deletion else evaluate_labelled(model, labelled, out)
    if as_json:
        typer.echo(json.dumps(measured, indent=1))
    elif deletion:
        _show_deletion(console, measured)
    else:
        _show_labelled(console, measured)


def _show_deletion(console: Console, measured: dict[str, Any]) -> None:
    from training.report import format_estimate

    table = Table(title=f"{measured['model']}: fall of the genre's probability, {measured['songs']} songs")
    for column in ("deleted", "mean fall (95% interval over songs)"):
        table.add_column(column)
    for label, key in (
        ("a fifth, as marked", "marked"),
        ("a fifth, at random", "random"),
        ("difference", "difference"),
    ):
        table.add_row(label, format_estimate(measured[key], 3))
    console.print(table)


def _show_labelled(console: Console, measured: dict[str, Any]) -> None:
    console.print(
        f"{measured['model']}: {measured['correct']} of {measured['songs']} songs correct, {measured['refused']} "
        f"refused, {measured['outside']} said to be outside the ten genres; ECE {measured['ece']} (ideal "
        f"{measured['ece_ideal']})",
        highlight=False,
    )
    genres = Table("genre", "correct", "predicted as")
    for genre, row in measured["genres"].items():
        confused = sorted(measured["confusion"][genre].items(), key=lambda pair: -pair[1])
        genres.add_row(genre, f"{row['correct']} of {row['songs']}", ", ".join(f"{name} {n}" for name, n in confused))
    console.print(genres)
    bands = Table("confidence", "correct")
    for band in measured["bands"]:
        bands.add_row(f"{band['from']:g}–{band['to']:g}", f"{band['correct']} of {band['songs']}")
    console.print(bands)


def _show_songs(console: Console, rows: list[dict[str, Any]]) -> None:
    from training.evaluation.songs import correct_counts

    correct = correct_counts(rows)
    table = Table(title="Songs")
    for name in ("song", "true genre", *correct):
        table.add_column(name, overflow="fold")
    for row in rows:
        cells = [f"[{'green' if genre == row['genre'] else 'red'}]{genre}[/]" for genre in row["predicted"].values()]
        table.add_row(row["song"], row["genre"], *cells)
    table.add_section()
    table.add_row("correct", f"of {len(rows)}", *map(str, correct.values()))
    console.print(table)


def _show(console: Console, measured: dict[str, Any]) -> None:
    from training.report import format_estimate

    figures = measured["figures"]
    table = Table(title=f"{measured['model']} on {measured['split']} (seed {measured['seed']}), {measured['subset']}")
    for column in ("figure", "value (95% interval over tracks)"):
        table.add_column(column)
    for label, key in (
        ("accuracy, segments", "accuracy"),
        ("macro recall, segments", "macro_recall"),
        ("loss, segments", "loss"),
        ("accuracy, songs by vote", "vote_accuracy"),
        ("macro recall, songs by vote", "vote_macro_recall"),
    ):
        table.add_row(label, format_estimate(figures[key]))
    if figures["calibration"]:
        ideal = figures["calibration"]["ideal"]
        table.add_row(
            "ECE of the confidence", f"{figures['calibration']['ece']:.3f} (ideal {format_estimate(ideal, 3)})"
        )
    console.print(table)
    genres = Table("genre", "recall", "precision", "F1", "recall by vote")
    for genre, row in figures["genres"].items():
        voted = "–" if row["vote_recall"] is None else f"{row['vote_recall']:.2f}"
        genres.add_row(genre, f"{row['recall']:.2f}", f"{row['precision']:.2f}", f"{row['f1']:.2f}", voted)
    console.print(genres)


def robustness(
    model: Annotated[str, typer.Argument(help="A name under models/ or a file.")],
    data: Annotated[Path, typer.Option("--data", help="A GTZAN folder of audio files.")],
    lists: ListsOption = None,
    out: FiguresOption = FIGURES,
    archive: Annotated[
        Path | None, typer.Option(help="mel.npz, to compare its spectrograms of the same tracks.")
    ] = None,
    inaudible: Annotated[
        bool, typer.Option("--inaudible", help="All tracks, and ten changes that nobody hears, instead.")
    ] = False,
) -> None:
    """Measure a model on held-out audio before and after ten distortions that posted music goes through."""
    from training.evaluation.robustness import measure_inaudible, measure_robustness

    console = Console()
    try:
        if inaudible:
            rows = measure_inaudible(model, data, out)
        else:
            rows = measure_robustness(model, data, lists, out, archive)
    except (FileNotFoundError, DataError) as error:
        console.print(f"[red]{error}[/]", highlight=False)
        raise typer.Exit(1) from None
    table = Table("distortion", "correct", "same genre as undistorted", title=model)
    for row in rows:
        table.add_row(row["distortion"], f"{row['correct']} of {row['songs']}", f"{row['same']} of {row['songs']}")
    console.print(table)


def report(
    models: Annotated[Path, typer.Option(help="Folder of the shipped models' cards.")] = MODELS,
    research: Annotated[Path, typer.Option(help="Folder with figures/ and evidence/.")] = RESEARCH,
) -> None:
    """Write docs/research/README.md and its pictures from the cards and figures."""
    from training.report import write_report

    typer.echo(write_report(OutputFolders(models, research)))
