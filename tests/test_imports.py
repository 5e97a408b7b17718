"""Imports point down and never in a circle, only training loads TensorFlow, and core knows nothing of its faces.

Every import counts, also one inside a function or under `TYPE_CHECKING`. The rules are functions that list violations,
so that the last tests here can show that each of them finds one.
"""

import ast
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from tests.support.data import ROOT

MAY_IMPORT = {
    "core": {"core"},
    "bot": {"bot", "core"},
    "web": {"web", "core"},
    "training": {"training", "core"},
    "genregenie": {"bot", "core", "training", "web"},
}
"""Package → packages of this project that it may import; those that are not listed may import anything."""

FACES = {"bot", "training", "web"}
"""What `genregenie.py` may import only inside functions, so that each command loads no more than it needs."""

HEAVY = {"tensorflow", "keras", "librosa", "numba", "matplotlib", "sklearn"}
MAY_BE_HEAVY = {"training", "tests", "benchmarks"}

SCALE = {"procrastinate", "psycopg", "psycopg_pool"}
"""What only `core.queue` needs; nothing imports that at its top, so that one machine does without."""

EXCEPTIONS = {
    ("tests.discord_server.gateway", "tests.discord_server.world"): "the type of the object that it is a part of",
}
"""(importing module, imported module) → why this arrow may close a circle."""

FACES_WORDS = {
    "a face's sentence": r"^(bot|web)\.[a-z][\w.-]*$",
    "a Discord token": r"DISCORD_TOKEN|\b(webhooks|interactions)\b",
    "a database URL": r"database_url|\b(sqlite|postgres\w*)(\+\w+)?:/",
    "a face's logger": r"^(alembic|discord|sqlalchemy)$",
}
"""What core must not contain, as patterns for its strings and names."""


@dataclass(frozen=True, slots=True)
class Arrow:
    """An import of one module by another; `top` if it runs when the importing module is loaded."""

    source: str
    target: str
    top: bool


def python_files(root: Path) -> Iterator[Path]:
    """All modules of the project, without hidden folders and virtual environments."""
    yield from root.glob("*.py")
    for folder in sorted(root.iterdir()):
        if folder.is_dir() and not folder.name.startswith(".") and not (folder / "pyvenv.cfg").exists():
            yield from folder.rglob("*.py")


def parsed(root: Path) -> dict[str, ast.Module]:
    """Modules by name; a package has its own name, without `__init__`."""
    modules = {}
    for path in python_files(root):
        name = ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__")
        modules[name] = ast.parse(path.read_text("utf-8"))
    return modules


def arrows(modules: Mapping[str, ast.Module]) -> list[Arrow]:
    """All imports, of other projects too."""
    return [arrow for name, tree in modules.items() for arrow in _arrows(name, tree, modules, top=True)]


def _arrows(name: str, node: ast.AST, modules: Mapping[str, ast.Module], *, top: bool) -> Iterator[Arrow]:
    if isinstance(node, ast.Import):
        for alias in node.names:
            yield Arrow(name, alias.name, top)
    elif isinstance(node, ast.ImportFrom):
        assert not node.level, f"{name}: a relative import, which these rules do not follow"
        for alias in node.names:
            submodule = f"{node.module}.{alias.name}"
            yield Arrow(name, submodule if submodule in modules else str(node.module), top)
    elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
        yield from (Arrow(name, arg.value, top) for arg in node.args[:1] if isinstance(arg, ast.Constant))
    lazy = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
    typing = isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")
    for child in ast.iter_child_nodes(node):
        yield from _arrows(name, child, modules, top=top and not lazy and not typing)


def package(module: str) -> str:
    return module.split(".")[0]


def wrong_directions(modules: Mapping[str, ast.Module]) -> list[str]:
    own = {package(name) for name in modules}
    found = []
    for arrow in arrows(modules):
        source, target = package(arrow.source), package(arrow.target)
        if target in own and target not in MAY_IMPORT.get(source, own):
            found.append(f"{arrow.source} imports {arrow.target}")
        if source == "genregenie" and target in FACES and arrow.top:
            found.append(f"{arrow.source} imports {arrow.target} before a command needs it")
    return found


def circle(modules: Mapping[str, ast.Module], exceptions: Mapping[tuple[str, str], str]) -> list[str]:
    """Modules of one circle, in order; empty if there is none."""
    graph: dict[str, set[str]] = {name: set() for name in modules}
    for arrow in arrows(modules):
        if arrow.target in modules and (arrow.source, arrow.target) not in exceptions:
            graph[arrow.source].add(arrow.target)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(reversed(error.args[1]))
    return []


def heavy_imports(modules: Mapping[str, ast.Module]) -> list[str]:
    return [
        f"{arrow.source} imports {arrow.target}"
        for arrow in arrows(modules)
        if package(arrow.target) in HEAVY and package(arrow.source) not in MAY_BE_HEAVY
    ]


MAY_USE_SCALE = ("core.queue", "bot.storage.move")
"""Imported by nothing at its top: what several machines need may not be installed."""


def scale_imports(modules: Mapping[str, ast.Module]) -> list[str]:
    return [
        f"{arrow.source} imports {arrow.target}"
        for arrow in arrows(modules)
        if package(arrow.source) not in MAY_BE_HEAVY
        and not arrow.source.startswith(MAY_USE_SCALE)
        and (package(arrow.target) in SCALE or (arrow.top and arrow.target.startswith(MAY_USE_SCALE)))
    ]


def words(tree: ast.Module) -> Iterator[str]:
    """Strings and names of a module."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value
        elif isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.arg | ast.keyword):
            yield node.arg or ""


def faces_in_core(modules: Mapping[str, ast.Module]) -> list[str]:
    return [
        f"{name} contains {what}: {word!r}"
        for name, tree in modules.items()
        if package(name) == "core"
        for word in words(tree)
        for what, pattern in FACES_WORDS.items()
        if re.search(pattern, word, re.IGNORECASE)
    ]


@pytest.fixture(scope="module")
def modules() -> dict[str, ast.Module]:
    return parsed(ROOT)


def test_imports_point_down(modules: dict[str, ast.Module]) -> None:
    assert wrong_directions(modules) == []


def test_there_are_no_circles(modules: dict[str, ast.Module]) -> None:
    assert circle(modules, EXCEPTIONS) == []


def test_every_exception_is_still_needed(modules: dict[str, ast.Module]) -> None:
    for exception in EXCEPTIONS:
        assert circle(modules, {other: why for other, why in EXCEPTIONS.items() if other != exception})


def test_only_training_tests_and_benchmarks_load_heavy_libraries(modules: dict[str, ast.Module]) -> None:
    assert heavy_imports(modules) == []


def test_the_queue_is_imported_only_where_there_is_one(modules: dict[str, ast.Module]) -> None:
    assert scale_imports(modules) == []
    for source in ("from core.queue.asker import open_queue", "def f():\n    import psycopg"):
        assert scale_imports(made_up(bot__a=source, core__queue__asker="")) != []


def test_core_does_not_know_its_faces(modules: dict[str, ast.Module]) -> None:
    assert faces_in_core(modules) == []
    texts = [path for path in (ROOT / "core").rglob("*") if path.suffix in (".json", ".po", ".toml", ".yaml")]
    assert [path for path in texts if re.search(r'"(bot|web)\.', path.read_text("utf-8"))] == []


# ---- The rules find violations


def made_up(**sources: str) -> dict[str, ast.Module]:
    """Modules of a small project; `bot__app` is `bot.app`."""
    return {name.replace("__", "."): ast.parse(source) for name, source in sources.items()}


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("core__a", "import bot.b"),
        ("core__a", "from tests.b import b"),
        ("core__a", "def f():\n    from web.b import b"),
        ("core__a", "import importlib\nimportlib.import_module('training.b')"),
        ("bot__a", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from web.b import b"),
        ("web__a", "import training.b as b"),
        ("training__a", "from bot import b"),
        ("genregenie", "from bot.b import b"),
    ],
)
def test_a_wrong_direction_is_found(name: str, source: str) -> None:
    others = made_up(bot__b="", web__b="", training__b="", tests__b="", core__c="")
    assert wrong_directions(others | made_up(**{name: source})) != []


def test_right_directions_are_none_of_them() -> None:
    small = made_up(
        core__a="import json\nfrom core.b import b",
        core__b="",
        bot__a="from core import a",
        tests__a="import bot.a, web.a, core.a",
        web__a="",
        genregenie="import core.a\ndef main():\n    import bot.a",
    )
    assert wrong_directions(small) == []
    assert circle(small, {}) == []


@pytest.mark.parametrize(
    "back",
    [
        "from core.a import a",
        "from core import a",
        "def f():\n    import core.a",
        "import typing\nif typing.TYPE_CHECKING:\n    from core.a import A",
    ],
)
def test_a_circle_is_found_unless_it_is_an_exception(back: str) -> None:
    small = made_up(core__a="from core.b import b", core__b="from core.c import c", core__c=back)
    assert set(circle(small, {})) == {"core.a", "core.b", "core.c"}
    assert circle(small, {("core.c", "core.a"): "shows that exceptions work"}) == []


@pytest.mark.parametrize("source", ["import librosa", "def f():\n    from keras import layers", "import sklearn.svm"])
def test_a_heavy_import_is_found(source: str) -> None:
    assert heavy_imports(made_up(bot__a=source)) != []
    assert heavy_imports(made_up(training__a=source)) == []


@pytest.mark.parametrize(
    "source",
    [
        "translate('bot.reply.footer')",
        "key = f'web.step.{step}'",
        "TOKEN = re.compile(r'(/(?:webhooks|interactions)/\\d+/)[^/]+')",
        "field(alias='DISCORD_TOKEN')",
        "class Settings:\n    database_url: str | None = None",
        "url = 'sqlite+aiosqlite:///' + path",
        "LOGGERS = ('asyncio', 'discord')",
    ],
)
def test_a_face_in_core_is_found(source: str) -> None:
    assert faces_in_core(made_up(core__a=source)) != []
    assert faces_in_core(made_up(bot__a=source)) == []
