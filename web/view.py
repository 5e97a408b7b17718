"""View states → HTML, in the visitor's language. The templates escape what strangers wrote: names, titles, links."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache, partial
from typing import Any, Final
from urllib.parse import urlsplit

from jinja2 import Environment, PackageLoader, StrictUndefined

from core.audio.spectrogram import hertz_to_mel
from core.constants import FMAX, GENRE_COLOURS, GENRES, SECTION_SECONDS
from core.errors import ErrorCode, GenreGenieError
from core.i18n.catalog import error_sentence, translate
from core.i18n.formatting import clock, percent
from core.i18n.languages import locales
from core.i18n.wording import confidence_words, nearest, notes, outside_sentence, tag_names, votes_text
from core.i18n.wording import headline as genres_in_words
from core.inference.pipeline import Step
from core.verdict import Prediction, Run, Segment, runs
from web.corrections import CHOICES, NONE
from web.jobs import ViewState
from web.settings import WebSettings
from web.shares import SharedAnswer
from web.static import EXAMPLE, Static

MODEL_KEYS: Final = ("genie", "plain", "augmented")
"""Models that the page has a description of."""

HERTZ: Final = (500, 1_000, 2_000, 4_000, 8_000)
"""Frequencies labelled on the spectrogram's axis."""

MAX_RECORDING_S: Final = 300
MIN_RECORDING_S: Final = 3
MAX_SONGS: Final = 20
"""Files that one drop may hold; they are classified one after the other."""

MOST_BLOCKS: Final = 40
"""Segments that the time line shows one by one; more are shown in runs of the same genre."""

MOST_RUNS: Final = 60
MOST_TICKS: Final = 6

ANOTHER_PART_S: Final = 3.0
"""A song that is longer than its section by this has another part to ask about."""


@cache
def _templates() -> Environment:
    return Environment(
        loader=PackageLoader("web"), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )


def render(template: str, locale: str, **values: object) -> str:
    """Fill in a template; in it, `t` is `translate`, `genre` names a genre, `percent` and `clock` format numbers."""
    return (
        _templates()
        .get_template(template)
        .render(
            t=lambda key, **params: translate(key, locale, **params),
            genre=lambda name: translate(f"genre.{name}", locale),
            percent=partial(percent, locale=locale),
            clock=clock,
            locale=locale,
            **values,
        )
    )


@dataclass(frozen=True, slots=True)
class Accuracy:
    """How often a model is right, from its card.

    Attributes:
        share: of test songs, by vote.
        new_artists: whether no artist of the test songs was in the training set.
        songs: labelled real songs.
        correct: those of them that it classifies correctly.
    """

    share: float
    new_artists: bool
    songs: int = 0
    correct: int = 0

    @classmethod
    def of(cls, card: Mapping[str, Any]) -> "Accuracy | None":
        """Read a model's card; None where it has no such figures."""
        try:
            name = "filtered" if "filtered" in card["metrics"] else next(iter(card["metrics"]))
            share = float(card["metrics"][name]["test"]["vote_accuracy"]["value"])
            real = card.get("labelled") or {"songs": 0, "correct": 0}
            return cls(share, name == "filtered", int(real["songs"]), int(real["correct"]))
        except (KeyError, TypeError, ValueError, StopIteration):
            return None


def page_html(settings: WebSettings, locale: str, files: Static, accuracy: Accuracy | None = None) -> str:
    """Render the page before the first song."""
    return render(
        "page.html",
        locale,
        files=files,
        origin=settings.web_origin,
        accuracy=accuracy,
        genres=sorted(translate(f"genre.{name}", locale) for name in GENRES),
        form=form_html(settings, locale, files),
        status=status_html(None, locale),
        player=player_html(locale),
    )


def form_html(settings: WebSettings, locale: str, files: Static | None = None) -> str:
    """Render the form; the sentences that its script shows are passed to it as JSON."""
    too_large = GenreGenieError(ErrorCode.TOO_LARGE, limit_mb=settings.max_file_mb)
    script = {
        "maxBytes": settings.max_file_bytes,
        "maxRecording": MAX_RECORDING_S,
        "minRecording": MIN_RECORDING_S,
        "tooLarge": error_sentence(too_large, locale),
        "tooMany": translate("web.too-many", locale, n=MAX_SONGS),
        "unreadable": translate("web.unreadable", locale),
        "lost": translate("web.lost", locale),
        "again": translate("web.again", locale),
        "sending": translate("web.sending", locale),
        "noMicrophone": translate("web.no-microphone", locale),
        "recording": translate("web.recording", locale),
        "stop": translate("web.stop", locale),
        "waiting": translate("web.waiting", locale),
        "later": translate("web.later", locale),
        "cancel": translate("web.cancel", locale),
        "maxSongs": MAX_SONGS,
        "inLine": translate("web.in-line", locale),
        "inHand": translate("web.in-hand", locale),
        "cancelled": error_sentence(GenreGenieError(ErrorCode.CANCELLED), locale),
        "recordingName": translate("web.recording-name", locale),
        "recordingShort": translate("web.recording-short", locale, n=MIN_RECORDING_S),
        "recordingEnough": translate("web.recording-enough", locale),
        "recordingQuiet": translate("web.recording-quiet", locale),
        "gone": translate("web.gone", locale),
        "goneFile": translate("web.gone-file", locale),
        "goneLink": translate("web.gone-link", locale),
        "badTime": translate("web.bad-time", locale),
        "copied": translate("web.copied", locale),
        "shareEnded": translate("web.shared.ended", locale),
        "example": files.example if files is not None else None,
        "exampleName": EXAMPLE.name,
    }
    others = [(other, translate("web.language", other)) for other in locales()]
    return render(
        "form.html",
        locale,
        settings=settings,
        script=json.dumps(script),
        languages=others,
        locked=settings.web_password is not None,
    )


def player_html(locale: str) -> str:
    """Render the player; the script loads the visitor's own file into it."""
    return render("player.html", locale)


def status_html(state: ViewState | None, locale: str, turn: int = 0, song: str = "") -> str:
    """Render the progress line, or the error; empty before the first request.

    Args:
        state: the request's state, or None before there is one.
        locale: language.
        turn: number of the request in its tab, which tells two equal results apart.
        song: what the song is called, where that is known.
    """
    name, text, share = _status(state, locale)
    return render("status.html", locale, state=name, text=text, share=share, turn=turn, song=song)


def state_name(state: ViewState) -> str:
    """Whether a request is `working`, `failed` or `done`."""
    if state.error is not None:
        return "failed"
    return "done" if state.step is Step.DONE else "working"


def _status(state: ViewState | None, locale: str) -> tuple[str, str, float | None]:
    if state is None:
        return "idle", "", None
    name = state_name(state)
    if state.error is not None:
        return name, error_sentence(state.error, locale), None
    if name == "done":
        return name, "", None
    if state.place:
        return name, translate("web.queued", locale, place=state.place), None
    if state.verdicts:
        return name, translate("web.comparing", locale, n=state.comparing), None
    return name, translate(f"web.step.{state.step.value}", locale), state.share


def headline(state: ViewState, locale: str) -> str:
    """Give the verdict in a line: genre, and how sure."""
    prediction = state.verdicts[0].prediction
    genres = genres_in_words(prediction, locale)
    return genres if prediction.outside else f"{genres} · {confidence_words(prediction, locale)}"


def verdict_html(state: ViewState, locale: str, link: str | None = None) -> str:
    """Render the headline of the verdict; empty while there is none.

    Args:
        state: the request's state.
        locale: language.
        link: where the song came from, so that it can be played there.
    """
    if not state.verdicts:
        return ""
    prediction = state.verdicts[0].prediction
    return render(
        "verdict.html",
        locale,
        song=state.verdicts[0].song,
        prediction=prediction,
        outside=prediction.outside and outside_sentence(prediction.outside, locale),
        notes=notes(state.verdicts[0], locale),
        colour=colour(prediction.genre),
        headline=genres_in_words(prediction, locale),
        nearest=nearest(prediction, locale),
        votes=votes_text(prediction, locale) if len(prediction.votes) > 1 else None,
        sure=None if prediction.outside else confidence_words(prediction, locale),
        tags=tag_names(prediction, locale),
        whole=is_whole(prediction),
        link=link if link and _leads_to_the_web(link) else None,
    )


def _leads_to_the_web(link: str) -> bool:
    try:
        return urlsplit(link).scheme in ("http", "https")
    except ValueError:
        return False


@dataclass(frozen=True, slots=True)
class Offers:
    """What a visitor can do with an answer.

    Attributes:
        address: of the answer, without a slash at the end.
        another_part: whether other parts of the song can be asked about.
        picture: whether the picture of the votes can be drawn.
        share: address under which others see the answer; None while it is not shared.
    """

    address: str
    another_part: bool = False
    picture: bool = False
    share: str | None = None


def details_html(
    state: ViewState, locale: str, *, playable: bool = True, picture: str = "", offers: Offers | None = None
) -> str:
    """Render time line, spectrogram, probabilities and models; empty while there is no verdict.

    Args:
        state: the request's state.
        locale: language.
        playable: whether the visitor's browser has the song, so that segments can be played.
        picture: address of the spectrogram.
        offers: what the visitor can do with the answer; None where others look at it.
    """
    if not state.verdicts:
        return ""
    prediction = state.verdicts[0].prediction
    many = len(prediction.segments) > MOST_BLOCKS
    start, length = prediction.section.start, _section_length(prediction)
    return render(
        "details.html",
        locale,
        prediction=prediction,
        playable=playable,
        blocks=[] if many else blocks(prediction),
        stretches=stretches(prediction) if many else [],
        tally=[(name, colour(name), count) for name, count in prediction.votes.items()],
        ticks=ticks(prediction),
        hertz=[(f"{hz / 1000:g}k" if hz >= 1_000 else str(hz), mel_height(hz)) for hz in HERTZ],
        picture=picture if state.picture is not None else None,
        models=[model_view(other.prediction, locale) for other in state.verdicts],
        table=table([other.prediction for other in state.verdicts]),
        comparing=state.comparing,
        section=None if is_whole(prediction) else _place(prediction, start, length),
        whole=is_whole(prediction),
        long=has_another_part(prediction),
        song_ticks=_ticks(0.0, prediction.duration),
        offers=offers,
        choices=[
            (one, translate("web.correct.none", locale) if one == NONE else translate(f"genre.{one}", locale))
            for one in CHOICES
        ],
    )


def has_another_part(prediction: Prediction) -> bool:
    """Whether a song is longer than what is classified of it by default."""
    return prediction.duration > SECTION_SECONDS + ANOTHER_PART_S


def is_whole(prediction: Prediction) -> bool:
    """Whether all of the song was classified."""
    return prediction.section.start == 0 and prediction.section.end >= prediction.duration - ANOTHER_PART_S


def shared_html(
    answer: SharedAnswer, locale: str, settings: WebSettings, files: Static, *, token: str, path: str
) -> str:
    """Render the page that others see of an answer."""
    state = ViewState(Step.DONE, verdicts=answer.verdicts, picture=answer.picture)
    verdict = answer.verdicts[0]
    return render(
        "shared.html",
        locale,
        files=files,
        origin=settings.web_origin,
        title=f"{verdict.song.name}: {headline(state, locale)}",
        verdict=verdict_html(state, locale),
        details=details_html(state, locale, playable=False, picture=f"{path}/spectrogram.png"),
        until=_date(answer.until, locale),
        token=token,
        languages=[(other, translate("web.language", other)) for other in locales()],
    )


def gone_html(locale: str, settings: WebSettings, files: Static) -> str:
    """Render the page of an answer that is not shared, or no longer."""
    return render(
        "shared.html",
        locale,
        files=files,
        origin=settings.web_origin,
        title="GenreGenie",
        verdict=None,
        languages=[(other, translate("web.language", other)) for other in locales()],
    )


def _date(seconds: float, locale: str) -> str:
    from babel.dates import format_date

    return format_date(datetime.fromtimestamp(seconds, UTC), format="long", locale=locale.replace("-", "_"))


@dataclass(frozen=True, slots=True)
class Block:
    """A segment on the time line; `left` and `width` are percentages of the section's length."""

    segment: Segment
    left: float
    width: float
    colour: str


def blocks(prediction: Prediction) -> list[Block]:
    """Lay the segments out on the time line; silent ones have no vote and leave a gap."""
    start, length = prediction.section.start, _section_length(prediction)
    return [
        Block(
            segment,
            round(100 * (segment.start - start) / length, 3),
            round(100 * min(segment.end - segment.start, start + length - segment.start) / length, 3),
            colour(segment.genre),
        )
        for segment in prediction.segments
    ]


@dataclass(frozen=True, slots=True)
class Stretch:
    """A run on the time line of a long song; `left` and `width` are percentages of the section's length."""

    run: Run
    left: float
    width: float
    colour: str


def stretches(prediction: Prediction) -> list[Stretch]:
    """Lay the runs of a long song out on the time line."""
    start, length = prediction.section.start, _section_length(prediction)
    return [
        Stretch(
            run,
            round(100 * (run.start - start) / length, 3),
            round(100 * (min(run.end, start + length) - run.start) / length, 3),
            colour(run.genre),
        )
        for run in runs(prediction.segments, MOST_RUNS)[0]
    ]


def ticks(prediction: Prediction) -> list[tuple[str, float]]:
    """Label the time axis, as (text, percent): every six seconds, or every three for a short song."""
    length = _section_length(prediction)
    if length > 31:
        return _ticks(prediction.section.start, length)
    return _ticks(prediction.section.start, length, 6 if length > 12 else 3)


def _ticks(start: float, length: float, step: float | None = None) -> list[tuple[str, float]]:
    if step is None:
        steps = (3, 6, 15, 30, 60, 120, 300, 600, 1_800, 3_600)
        step = next((one for one in steps if length / one <= MOST_TICKS), steps[-1])
    count = int((length + 0.1) // step) + 1
    return [(clock(start + step * i), min(100.0, round(100 * step * i / length, 3))) for i in range(count)]


def _place(prediction: Prediction, start: float, length: float) -> tuple[float, float]:
    """Where a part is on the line of the whole song: left edge and width, percent."""
    duration = max(prediction.duration, start + length)
    return round(100 * start / duration, 3), round(100 * length / duration, 3)


def _section_length(prediction: Prediction) -> float:
    section = prediction.section
    return max(section.end, prediction.segments[-1].end) - section.start


@dataclass(frozen=True, slots=True)
class ModelView:
    """One model's column in the comparison."""

    name: str
    about: str
    prediction: Prediction
    colour: str
    blocks: Sequence[Block | Stretch]


def model_view(prediction: Prediction, locale: str) -> ModelView:
    """Make the column of one model's prediction."""
    name = prediction.model.name
    about = translate(f"web.model.{name}", locale) if name in MODEL_KEYS else ""
    many = len(prediction.segments) > MOST_BLOCKS
    strip = stretches(prediction) if many else blocks(prediction)
    return ModelView(name, about, prediction, colour(prediction.genre), strip)


@dataclass(frozen=True, slots=True)
class Row:
    """One genre's row in the table of probabilities."""

    genre: str
    colour: str
    shares: list[tuple[float, bool]]
    """For each model: the probability, and whether this genre is its answer."""


def table(predictions: Sequence[Prediction]) -> list[Row]:
    """Make the rows of all ten genres, ordered by the first model's probabilities."""
    order = sorted(range(len(GENRES)), key=lambda i: -predictions[0].probabilities[i])
    return [
        Row(
            GENRES[i],
            colour(GENRES[i]),
            [(prediction.probabilities[i], prediction.genre == GENRES[i]) for prediction in predictions],
        )
        for i in order
    ]


def colour(genre: str) -> str:
    """Colour of a genre, as CSS."""
    red, green, blue = GENRE_COLOURS[genre]
    return f"#{red:02x}{green:02x}{blue:02x}"


def mel_height(hertz: float) -> float:
    """Height of a frequency on the mel spectrogram, in percent from the bottom."""
    return round(100 * hertz_to_mel(hertz) / hertz_to_mel(FMAX), 2)


def login_html(settings: WebSettings, locale: str, files: Static, *, wrong: bool, wait_s: int = 0) -> str:
    """Render the login page."""
    return render(
        "login.html",
        locale,
        files=files,
        origin=settings.web_origin,
        wrong=wrong,
        wait=wait_s,
        languages=[(other, translate("web.language", other)) for other in locales()],
    )


def error_html(sentence: str, locale: str, files: Static) -> str:
    """Render the page of an address that does not lead to another."""
    return render("error.html", locale, files=files, origin=None, sentence=sentence)
