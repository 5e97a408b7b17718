from pathlib import Path

import pytest

from tests.support.audio import make_song, write_wav
from training.data.distort import DISTORTIONS, distort
from training.data.features import log_mel_from_file


@pytest.mark.parametrize("name", DISTORTIONS)
def test_a_distorted_copy_can_be_decoded_and_is_as_long_as_expected(name: str, tmp_path: Path) -> None:
    path = write_wav(tmp_path / "song.wav", make_song(30))
    (tmp_path / "copies").mkdir()
    copy = log_mel_from_file(distort(path, DISTORTIONS[name], tmp_path / "copies"))
    expected = 125 if name == "long-recording" else 30
    assert copy.duration == pytest.approx(expected, abs=0.3)
    assert not copy.is_silent()
    if name in ("telephone", "mp3-32", "phone-recording"):
        before, after = log_mel_from_file(path).section_db(0), copy.section_db(0)
        assert (after[115:] - before[115:]).mean() < -5, "the upper bands are lost"
