"""What a visitor can do with an answer, on the page as a process."""

import json
import re
import secrets
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from core.i18n.catalog import translate
from tests.support.processes import wait_until
from tests.web.page import PageProcess
from tests.web.test_page import WAIT_S, start, upload

pytestmark = pytest.mark.xdist_group("web")

FINGERPRINT = re.compile(r"[0-9a-f]{64}")


@pytest.fixture(scope="module")
def client(page: PageProcess) -> httpx.Client:
    return httpx.Client(base_url=page.address, timeout=WAIT_S)


def answered(client: httpx.Client, job: str, silent: int = 0) -> dict[str, object]:
    """Wait for an answer, as a tab that polls."""

    def ask() -> dict[str, object]:
        return client.get(f"/en/jobs/{job}", params={"silent": silent}).json()

    wait_until(lambda: ask()["state"] not in ("working",), WAIT_S, "the answer")
    return ask()


@pytest.fixture(scope="module")
def job(client: httpx.Client, long_song: Path) -> str:
    """Key of the answer about the long song."""
    key = start(client, {"song": upload(client, long_song)})
    assert answered(client, key)["state"] == "done"
    return key


def verdict(client: httpx.Client, job: str) -> dict[str, object]:
    return client.get(f"/en/jobs/{job}/result.json").json()


def test_another_part_and_the_whole_song_need_no_second_upload(
    client: httpx.Client, job: str, page: PageProcess
) -> None:
    assert page.temporary_files() == []
    first = verdict(client, job)
    part = start(client, {"of": job, "start": 1.5})
    assert answered(client, part)["state"] == "done"
    assert verdict(client, part)["section"]["start"] == pytest.approx(1.5, abs=0.05)
    whole = start(client, {"of": part, "whole": True})
    answer = answered(client, whole)
    assert translate("web.heard-whole", duration="x").partition(",")[0] in str(answer["verdict"])
    everything = verdict(client, whole)
    assert everything["section"]["start"] == 0
    assert len(everything["segments"]) > len(first["segments"])
    assert {verdict(client, key)["source"] for key in (job, part, whole)} == {first["source"]}


@pytest.mark.parametrize("start_at", [-1, "1:30", True, None, 10**9])
def test_a_time_that_is_none_asks_for_the_main_section(client: httpx.Client, job: str, start_at: object) -> None:
    again = start(client, {"of": job, "start": start_at})
    assert answered(client, again)["state"] == "done"
    assert verdict(client, again)["section"] == verdict(client, job)["section"]


@pytest.mark.parametrize("have", ["²", "-1", "", "٣"])
def test_a_count_that_is_none_counts_as_nothing(client: httpx.Client, job: str, have: str) -> None:
    answer = client.get(f"/en/jobs/{job}", params={"have": have})
    assert (answer.status_code, answer.json()["state"]) == (200, "done")


def test_a_part_of_what_is_not_known_is_not_found(client: httpx.Client) -> None:
    assert answered(client, start(client, {"of": "never", "whole": True}))["code"] == "not-found"


def test_the_json_is_that_of_the_command_line(client: httpx.Client, job: str, long_song: Path) -> None:
    response = client.get(f"/en/jobs/{job}/result.json")
    assert re.fullmatch(r'attachment; filename="[\w. -]+-genre\.json"', response.headers["Content-Disposition"])
    given = response.json()
    assert given["source"] == long_song.name
    assert {"duration", "votes", "probabilities", "section", "segments", "model", "elapsed"} <= set(given)


def test_the_picture_is_drawn_in_the_visitor_s_language(client: httpx.Client, job: str) -> None:
    english, spanish = (client.get(f"/{locale}/jobs/{job}/votes.png") for locale in ("en", "es"))
    assert english.headers["Content-Type"] == "image/png"
    assert "attachment" in english.headers["Content-Disposition"]
    assert english.content.startswith(b"\x89PNG")
    assert spanish.content.startswith(b"\x89PNG")


def test_a_correction_is_kept_without_a_word_about_who_said_it(
    client: httpx.Client, job: str, page: PageProcess
) -> None:
    said = client.post(f"/es/jobs/{job}/correction", json={"genre": "jazz"})
    assert said.json()["text"] == translate("web.correct.thanks", "es", genre=translate("genre.jazz", "es"))
    assert client.post(f"/en/jobs/{job}/correction", json={"genre": "none"}).status_code == 200
    kept = page.data / "page-corrections.jsonl"
    assert kept.stat().st_mode & 0o077 == 0
    first, second = map(json.loads, kept.read_text("utf-8").splitlines()[-2:])
    assert set(first) == {"answer", "sha256", "predicted", "corrected", "model", "corrected_at"}
    assert (first["corrected"], second["corrected"]) == ("jazz", "none")
    assert first["answer"] == second["answer"]
    assert FINGERPRINT.fullmatch(first["sha256"])
    assert job not in kept.read_text("utf-8")
    assert client.post(f"/en/jobs/{job}/correction", json={"genre": "polka"}).status_code == 400
    assert client.post(f"/en/jobs/{job}/correction", json={"genre": "pop"}).status_code == 200
    assert client.post(f"/en/jobs/{job}/correction", json={"genre": "pop"}).status_code == 429  # enough of one answer


def test_a_shared_answer_is_seen_without_its_sound_until_it_is_taken_back(
    client: httpx.Client, job: str, page: PageProcess, long_song: Path
) -> None:
    shared = client.post(f"/en/jobs/{job}/share").json()
    assert client.post(f"/en/jobs/{job}/share").json() == shared  # once
    assert answered(client, job)["details"].count(shared["path"]) == 1
    seen = client.get(shared["path"].replace("/en/", "/es/"))
    assert (seen.status_code, seen.headers["X-Robots-Tag"]) == (200, "noindex, nofollow")
    assert '<meta name="robots" content="noindex, nofollow">' in seen.text
    assert long_song.name in seen.text
    assert not re.search(r"<audio|data-play|/jobs/", seen.text)
    assert job not in seen.text
    assert not re.findall(r"<script(?![^>]*\ssrc=)|<style|\sstyle=|\son\w+=", seen.text)
    assert client.get(f"{shared['path']}/spectrogram.png").content.startswith(b"\x89PNG")
    (file,) = (page.data / "page-shared").iterdir()
    assert file.stat().st_mode & 0o077 == 0
    assert shared["token"] not in file.name + file.read_text("utf-8")
    assert shared["secret"] not in file.read_text("utf-8")
    assert client.post(f"{shared['path']}/end", json={"secret": "guessed"}).status_code == 403
    assert client.get(shared["path"]).status_code == 200
    assert client.post(f"{shared['path']}/end", json={"secret": shared["secret"]}).status_code == 204
    assert client.get(shared["path"]).status_code == 404
    assert not list((page.data / "page-shared").iterdir())
    assert shared["path"] not in answered(client, job)["details"]


def test_an_answer_that_is_shared_twice_at_once_is_shared_once(
    client: httpx.Client, job: str, page: PageProcess
) -> None:
    with ThreadPoolExecutor(8) as threads:
        shared = list(threads.map(lambda _: client.post(f"/en/jobs/{job}/share").json(), range(8)))
    assert shared == [shared[0]] * 8
    assert len(list((page.data / "page-shared").iterdir())) == 1
    refused = client.post(f"/es/shared/{shared[0]['token']}/end", json={"secret": "guessed"})
    assert (refused.status_code, refused.json()) == (403, {"error": translate("web.share.refused", "es")})
    assert client.post(f"{shared[0]['path']}/end", json={"secret": shared[0]["secret"]}).status_code == 204


def test_an_address_that_nobody_shared_shows_nothing(client: httpx.Client) -> None:
    seen = client.get(f"/en/shared/{secrets.token_urlsafe(16)}")
    assert seen.status_code == 404
    assert translate("web.shared.gone") in seen.text


def test_a_link_s_song_can_be_played_in_parts(
    client: httpx.Client, page: PageProcess, song: Path, song_link: str
) -> None:
    key = start(client, {"link": song_link})
    answer = answered(client, key, silent=1)
    content = song.read_bytes()
    whole = client.get(answer["sound"])
    assert (whole.status_code, whole.headers["Content-Type"]) == (206, "audio/wav")
    assert whole.headers["Content-Disposition"] == "attachment"
    assert whole.headers["Content-Range"] == f"bytes 0-{len(whole.content) - 1}/{len(content)}"
    assert content.startswith(whole.content)
    part = client.get(answer["sound"], headers={"Range": "bytes=1000-1999"})
    assert part.content == content[1000:2000]
    assert client.get(answer["sound"], headers={"Range": f"bytes={len(content)}-"}).status_code == 416
    assert "data-play" in answer["details"]
    assert page.temporary_files(kept=True) == ["sound"]


def test_whoever_sees_a_shared_link_s_answer_does_not_read_where_it_leads(
    client: httpx.Client, page: PageProcess, song_link: str
) -> None:
    key = start(client, {"link": f"{song_link}?signature=hush"})
    assert "hush" in answered(client, key, silent=1)["verdict"]  # its visitor can open it
    shared = client.post(f"/en/jobs/{key}/share").json()
    seen = client.get(shared["path"])
    assert seen.status_code == 200
    (file,) = (page.data / "page-shared").iterdir()
    assert "hush" not in seen.text + file.read_text("utf-8")
    assert client.post(f"{shared['path']}/end", json={"secret": shared["secret"]}).status_code == 204


def test_what_was_uploaded_is_not_kept(client: httpx.Client, job: str) -> None:
    assert answered(client, job)["sound"] is None
    assert client.get(f"/en/jobs/{job}/sound").status_code == 404
