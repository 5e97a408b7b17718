"""What every language's catalogues must have, so that a translation can break nothing."""

import ast
import gettext
import io
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.i18n.catalog import translate
from core.i18n.compile import compiled
from core.i18n.languages import LOCALES_DIR, locales
from tests.core.i18n.catalogues import forms, key_of, messages, placeholders, read, sources

ROOT = LOCALES_DIR.parent
ENGLISH = {path.name: {key_of(m): m for m in messages(read(path))} for path in sources("en")}
OTHERS = [path for path in sources() if path.parents[1].name != "en"]


def label(path: Path) -> str:
    return f"{path.parents[1].name}-{path.stem}"


def test_five_languages_are_there() -> None:
    assert {"de", "en", "es", "fr", "pt"} <= set(locales())
    assert {path.parents[1].name for path in sources()} == set(locales())


@pytest.mark.parametrize("locale", locales())
def test_every_language_has_the_same_catalogues(locale: str) -> None:
    assert {path.name for path in sources(locale)} == {"core.po", "bot.po", "web.po"}


@pytest.mark.parametrize("path", OTHERS, ids=label)
def test_every_language_has_the_same_keys_placeholders_and_plurals(path: Path) -> None:
    catalogue = {key_of(m): m for m in messages(read(path))}
    english = ENGLISH[path.name]
    assert catalogue.keys() == english.keys()
    for key, message in catalogue.items():
        assert message.pluralizable == english[key].pluralizable, key
        assert placeholders(forms(message)) == placeholders(forms(english[key])), key


@pytest.mark.parametrize("path", sources(), ids=label)
def test_every_form_is_there_and_has_every_placeholder(path: Path) -> None:
    """A form that one number alone chooses may leave the number out: "in the last day"."""
    catalogue = read(path)
    with path.with_suffix(".mo").open("rb") as file:
        plural = gettext.GNUTranslations(file).plural  # type: ignore[attr-defined]  # set while parsing
    for message in messages(catalogue):
        key, sentences = key_of(message), forms(message)
        assert all(sentences), key
        assert not message.fuzzy, key
        assert len(sentences) == (catalogue.num_plurals if message.pluralizable else 1), key
        for i, text in enumerate(sentences):
            counts = [n for n in range(1_000) if plural(n) == i] if message.pluralizable else []
            may_lack = {"n"} if len(counts) == 1 else set()
            assert placeholders(sentences) - placeholders([text]) <= may_lack, key
        assert not message.pluralizable or "n" in placeholders(sentences), key


@pytest.mark.parametrize("path", sources(), ids=label)
def test_tools_are_told_which_sentences_have_placeholders(path: Path) -> None:
    for entry in path.read_text("utf-8").split("\n\n")[1:]:
        has_placeholders = re.search(r'^(msgstr\S* )?"[^\n]*\{', entry, re.MULTILINE) is not None
        assert ("#, python-brace-format\n" in entry) == has_placeholders, entry


@pytest.mark.parametrize("path", sources(), ids=label)
def test_keys_are_sorted_and_in_the_catalogue_of_their_prefix(path: Path) -> None:
    keys = [key_of(message) for message in messages(read(path))]
    assert keys == sorted(keys)
    prefixes = {key.split(".")[0] for key in keys}
    assert prefixes == {path.stem} if path.stem != "core" else not prefixes & {"bot", "web"}


@pytest.mark.parametrize("path", sources(), ids=label)
def test_what_is_read_at_run_time_is_what_was_written(path: Path) -> None:
    """If this fails: `python -m core.i18n.compile`."""

    def content(binary: bytes) -> tuple[dict[object, str], str]:
        parsed = gettext.GNUTranslations(io.BytesIO(binary))
        entries = dict(parsed._catalog)  # type: ignore[attr-defined]  # noqa: SLF001  # there is no public way to list them
        del entries[""]
        return entries, parsed.info()["plural-forms"]

    assert content(path.with_suffix(".mo").read_bytes()) == content(compiled(path))


LIMITS = {
    r"bot\.command\..+\.name": 32,
    r"bot\.command\..+": 100,
    r"bot\.(privacy\.)?button\..+": 80,
    r"bot\.(pick|correction)\.(placeholder|none)": 100,
    r"bot\.help\.(.+\.)?title": 256,
    r"(bot|error|note)\..+": 1_200,
}
"""Characters that Discord takes, by key; the last is what may stand in a message beside others."""


@pytest.mark.parametrize("locale", locales())
def test_nothing_is_longer_than_discord_takes(locale: str) -> None:
    for path in sources(locale):
        for message in messages(read(path)):
            limits = [most for pattern, most in LIMITS.items() if re.fullmatch(pattern, key_of(message))]
            assert all(len(text) <= limits[0] for text in forms(message) if limits), key_of(message)


@pytest.mark.parametrize("locale", locales())
def test_commands_and_options_have_names_that_discord_takes(locale: str) -> None:
    """https://docs.discord.com/developers/interactions/application-commands#application-command-object."""
    siblings: dict[str, list[str]] = {}
    for message in messages(read(LOCALES_DIR / locale / "LC_MESSAGES" / "bot.po")):
        key, [name, *_] = key_of(message), forms(message)
        # The name of a message command may be anything.
        if key.startswith("bot.command.") and key.endswith(".name") and key != "bot.command.identify.name":
            assert re.fullmatch(r"[-_'\w]{1,32}", name), key
            assert name == name.lower(), key
            *group, last, _ = key.split(".")
            if last != "own-privacy":  # a command of its own, beside /genregenie
                siblings.setdefault(".".join(group), []).append(name)
    for group, names in siblings.items():
        assert len(names) == len(set(names)), group


@pytest.mark.parametrize("locale", locales())
def test_no_sentence_names_a_command_itself(locale: str) -> None:
    """Commands are placeholders: where their ids are known, they can be clicked on, and show the reader's own names."""
    keys = ("genre", "genregenie", "guess", "compare", "top", "help", "own-privacy")
    names = {translate(f"bot.command.{key}.name", language) for key in keys for language in (locale, "en")}
    named = re.compile(rf"(?<![\w.<])/({'|'.join(map(re.escape, names))})\b")
    for path in sources(locale):
        for message in messages(read(path)):
            assert not any(named.search(text) for text in forms(message)), key_of(message)


CALLS = {"translate": "", "phrase": "bot.command."}


def asked_for() -> Iterator[tuple[str, str]]:
    """Keys that the code names, each with where: those built from parts as regular expressions."""
    for room in ("core", "bot", "web"):
        for path in (ROOT / room).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in CALLS:
                    for key in patterns(node.args[0]):
                        yield re.escape(CALLS[node.func.id]) + key, f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in (ROOT / room).rglob("*.html"):
            for key in re.findall(r"""\bt\(["']([\w.-]+)["']""", path.read_text("utf-8")):
                yield re.escape(key), str(path.relative_to(ROOT))


def patterns(node: ast.expr) -> list[str]:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return [re.escape(node.value)]
    if isinstance(node, ast.IfExp):
        return [*patterns(node.body), *patterns(node.orelse)]
    if isinstance(node, ast.JoinedStr):
        parts = [re.escape(str(part.value)) if isinstance(part, ast.Constant) else ".+" for part in node.values]
        return ["".join(parts)]
    return []


def test_every_sentence_that_the_code_asks_for_is_there() -> None:
    keys = [key for catalogue in ENGLISH.values() for key in catalogue]
    for pattern, where in asked_for():
        assert any(re.fullmatch(pattern, key) for key in keys), f"{where}: {pattern}"


def test_every_sentence_is_asked_for() -> None:
    wanted = {pattern for pattern, _ in asked_for()}
    for room in ("core", "bot", "web"):
        for path in (ROOT / room).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                if isinstance(node, ast.expr):
                    wanted |= {pattern for pattern in patterns(node) if re.match(r"(bot|web|error|note)\\\.", pattern)}
    for catalogue in ENGLISH.values():
        for key in catalogue:
            assert any(re.fullmatch(pattern, key) for pattern in wanted), key
