"""Two songs side by side."""

from dataclasses import replace

import pytest

from bot.jobs.result import SongResult
from bot.ui.compare import compare_message, similarity
from core.i18n.catalog import translate
from core.i18n.languages import locales
from core.verdict import Verdict
from tests.bot.ui.identified import identified, verdict


def heard(*genres: str, embedding: tuple[float, ...] = ()) -> Verdict:
    answer = verdict(*genres)
    return replace(answer, prediction=replace(answer.prediction, embedding=embedding))


def results(first: Verdict, second: Verdict) -> list[SongResult]:
    return [SongResult("a_1.mp3", identified(first), 1), SongResult("b.mp3", identified(second), 2)]


@pytest.mark.parametrize("locale", locales())
async def test_both_songs_how_alike_they_are_and_what_differs_are_said(locale: str) -> None:
    first, second = heard("rock", embedding=(1.0, 0.0)), heard("jazz", embedding=(0.6, 0.8))
    message = await compare_message(results(first, second), locale, None)
    [embed], [picture] = message.embeds, message.pictures
    text = embed.description or ""
    assert r"1. **a\_1.mp3**" in text
    assert translate("bot.compare.alike", locale, words=translate("bot.like.somewhat", locale)) in text
    last = text.splitlines()[-1]
    assert translate("genre.rock", locale) in last
    assert translate("genre.jazz", locale) in last
    assert translate("genre.pop", locale) not in last
    assert len(picture.png) < 120_000
    assert translate("genre.pop", locale) in picture.alt
    assert text in message.text


async def test_songs_of_the_same_genres_are_said_to_be_so_and_no_likeness_without_embeddings() -> None:
    message = await compare_message(results(heard("rock"), heard("rock")), "en", None)
    assert message.text.endswith(translate("bot.compare.same", "en"))
    assert "To my ears" not in message.text
    far = await compare_message(results(heard(embedding=(1.0, 0.0)), heard(embedding=(0.0, 1.0))), "en", None)
    assert translate("bot.like.not", "en") in far.text


def test_embeddings_of_different_models_are_not_compared() -> None:
    first, second = heard(embedding=(1.0, 0.0)).prediction, heard(embedding=(1.0, 0.0)).prediction
    assert similarity(first, second) == 1
    assert similarity(first, replace(second, model=replace(second.model, version="9"))) is None
