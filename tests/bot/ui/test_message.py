"""What is left of a message where the bot lacks permissions."""

from bot.jobs.request import ReplyCapabilities
from bot.jobs.result import SongResult
from bot.ui.embeds import results_message
from bot.ui.message import MAX_TEXT, text_message
from tests.bot.ui.identified import PNG, identified


def test_without_the_right_to_attach_the_picture_is_left_out_and_without_embeds_all_is_text() -> None:
    message = results_message([SongResult("song.mp3", identified(picture=PNG), 1)], "en")
    bare = message.without_pictures()
    assert not bare.files()
    assert bare.embeds[0].image.url is None
    text = message.as_text()
    assert not text.embeds
    assert not text.files()
    assert "Rock" in (text.content or "")
    assert message.embeds[0].image.url, "the message itself is as it was"


def test_a_message_is_fitted_to_what_the_channel_allows_and_says_what_is_missing() -> None:
    message = results_message([SongResult("song.mp3", identified(picture=PNG), 1)], "en")
    assert message.fitted(ReplyCapabilities()) == message
    bare = message.fitted(ReplyCapabilities(files=False, notice="no files here"))
    assert (bool(bare.embeds), bare.files(), bare.content) == (True, [], "no files here")
    text = message.fitted(ReplyCapabilities(embeds=False, notice="no embeds here"))
    assert not text.embeds
    assert (text.content or "").endswith("\nno embeds here")
    assert text_message("gone").fitted(ReplyCapabilities(notice="a notice")).content == "gone\na notice"


def test_a_notice_is_whole_under_a_text_that_fills_the_message() -> None:
    full = text_message("x" * MAX_TEXT).with_notice("a notice")
    assert (full.content or "").endswith("x\na notice")
    assert (len(full.content or ""), full.text) == (MAX_TEXT, full.content)
