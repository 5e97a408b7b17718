"""What a game of `/guess` shows: the question with its ten buttons, the answer, and the scores."""

import re
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, Self

from discord.ui import Button, Item, View

from bot.jobs.job import Job
from bot.jobs.request import JobRequest
from bot.jobs.result import SongResult
from bot.services import services_of
from bot.storage.database import StoreError
from bot.storage.games import Answer, Game, GameResult, Score
from bot.ui.delivery import InteractionDelivery
from bot.ui.embeds import capitalised, escaped, genre_name
from bot.ui.gate import let_in
from bot.ui.interactions import Interaction
from bot.ui.items import PersistentItem
from bot.ui.message import MAX_TEXT, fitting, internal_error, text_message, units
from core.constants import GENRES
from core.errors import GenreGenieError
from core.i18n.catalog import error_sentence, translate
from core.i18n.formatting import percent
from core.i18n.wording import headline, votes_text
from core.service.identify import IdentifyResult
from core.verdict import Prediction

MOST_NAMED: Final = 20
"""Members that one message names."""


class GuessButton(PersistentItem[Button[View]], template=r"gg:guess:(?P<key>\d{1,18}):(?P<genre>[a-z]{1,16})"):
    """One of the ten genres, under a game; carries the game's id."""

    def __init__(self, key: str, genre: str, locale: str) -> None:
        self.key, self.genre = key, genre
        # Of a pressed button only the id counts, which comes from the member's client.
        label, row = (genre_name(genre, locale), GENRES.index(genre) // 5) if genre in GENRES else ("?", 0)
        super().__init__(Button(label=label, custom_id=f"gg:guess:{key}:{genre}", row=row))

    @classmethod
    async def from_custom_id(cls, interaction: Interaction, item: Item[Any], match: re.Match[str], /) -> Self:
        """Rebuild the button that was pressed."""
        return cls(match["key"], match["genre"], "en")

    async def interaction_check(self, interaction: Interaction, /) -> bool:
        """Take no guess of whom the host does not serve."""
        return await let_in(interaction)

    async def use(self, interaction: Interaction) -> None:
        """Keep the guess, and tell the one who made it."""
        services, locale = services_of(interaction), interaction.locale.value
        if not await services.acknowledge(interaction, private=True):
            return
        try:
            game = await services.games.get(int(self.key))
            if game is None or game.guild_id != interaction.guild_id or self.genre not in GENRES:
                text = translate("bot.guess.over", locale)
            elif game.host_knows and game.user_id == interaction.user.id:
                text = translate("bot.guess.own", locale)
            elif await services.games.guess(int(self.key), interaction.user.id, self.genre):
                text = translate("bot.guess.noted", locale, genre=genre_name(self.genre, locale))
            else:
                text = translate("bot.guess.over", locale)
        except StoreError:
            text = internal_error(locale)
        await InteractionDelivery(interaction, private=True).final(text_message(text))


class GuessResponder:
    """Implements `bot.jobs.responder.Responder` for the song of a game: nothing of it is shown.

    Args:
        begin: takes the song's result.
        fail: takes the sentence that says why there is no game.
    """

    def __init__(
        self, begin: Callable[[IdentifyResult, str], Awaitable[bool]], fail: Callable[[str], Awaitable[bool]]
    ) -> None:
        self._begin = begin
        self._fail = fail

    async def progress(self, job: Job) -> None:
        """Show nothing but that it is being worked on, as Discord does."""

    async def results(self, request: JobRequest, results: Sequence[SongResult]) -> bool:
        """Begin the game with the song; False when that could not be shown."""
        [result] = results
        if isinstance(result.outcome, GenreGenieError):
            return await self._fail(error_sentence(result.outcome, request.asker_locale))
        return await self._begin(result.outcome, result.name)

    async def sentence(self, request: JobRequest, key: str) -> bool:
        """Say why there is no game."""
        return await self._fail(translate(key, request.asker_locale))

    async def refused(self, request: JobRequest, key: str) -> bool:
        """Say why there is no game."""
        return await self._fail(translate(key, request.asker_locale))


def answer_of(prediction: Prediction, name: str, link: str | None, locale: str) -> Answer:
    """Give what is right to guess of a song: the genre with the most votes, or all that are tied."""
    most = max(prediction.votes.values())
    correct = ",".join(genre for genre, votes in prediction.votes.items() if votes == most)
    return Answer(correct, capitalised(headline(prediction, locale)), votes_text(prediction, locale), name, link)


def guess_view(game_id: int, locale: str) -> View:
    """Make the ten buttons."""
    view = View(timeout=None)
    for genre in GENRES:
        view.add_item(GuessButton(str(game_id), genre, locale))
    return view


def question_text(game: Game, spoiler: str | None = None) -> str:
    """Ask, with the time that is left; the link to the song, where it is no file, is behind a spoiler."""
    key = "bot.guess.ask" if game.host_knows else "bot.guess.ask-posted"
    lines = [
        translate("bot.guess.title", game.locale),
        translate(key, game.locale, member=f"<@{game.user_id}>", when=f"<t:{round(game.ends_at)}:R>"),
    ]
    if spoiler is not None:
        lines.append(translate("bot.guess.spoiler", game.locale, link=f"||{spoiler}||"))
    return "\n".join(lines)


def result_text(result: GameResult) -> str:
    """Say what the song is, who was right, and what all guessed; without the link where that leaves no room for it."""
    text = _result_text(result, result.game.link)
    return text if units(text) <= MAX_TEXT else fitting(_result_text(result, None), MAX_TEXT)


def _result_text(result: GameResult, link: str | None) -> str:
    game, locale = result.game, result.game.locale
    name = f"**{escaped(game.name)}**" + (f" {link}" if link else "")
    lines = [
        translate("bot.guess.answer", locale, answer=game.headline),
        translate("bot.guess.song", locale, name=name),
        translate("bot.guess.votes", locale, votes=game.votes),
    ]
    if not result.guesses:
        return "\n".join((*lines, translate("bot.guess.no-guesses", locale)))
    right = sorted(result.streaks.items(), key=lambda streak: (-streak[1], streak[0]))
    named = [_winner(user_id, streak, locale) for user_id, streak in right[:MOST_NAMED]]
    if len(right) > MOST_NAMED:
        named.append(translate("bot.guess.more", locale, n=len(right) - MOST_NAMED))
    key = "bot.guess.right" if right else "bot.guess.nobody"
    counted = Counter(result.guesses.values()).most_common()
    guessed = ", ".join(f"{translate(f'genre.{genre}', locale)} {n}" for genre, n in counted)
    lines.append(translate(key, locale, members=", ".join(named)))
    lines.append(translate("bot.guess.guesses", locale, n=len(result.guesses), guesses=guessed))
    return "\n".join(lines)


def _winner(user_id: int, streak: int, locale: str) -> str:
    mention = f"<@{user_id}>"
    return f"{mention} ({translate('bot.guess.streak', locale, n=streak)})" if streak > 1 else mention


def scores_text(scores: Sequence[Score], locale: str) -> str:
    """List a server's best scores."""
    lines = [translate("bot.guess.scores", locale)]
    for number, score in enumerate(scores, 1):
        line = translate(
            "bot.guess.score",
            locale,
            n=score.played,
            correct=score.correct,
            share=percent(score.correct / score.played, locale),
            best=score.best_streak,
        )
        lines.append(f"{number}. <@{score.user_id}>: {line}")
    return "\n".join(lines)
