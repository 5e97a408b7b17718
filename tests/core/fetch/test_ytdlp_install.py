"""The installed yt-dlp and its JavaScript runtime."""

from pathlib import Path

import pytest

from core.fetch import ytdlp_install
from tests.support.data import ROOT


def test_the_version_gives_its_age() -> None:
    found = ytdlp_install.ytdlp_version()
    assert found is not None
    version, age = found
    assert version[:4].isdigit()
    assert age >= 0


def test_deno_is_found_where_it_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(ytdlp_install.sysconfig, "get_path", lambda name: str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    assert ytdlp_install.javascript_runtime() is None
    deno = tmp_path / "deno"
    deno.write_text("#!/bin/sh\n", "ascii")
    deno.chmod(0o755)
    assert ytdlp_install.javascript_runtime() == str(deno)


def test_the_pins_bring_a_runtime_that_starts() -> None:
    deno = pytest.importorskip("deno", reason="there is no deno for this platform")
    assert deno
    path = ytdlp_install.javascript_runtime()
    assert path is not None
    assert (ytdlp_install.javascript_runtime_version(path) or "").count(".") == 2
    pins = {path.name: path.read_text("utf-8") for path in (ROOT / "requirements").glob("*.txt")}
    assert [name for name, text in pins.items() if "\ndeno==" not in text] == []
