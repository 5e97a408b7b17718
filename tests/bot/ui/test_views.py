"""Buttons and menus: those that could do something, and nothing else."""

from dataclasses import replace

from discord.ui import DynamicItem

from bot.jobs.result import SongResult
from bot.storage.requests import RequestRow
from bot.ui.items import PersistentItem
from bot.ui.views import DYNAMIC_ITEMS, again_view, cancel_view, next_start, results_view, song_view
from core.errors import ErrorCode, GenreGenieError
from core.verdict import Prediction
from tests.bot.ui.identified import identified, verdict


def row(end: float, duration: float) -> RequestRow:
    return RequestRow(1, 2, "slash", False, 0.0, 0.0, "verdict", start=end - 30, end=end, duration=duration)


def test_parts_follow_each_other_and_begin_again_at_the_end() -> None:
    assert next_start(row(92.0, 215.0)) == 92.0
    assert next_start(row(200.0, 215.0)) == 185.0, "the last part is thirty seconds too"
    assert next_start(row(214.0, 215.0)) == 0.0
    assert next_start(row(215.0, 215.0)) == 0.0


async def test_buttons_that_could_do_nothing_are_not_there() -> None:
    async def labels(prediction: Prediction, *, whole: bool, kept: bool = True) -> list[str]:
        view = song_view(7, prediction.duration, "en", whole=whole, kept=kept)
        return [component["label"] for line in view.to_components() for component in line["components"]]

    assert await labels(verdict().prediction, whole=False) == [
        "Details",
        "Another part",
        "Whole song",
        "That's not right",
    ]
    assert await labels(verdict().prediction, whole=True) == ["Details", "That's not right"]
    assert await labels(replace(verdict().prediction, duration=30.0), whole=False) == ["Details", "That's not right"]
    assert await labels(verdict().prediction, whole=False, kept=False) == ["That's not right"]


async def test_several_songs_have_a_menu_of_those_that_were_classified() -> None:
    silent = SongResult("b.mp3", GenreGenieError(ErrorCode.SILENT), 2)
    results = [SongResult("a.mp3", identified(), 1), silent, SongResult("c.mp3", identified(), 3)]
    view = results_view(results, "en", whole=False)
    assert view is not None
    [menu] = view.to_components()[0]["components"]
    assert [(option["label"], option["value"]) for option in menu["options"]] == [("1. a.mp3", "1"), ("3. c.mp3", "3")]


async def test_where_nothing_more_can_be_asked_there_is_no_view() -> None:
    silent = SongResult("b.mp3", GenreGenieError(ErrorCode.SILENT), 2)
    not_stored = SongResult("a.mp3", identified(), None)
    assert results_view([], "en", whole=False) is None
    assert results_view([silent], "en", whole=False) is None
    assert results_view([not_stored], "en", whole=False) is None
    assert results_view([silent, not_stored], "en", whole=False) is None
    not_kept = SongResult("c.mp3", identified(), 3, kept=False)
    assert results_view([not_kept, not_kept], "en", whole=False) is None, "with nothing kept no menu can show a song"


async def test_every_custom_id_is_recognised_by_the_item_that_made_it() -> None:
    long = identified(verdict(*("rock",) * 10))
    views = [
        song_view(7, long.prediction.duration, "en", whole=False),
        results_view([SongResult("a", long, 1), SongResult("b", long, 2)], "en", whole=False),
        cancel_view("0123456789abcdef", "en"),
        again_view("7", "en"),
    ]
    for view in filter(None, views):
        for item in view.children:
            assert isinstance(item, DYNAMIC_ITEMS)
            assert [
                kind for kind in DYNAMIC_ITEMS if kind.__discord_ui_compiled_template__.fullmatch(item.custom_id)
            ] == [type(item)]


def test_whatever_button_or_menu_fails_tells_the_member() -> None:
    import bot.client  # noqa: F401  # loads all of them

    kinds = list(PersistentItem.__subclasses__())
    for kind in kinds:
        kinds += kind.__subclasses__()
    assert [kind for kind in DynamicItem.__subclasses__() if kind.__module__.startswith("bot.")] == [PersistentItem]
    assert set(DYNAMIC_ITEMS) < set(kinds)
    assert all(kind.callback is PersistentItem.callback for kind in kinds)


async def test_where_the_host_keeps_no_songs_there_is_no_button_for_them() -> None:
    long = identified(verdict(*("rock",) * 10))
    alone = results_view([SongResult("a", long, 1, kept=False)], "en", whole=False)
    assert alone is not None
    labels = [component["label"] for line in alone.to_components() for component in line["components"]]
    assert labels == ["That's not right"]
    assert results_view([SongResult("a", long, 1, kept=False)] * 2, "en", whole=False) is None
