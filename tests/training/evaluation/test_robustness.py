import json
from pathlib import Path

import numpy as np
import pytest

from tests.support.audio import make_song, write_wav
from training.data.distort import DISTORTIONS, INAUDIBLE
from training.data.gtzan import DataError, track_mel
from training.evaluation.robustness import measure_inaudible, measure_robustness


def test_robustness_counts_correct_and_unchanged_predictions(tmp_path: Path, model: Path) -> None:
    (tmp_path / "audio" / "pop").mkdir(parents=True)
    write_wav(tmp_path / "audio" / "pop" / "pop.00003.wav", make_song(30))
    write_wav(tmp_path / "audio" / "pop" / "pop.00004.wav", make_song(30))
    for subset, names in (("valid", ["pop/pop.00003.wav"]), ("test", []), ("train", ["pop/pop.00004.wav"])):
        (tmp_path / f"{subset}_filtered.txt").write_text("\n".join(names))
    mel = track_mel(tmp_path / "audio" / "pop" / "pop.00003.wav")
    np.savez(tmp_path / "mel.npz", mel=np.stack([mel]), track=np.array(["pop.00003"]))
    folders = (tmp_path / "audio", tmp_path, tmp_path / "figures", tmp_path / "mel.npz")
    rows = measure_robustness(str(model), *folders)
    assert [row["distortion"] for row in rows] == ["none", *DISTORTIONS, "archive"]
    assert rows[-1]["same"] == 1
    assert rows[-1]["correct"] == rows[0]["correct"]
    assert {row["songs"] for row in rows} == {1}
    assert rows[0]["same"] == 1
    assert [row for row in rows if row["distortion"] == "one-side"][0]["same"] == 1
    assert json.loads((tmp_path / "figures" / "robustness-small.json").read_text())["lists"] == {"valid": 1, "test": 0}
    np.savez(tmp_path / "mel.npz", mel=np.stack([mel]), track=np.array(["pop.00004"]))
    with pytest.raises(DataError, match=r"lacks pop\.00003"):
        measure_robustness(str(model), *folders)


def test_what_nobody_hears_is_measured_on_every_track(tmp_path: Path, model: Path) -> None:
    (tmp_path / "pop").mkdir()
    for number in (3, 4):
        write_wav(tmp_path / "pop" / f"pop.0000{number}.wav", make_song(6, seed=number))
    (tmp_path / "pop" / "pop.00005.wav").write_bytes(b"RIFF but nothing that follows it")
    write_wav(tmp_path / "jazz.00054.wav", make_song(6))
    rows = measure_inaudible(str(model), tmp_path, tmp_path / "figures")
    assert [row["distortion"] for row in rows] == ["none", *INAUDIBLE]
    assert {row["songs"] for row in rows} == {3}
    assert {row["same"] for row in rows if row["distortion"] in ("none", "anti-phase", "float-x4")} == {3}
    assert rows[0]["refused"] == 1
    assert (tmp_path / "figures" / "inaudible-small.json").is_file()
