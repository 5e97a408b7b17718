"""What `doctor` says of links."""

from pathlib import Path

import pytest

from core import doctor
from core.fetch import ytdlp_install


def links() -> tuple[doctor.Check, doctor.Check]:
    ytdlp, runtime = doctor._links()
    return ytdlp, runtime


def fake_deno(folder: Path, script: str) -> str:
    path = folder / "deno"
    path.write_text(f"#!/bin/sh\n{script}\n", "ascii")
    path.chmod(0o755)
    return str(path)


def test_no_javascript_runtime_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ytdlp_install, "javascript_runtime", lambda: None)
    _, runtime = links()
    assert not runtime.ok
    assert "YouTube" in runtime.what
    assert ytdlp_install.UPDATE in str(runtime.remedy)


@pytest.mark.parametrize(
    ("script", "ok"), [("echo 'deno 2.9.8 (stable)'", True), ("exit 1", False), ("echo 'something else'", False)]
)
def test_a_javascript_runtime_counts_if_it_starts(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, script: str, ok: bool
) -> None:
    path = fake_deno(tmp_path, script)
    monkeypatch.setattr(ytdlp_install, "javascript_runtime", lambda: path)
    _, runtime = links()
    assert runtime.ok is ok
    assert ("2.9.8" in runtime.what) is ok
    assert (runtime.remedy is None) is ok


@pytest.mark.parametrize(("age", "is_old"), [(60, False), (61, True)])
def test_an_old_yt_dlp_works_and_gets_a_remedy(monkeypatch: pytest.MonkeyPatch, age: int, is_old: bool) -> None:
    monkeypatch.setattr(ytdlp_install, "ytdlp_version", lambda: ("2026.01.01", age))
    ytdlp, _ = links()
    assert ytdlp.ok
    assert (ytdlp_install.UPDATE in str(ytdlp.remedy)) is is_old


def test_no_yt_dlp_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ytdlp_install, "ytdlp_version", lambda: None)
    ytdlp, _ = links()
    assert not ytdlp.ok
