"""View states → HTML, in the visitor's language. The templates escape what strangers wrote: names, titles, links."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Final
from urllib.parse import urlsplit

from jinja2 import Environment, PackageLoader, StrictUndefined

from core.audio.spectrogram import hertz_to_mel
from core.constants import FMAX, GENRE_COLOURS, GENRES
from core.errors import ErrorCode, GenreGenieError
from core.i18n.catalog import error_sentence, translate
from core.i18n.formatting import clock, percent
from core.i18n.languages import locales
from core.i18n.wording import headline as genres_in_words
from core.i18n.wording import nearest, notes, outside_sentence, votes_text
from core.inference.pipeline import Step
from core.verdict import Prediction, Segment
from web.jobs import ViewState
from web.settings import WebSettings
from web.static import Static

MODEL_KEYS: Final = ("genie", "plain", "augmented")
"""Models that the page has a description of."""

HERTZ: Final = (500, 1_000, 2_000, 4_000, 8_000)
"""Frequencies labelled on the spectrogram's axis."""

MAX_RECORDING_S: Final = 300
MAX_SONGS: Final = 20
"""Files that one drop may hold; they are classified one after the other."""


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


def page_html(settings: WebSettings, locale: str, files: Static) -> str:
    """Render the page before the first song."""
    return render(
        "page.html",
        locale,
        files=files,
        origin=settings.web_origin,
        form=form_html(settings, locale),
        status=status_html(None, locale),
        player=player_html(locale),
    )


def form_html(settings: WebSettings, locale: str) -> str:
    """Render the form; the sentences that its script shows are passed to it as JSON."""
    too_large = GenreGenieError(ErrorCode.TOO_LARGE, limit_mb=settings.max_file_mb)
    script = {
        "maxBytes": settings.max_file_bytes,
        "maxRecording": MAX_RECORDING_S,
        "tooLarge": error_sentence(too_large, locale),
        "lost": translate("web.lost", locale),
        "again": translate("web.again", locale),
        "sending": translate("web.sending", locale),
        "noMicrophone": translate("web.no-microphone", locale),
        "recording": translate("web.recording", locale),
        "stop": translate("web.stop", locale),
        "waiting": translate("web.waiting", locale),
        "cancel": translate("web.cancel", locale),
        "maxSongs": MAX_SONGS,
        "inLine": translate("web.in-line", locale),
        "inHand": translate("web.in-hand", locale),
        "cancelled": error_sentence(GenreGenieError(ErrorCode.CANCELLED), locale),
        "recordingName": translate("web.recording-name", locale),
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
    """Give the verdict in a line: genre and confidence."""
    prediction = state.verdicts[0].prediction
    return f"{translate(f'genre.{prediction.genre}', locale)} {percent(prediction.confidence, locale)}"


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
        link=link if link and urlsplit(link).scheme in ("http", "https") else None,
    )


def details_html(state: ViewState, locale: str, *, playable: bool = True, picture: str = "") -> str:
    """Render time line, spectrogram, probabilities and models; empty while there is no verdict.

    Args:
        state: the request's state.
        locale: language.
        playable: whether the visitor's browser has the file, so that segments can be played.
        picture: address of the spectrogram.
    """
    if not state.verdicts:
        return ""
    prediction = state.verdicts[0].prediction
    return render(
        "details.html",
        locale,
        prediction=prediction,
        playable=playable,
        blocks=blocks(prediction),
        ticks=ticks(prediction),
        hertz=[(f"{hz / 1000:g}k" if hz >= 1_000 else str(hz), mel_height(hz)) for hz in HERTZ],
        picture=picture if state.picture is not None else None,
        models=[model_view(other.prediction, locale) for other in state.verdicts],
        table=table([other.prediction for other in state.verdicts]),
        comparing=state.comparing,
    )


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


def ticks(prediction: Prediction) -> list[tuple[str, float]]:
    """Label the time axis, as (text, percent): every six seconds, or every three for a short song."""
    start, length = prediction.section.start, _section_length(prediction)
    step = 6 if length > 12 else 3
    count = int((length + 0.1) // step) + 1
    return [(clock(start + step * i), min(100.0, round(100 * step * i / length, 3))) for i in range(count)]


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
    blocks: list[Block]


def model_view(prediction: Prediction, locale: str) -> ModelView:
    """Make the column of one model's prediction."""
    name = prediction.model.name
    about = translate(f"web.model.{name}", locale) if name in MODEL_KEYS else ""
    return ModelView(name, about, prediction, colour(prediction.genre), blocks(prediction))


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
    return render("login.html", locale, files=files, origin=settings.web_origin, wrong=wrong, wait=wait_s)
