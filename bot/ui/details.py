"""What Details adds to an answer: every vote with its time, tags, why, and the picture."""

from dataclasses import replace
from typing import Final

from bot.ui.message import MAX_TEXT, OutgoingMessage, Picture, fitting
from bot.ui.votes import picture_alt, votes_list
from core.i18n.catalog import translate
from core.i18n.formatting import clock, number, percent
from core.i18n.wording import tag_names
from core.verdict import Explanation, Prediction

MAX_ALT: Final = 1_024
MOST_BANDS: Final = 2
MOST_MOMENTS: Final = 3


def with_details(
    message: OutgoingMessage, prediction: Prediction, picture: bytes | None, locale: str
) -> OutgoingMessage:
    """Add the details to the answer about one song.

    Args:
        message: the compact answer, with its one embed.
        prediction: the votes; with `why` where that is known.
        picture: of the votes, PNG; None where it cannot be drawn.
        locale: language.
    """
    votes = votes_list(prediction, locale)
    fields = [
        (translate("bot.details.tags", locale), ", ".join(tag_names(prediction, locale))),
        (translate("bot.details.why", locale), _why(prediction.why, picture is not None, locale)),
    ]
    fields = [(name, value) for name, value in fields if value]
    embed = message.embeds[0].copy()
    embed.description = f"{embed.description}\n```\n{votes}\n```"
    for name, value in fields:
        embed.add_field(name=name, value=value, inline=False)
    embed.set_footer(text=translate("bot.reply.footer", locale, model=str(prediction.model)))
    text = "\n".join((f"{message.text}\n```\n{votes}\n```", *(f"**{name}**: {value}" for name, value in fields)))
    message = replace(message, embeds=(embed,), text=fitting(text, MAX_TEXT))
    if picture is None:
        return message
    shown = Picture("votes.png", picture, fitting(picture_alt(prediction, locale), MAX_ALT))
    embed.set_image(url=f"attachment://{shown.name}")
    return replace(message, pictures=(shown,))


def _why(why: Explanation | None, drawn: bool, locale: str) -> str:
    """Say which bands and moments spoke most for the genre; nothing where none did."""
    bands = [band for band in why.by_band()[:MOST_BANDS] if round(band[2], 2)] if why is not None else []
    if why is None or not bands:
        return ""
    moments = sorted(start for start, _, share in why.by_time()[:MOST_MOMENTS] if share > 0)
    sentences = [
        translate(
            "bot.details.why.bands",
            locale,
            bands=", ".join(f"{_hertz(low, high, locale)} ({percent(share, locale)})" for low, high, share in bands),
            moments=", ".join(dict.fromkeys(map(clock, moments))),
        )
    ]
    if drawn:
        sentences.append(translate("bot.details.why.picture", locale))
    return " ".join(sentences)


def _hertz(low: float, high: float, locale: str) -> str:
    if high < 1_000:
        return f"{low:.0f}–{high:.0f} Hz"
    return f"{number(round(low / 1_000, 1), locale)}–{number(round(high / 1_000, 1), locale)} kHz"
