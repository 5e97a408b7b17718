"""Model cards as a page: `models/README.md` and its pictures, from the JSON files and nothing else."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from core.constants import GENRES
from training.evaluation.metrics import largest_confusions
from training.evaluation.songs import told_right

SPLITS: Final = {
    "track": "60/20/20 by track: artists and repeated recordings are on both sides",
    "segment": "60/20/20 by segment: the same song is on both sides",
    "filtered": "the fault-filtered, artist-disjoint lists of Kereliuk, Sturm & Larsen (2015)",
    "cross": "trained on one random track split, tested on the test list of another: most test tracks were heard",
    "stretched": "segments and their stretched copies pooled, then split: a test segment's copy was heard",
}
KINDS: Final = ("svm", "plain", "augmented", "genie")

Figures = Mapping[str, Any]


def shown(estimate: Mapping[str, float] | None, digits: int = 2) -> str:
    """Print an estimate as `0.72 (0.69–0.75)`, or a dash where there is none."""
    if estimate is None:
        return "–"
    value, low, high = (f"{estimate[key]:.{digits}f}" for key in ("value", "low", "high"))
    return f"{value} ({low}–{high})"


def table(header: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Write a Markdown table."""
    head = list(header)
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def read_figures(folder: Path) -> list[dict[str, Any]]:
    """Read every measurement under a folder, in the order of their names."""
    return [json.loads(path.read_text()) for path in sorted(folder.glob("*-test.json"))]


def write_report(models: Path) -> Path:
    """Write the page and its pictures.

    Args:
        models: folder with the cards, `figures/` below it.

    Returns:
        Path of the page.
    """
    figures = models / "figures"
    measured = read_figures(figures)
    for found in measured:
        if found["model"] in _carded(models):
            draw_confusion(found, figures / f"{_stem(found)}.png")
        if found["figures"]["calibration"] and found["model"] in _carded(models):
            draw_reliability(found, figures / f"{_stem(found)}-reliability.png")
    parts = [
        "# Models",
        "Made by `genregenie report` from the JSON files beside it; do not edit.",
        _overview(measured),
        *(_by_seeds(measured)),
        _confusion_answer(measured),
        *(_card_section(path, measured, figures) for path in _cards(models)),
        _songs(figures),
        _robustness(figures),
    ]
    page = models / "README.md"
    page.write_text("\n\n".join(part for part in parts if part) + "\n")
    return page


def _stem(found: Mapping[str, Any]) -> str:
    return f"{found['model'].partition('-')[0]}-{found['split']}-{found['seed']}-{found['side']}"


def _cards(models: Path) -> list[Path]:
    shipped = [path for path in sorted(models.glob("*.json")) if path.with_suffix(".tflite").is_file()]
    return shipped + sorted((models / "evidence").glob("*.json"))


def _carded(models: Path) -> set[str]:
    return {path.stem for path in _cards(models)}


def _overview(measured: list[dict[str, Any]]) -> str:
    """One table for all splits: accuracy of segments / of votes, mean over the seeds."""
    rows = []
    for split, meaning in SPLITS.items():
        cells = [f"**{split}**: {meaning}"]
        for kind in KINDS:
            runs = [f for f in measured if f["split"] == split and f["model"].partition("-")[0] == kind]
            cells.append(_mean_cell([run["figures"] for run in runs]))
        rows.append(cells)
    return (
        "## Five splits, one table\n\n"
        "Accuracy of the 3-second segments / of the songs' votes on the test side, the mean where there are several "
        "seeds (their number in brackets). A dash: not measured, or songs that are on both sides and cannot vote.\n\n"
        + table(("split", *KINDS), rows)
        + "\n\nOnly **filtered** says how a model does on artists that it has never heard, which is what a member of a "
        "server posts. **track** is what most papers on GTZAN report; it is higher because the same artists, and some "
        "of the same recordings, are on both sides. **segment**, **cross** and **stretched** measure memory as much as "
        "hearing: in each of them the test side, or a copy of it, was learned from. The study's 0.74 and 0.92 are to "
        "be read beside these."
    )


def _mean_cell(runs: list[Figures]) -> str:
    if not runs:
        return "–"
    accuracy = sum(run["accuracy"]["value"] for run in runs) / len(runs)
    votes = [run["vote_accuracy"]["value"] for run in runs if run["vote_accuracy"]]
    cell = f"{accuracy:.2f} / " + (f"{sum(votes) / len(votes):.2f}" if votes else "–")
    return cell + (f" [{len(runs)}]" if len(runs) > 1 else "")


def _by_seeds(measured: list[dict[str, Any]]) -> list[str]:
    """Every measurement with its intervals."""
    rows = [
        (
            found["model"],
            found["split"],
            str(found["seed"]),
            *(
                shown(found["figures"][key])
                for key in ("accuracy", "macro_recall", "loss", "vote_accuracy", "vote_macro_recall")
            ),
        )
        for found in measured
    ]
    head = ("model", "split", "seed", "accuracy", "macro recall", "loss", "vote accuracy", "vote macro recall")
    note = (
        "In brackets, 95% of 2,000 resampled lists of the test tracks. The loss is in nats a segment, before the "
        "temperature; the baseline has none."
    )
    return ["## Every measurement", note, table(head, rows)]


def _confusion_answer(measured: list[dict[str, Any]]) -> str:
    """Whether disco and pop, metal and rock are what is taken for each other most, as the study found."""
    lines = []
    for found in measured:
        if found["model"].partition("-")[0] not in ("plain", "augmented", "genie"):
            continue
        pairs = largest_confusions(found["figures"]["confusion"])
        listed = ", ".join(f"{first}/{second} ({count})" for first, second, count in pairs[:4])
        ranks = {
            frozenset(pair[:2]): rank
            for rank, pair in enumerate(largest_confusions(found["figures"]["confusion"], 45), 1)
        }
        study = ", ".join(
            f"{first}/{second} is number {ranks[frozenset((first, second))]}"
            for first, second in (("disco", "pop"), ("metal", "rock"))
        )
        lines.append(f"- {found['model']}, {found['split']}, seed {found['seed']}: {listed}; {study} of 45")
    if not lines:
        return ""
    return (
        "## Which genres are taken for each other\n\nThe study found disco/pop and metal/rock to be the largest "
        "confusions. Here (segments, both ways together):\n\n" + "\n".join(lines)
    )


def _card_section(path: Path, measured: list[dict[str, Any]], figures: Path) -> str:
    card = json.loads(path.read_text())
    own = [found for found in measured if found["model"] == card["name"]]
    title = f"## {'evidence/' if path.parent.name == 'evidence' else ''}{card['name']}"
    described = [
        ("version", card["version"]),
        ("sha256", f"`{card['sha256'][:16]}…`"),
        ("weights", card.get("precision", "–")),
        ("data", ", ".join(f"{key} {value}" for key, value in card["data"].items())),
        ("split and seed", f"{card['split']}, {card['seed']}"),
        ("temperature", str(card["temperature"])),
    ]
    if "threshold" in card:
        described.append(("threshold", str(card["threshold"])))
    parts = [title, table(("", ""), described)]
    history = figures / f"{card['name'].partition('-')[0]}-{card['split']}-{card['seed']}-history.json"
    if history.is_file():
        draw_history(json.loads(history.read_text()), card["name"], history.with_suffix(".png"))
        parts.append(f"![Accuracy and loss by epoch]({figures.name}/{history.with_suffix('.png').name})")
    if card.get("notes"):
        parts.append(card["notes"])
    if "threshold" in card:
        parts += [part for split, sides in card["metrics"].items() for part in _refusals(split, sides)]
    for found in own:
        parts += _measurement(found, figures)
    return "\n\n".join(parts)


def _refusals(split: str, sides: Mapping[str, Any]) -> list[str]:
    """Tabulate what the model that tells music from other sound refuses: of each class, and by what carried it."""
    parts = []
    for key, title in (("by_class", "class"), ("by_codec", "class and codec")):
        names = sorted({name for figures in sides.values() for name in figures[key]})
        counts = [[figures[key].get(name) for figures in sides.values()] for name in names]
        rows = [
            (name, *(f"{count['refused']} of {count['recordings']}" if count else "–" for count in row))
            for name, row in zip(names, counts, strict=True)
        ]
        if key == "by_class":
            for label, share in (("**all music**", "music_refused"), ("**all other sound**", "other_refused")):
                rows.append((label, *(f"{figures[share]:.1%}" for figures in sides.values())))
        parts.append(table((title, *(f"refused, {side}" for side in sides)), rows))
    return [f"### On {split}", parts[0], f"<details><summary>By codec</summary>\n\n{parts[1]}\n\n</details>"]


def _measurement(found: dict[str, Any], folder: Path) -> list[str]:
    figures = found["figures"]
    rows = []
    for genre in GENRES:
        row = figures["genres"][genre]
        voted = "–" if row["vote_recall"] is None else f"{row['vote_recall']:.2f}"
        rows.append((genre, f"{row['recall']:.2f}", f"{row['precision']:.2f}", f"{row['f1']:.2f}", voted))
    parts = [
        f"### On {found['split']} (seed {found['seed']}), {figures['segments']} segments of {figures['tracks']} tracks",
        table(("genre", "recall", "precision", "F1", "recall of votes"), rows),
        f"![Confusion matrix]({folder.name}/{_stem(found)}.png)",
    ]
    if figures["calibration"]:
        calibration = figures["calibration"]
        parts.append(
            f"Expected calibration error of the songs' confidence (5 bins of equal mass): "
            f"{calibration['ece']:.3f}; a perfectly calibrated model with the same confidences would show "
            f"{shown(calibration['ideal'], 3)}.\n\n![Reliability]({folder.name}/{_stem(found)}-reliability.png)"
        )
    return parts


def _songs(figures: Path) -> str:
    """Tabulate real genres beside the models' answers, as the study did for songs from elsewhere."""
    parts = []
    for path in sorted(figures.glob("songs-*.json")):
        found = json.loads(path.read_text())
        right = told_right(found)
        rows = [
            (
                row["song"],
                row["genre"],
                *(f"**{told}**" if told == row["genre"] else told for told in row["told"].values()),
            )
            for row in found
        ]
        rows.append(("told right", f"of {len(found)}", *map(str, right.values())))
        parts.append(f"### {path.stem.removeprefix('songs-')}\n\n" + table(("song", "real genre", *right), rows))
    if not parts:
        return ""
    return "## Song by song\n\nFiles of audio, heard as members' songs are; right answers are bold.\n\n" + "\n\n".join(
        parts
    )


def _robustness(figures: Path) -> str:
    parts = []
    for path in sorted(figures.glob("robustness-*.json")):
        found = json.loads(path.read_text())
        rows = [
            (
                row["distortion"],
                row["about"],
                f"{row['right']} of {row['songs']}",
                f"{row['same']} of {row['songs']}",
            )
            for row in found["rows"]
        ]
        parts.append(
            f"### {found['model']}\n\n" + table(("distortion", "", "told right", "answer as undistorted"), rows)
        )
    if not parts:
        return ""
    return "## What people post\n\nHeld-out audio tracks, each through ten distortions by ffmpeg.\n\n" + "\n\n".join(
        parts
    )


def draw_confusion(found: dict[str, Any], path: Path) -> None:
    """Draw the confusion matrices of segments and, where there are any, votes."""
    from matplotlib.figure import Figure

    matrices = {"segments": found["figures"]["confusion"], "votes": found["figures"]["vote_confusion"]}
    drawn = {label: matrix for label, matrix in matrices.items() if matrix}
    figure = Figure(figsize=(5 * len(drawn), 4.6), layout="constrained")
    for axes, (label, matrix) in zip(figure.subplots(1, len(drawn), squeeze=False)[0], drawn.items(), strict=True):
        shares = [[cell / max(sum(row), 1) for cell in row] for row in matrix]
        axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        axes.set_xticks(range(len(GENRES)), GENRES, rotation=60, ha="right")
        axes.set_yticks(range(len(GENRES)), GENRES)
        axes.set_title(f"{found['model']} on {found['split']}: {label}")
        axes.set_xlabel("told")
        axes.set_ylabel("true")
        for y, row in enumerate(shares):
            for x, share in enumerate(row):
                if share >= 0.005:
                    ink = "white" if share > 0.6 else "black"
                    axes.text(x, y, f"{share:.2f}".lstrip("0"), ha="center", va="center", fontsize=7, color=ink)
    figure.savefig(path, dpi=80)


def draw_reliability(found: dict[str, Any], path: Path) -> None:
    """Draw accuracy over confidence of the songs, beside the diagonal of perfect calibration."""
    from matplotlib.figure import Figure

    calibration = found["figures"]["calibration"]
    figure = Figure(figsize=(3.6, 3.4), layout="constrained")
    axes = figure.subplots()
    axes.plot((0, 1), (0, 1), color="grey", linestyle=":")
    axes.plot(calibration["confidence"], calibration["accuracy"], marker="o")
    axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="confidence", ylabel="share told right")
    axes.set_title(f"{found['model']} on {found['split']}: ECE {calibration['ece']:.3f}", fontsize=9)
    figure.savefig(path, dpi=80)


def draw_history(history: list[dict[str, float]], name: str, path: Path) -> None:
    """Draw accuracy and loss over the epochs, of the training segments as augmented and of validation.

    Several networks of one model have a line each.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 2.8), layout="constrained")
    for axes, key in zip(figure.subplots(1, 2), ("accuracy", "loss"), strict=True):
        for column, label, colour in ((key, "training", "C0"), (f"val_{key}", "validation", "C1")):
            for network in sorted({row.get("network", 0) for row in history}):
                rows = [row for row in history if row.get("network", 0) == network and column in row]
                points = [(row["epoch"] + 1, row[column]) for row in rows]
                if points:
                    axes.plot(*zip(*points, strict=True), color=colour, label=None if network else label)
        axes.set(xlabel="epoch", ylabel=key, title=name)
        axes.legend(fontsize=8)
    figure.savefig(path, dpi=80)
