from pathlib import Path

import numpy as np
import pytest

from tests.support.audio import make_song, write_wav
from training.data.distort import DISTORTIONS, INAUDIBLE, distort
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


@pytest.mark.parametrize("name", INAUDIBLE)
def test_an_inaudible_change_keeps_what_each_channel_holds(name: str) -> None:
    song = make_song(3)
    changed = INAUDIBLE[name].apply(song)
    assert changed.shape == (song.size, 2)
    assert changed.dtype == np.float32
    assert not np.array_equal(changed, np.stack((song, song), axis=1))
    audible = slice(3 * 30, None)  # from 30 Hz on
    before = np.abs(np.fft.rfft(song))[audible]
    for channel in changed.T:
        after = np.abs(np.fft.rfft(channel))[audible]
        assert np.corrcoef(before, after)[0, 1] > 0.99
