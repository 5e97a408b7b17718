"""Where a link begins and ends in what people write."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.jobs.links import find_links, pasted_link

U = "https://example.org/music/my_song-1.mp3?a=b&c=1"

AROUND = [
    "U",
    "[my song](U)",
    '[my song](U "a title")',
    "[my song](<U>)",
    "[https://example.org/…](U)",
    "[U](U)",
    "**[my song](U)**",
    "(U)",
    "(U).",
    "(listen to U)",
    "[U]",
    "{U}",
    "U.",
    "U,",
    "U!",
    "U?!",
    "U…",
    "U...",
    "U:",
    "U)",
    "U→",
    "U → great",
    '"U"',
    "'U'",
    "“U”",
    "«U»",
    "„U“",
    "_U_",
    "__U__",
    "*U*",
    "**U**",
    "**U**text",
    "***U***",
    "_**U**_",
    "~~U~~",
    "_listen to U_",
    "`U`",
    "`U`.",
    "```\nU\n```",
    "||U||",
    "<U>",
    "> U",
    "「U」",
    "（U）",
    "U。次の曲",
    "U，",
    "U！",
    "¿U?",
    "U\ufe0f",
    "U🎵",
    "U\u200b",
    "U U",
    "U,U",
]


@pytest.mark.parametrize("text", AROUND)
def test_what_surrounds_a_link_does_not_belong_to_it(text: str) -> None:
    assert find_links(text.replace("U", U)) == (U,)
    assert pasted_link(text.replace("U", U)) == U


@pytest.mark.parametrize(
    "link",
    [
        "https://en.wikipedia.org/wiki/Queen_(band)",
        "https://example.org/[live]_(1).mp3",
        "https://youtu.be/abcdefghij_",
        "https://example.org/a~b*c'd;e,f!g.mp3",
        "https://example.org/Canción–x.mp3",
        "https://web.archive.org/web/2020/https://example.org/a.mp3",
        "https://example.org/?u=https://example.org/a.mp3",
        "http://[2001:db8::1]:8080/a.mp3",
        "HTTPS://EXAMPLE.ORG/A.MP3",
        "https://cdn.discordapp.com/attachments/1/2/a.mp3?ex=1&is=2&hm=3&",
    ],
)
@pytest.mark.parametrize("around", ["{}", "({})", "[song]({}).", "**{}**", "<{}>", "__{}__"])
def test_what_belongs_to_a_link_stays(link: str, around: str) -> None:
    assert find_links(around.replace("{}", link)) == (link,)


def test_a_bracket_that_nothing_opened_stays_inside_of_a_path_and_not_at_its_end() -> None:
    assert find_links("https://example.org/1)%20intro.mp3)") == ("https://example.org/1)%20intro.mp3",)


def test_links_are_found_in_order_each_once() -> None:
    a, b = "https://a.example/1", "https://b.example/2"
    assert find_links(f"{b}, [one]({a}){b} and {a}") == (b, a)
    assert find_links(f"[a]({a})[b]({b})") == (a, b)
    assert find_links(f"{a},{b}") == (a, b)
    assert find_links(f"{a}{b}") == (a, b)


def test_an_underscore_that_ends_an_id_is_no_emphasis_that_another_link_opened() -> None:
    links = ("https://youtu.be/_abcdefghij", "https://youtu.be/abcdefghij_")
    assert find_links(" ".join(links)) == links


@pytest.mark.parametrize(
    "text", ["", "words", "https://", "https://)", "https://[broken", "http://.", "ftp://example.org/a", "youtu.be/a"]
)
def test_what_is_no_link_is_not_found(text: str) -> None:
    assert find_links(text) == ()


@pytest.mark.parametrize(
    ("text", "link"),
    [
        ("youtu.be/abc", "https://youtu.be/abc"),
        ("  youtu.be/abc?si=x  ", "https://youtu.be/abc?si=x"),
        ("this one youtu.be/abc, please!", "https://youtu.be/abc"),
        ("[my song](youtu.be/abc)", "https://youtu.be/abc"),
        ("`youtu.be/abc`", "https://youtu.be/abc"),
        ("_youtu.be/abc_", "https://youtu.be/abc"),
        ("youtu.be/abcdefghij_", "https://youtu.be/abcdefghij_"),
        ("||youtu.be/abc||", "https://youtu.be/abc"),
        ("www.youtube.com/watch?v=abc", "https://www.youtube.com/watch?v=abc"),
        ("spotify:track:4uLU6hMCjMI75M1A2tKUQC", "https://open.spotify.com/track/4uLU6hMCjMI75M1A2tKUQC"),
        ("<www.example.org>", "https://www.example.org"),
        ("see www.example.org.", "https://www.example.org"),
        ("example.org/song.mp3", "https://example.org/song.mp3"),
        ("host/song.mp3", "https://host/song.mp3"),
        ("nas:8080/song", "https://nas:8080/song"),
        ("192.0.2.1/song", "https://192.0.2.1/song"),
        ("band.example.com", "https://band.example.com"),
        ("ejemplo.es/canción.mp3", "https://ejemplo.es/canción.mp3"),
        (f"not example.com/a but {U}", U),
        ("ftp://example.com/song.mp3.", "ftp://example.com/song.mp3"),
    ],
)
def test_a_pasted_link_needs_no_scheme(text: str, link: str) -> None:
    assert pasted_link(text) == link


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "not a link",
        "song.mp3",
        "rock and/or pop",
        "AC/DC",
        "me@example.org",
        "me@example.org/a",
        "https://",
        "e.g.",
    ],
)
def test_what_holds_no_link_is_none(text: str) -> None:
    assert pasted_link(text) is None


PIECES = st.lists(
    st.one_of(
        st.sampled_from(
            [
                "https://",
                "http://",
                U,
                "https://[",
                "youtu.be/a",
                "www.",
                "](",
                "[",
                ")",
                "_",
                "**",
                "||",
                "<",
                ">",
                "。",
                "\n",
            ]
        ),
        st.text(max_size=4),
    ),
    max_size=12,
).map("".join)


@given(PIECES)
def test_no_text_raises_or_gives_a_link_that_ends_in_punctuation(text: str) -> None:
    pasted = pasted_link(text)
    for link in (*find_links(text), *([pasted] if pasted else [])):
        assert "://" in link
        assert not any(character.isspace() or character in '<>|"`' for character in link)
        assert link[-1] not in ".,!?;:'*~…([{。，！？；：、」』）】》”’»→"


@given(
    st.sampled_from([text for text in AROUND if not text.endswith("text")]), st.text("ab _*()[]\"'.,!?\n", max_size=8)
)
def test_a_link_is_found_whatever_words_follow(around: str, after: str) -> None:
    assert U in find_links(f"{around.replace('U', U)} {after}")


def test_a_long_run_of_underscores_is_read_once() -> None:
    # In squared time this would take an hour.
    assert find_links(f"https://{'_' * 300_000}x http://a.example/b_")[-1] == "http://a.example/b_"
