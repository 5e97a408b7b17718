"""A worker while it has nothing to do."""

import io
import threading

import pytest

from core.audio.cancel import CancelToken
from core.inference.pipeline import ClassifyOptions
from core.workers import worker as module
from core.workers.protocol import ClassifySpectrogram
from core.workers.worker import Worker
from tests.support.processes import wait_until


def test_models_that_only_some_ask_for_are_given_back_while_nobody_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "IDLE_S", 0.05)
    returned = threading.Event()
    monkeypatch.setattr(module, "return_memory", returned.set)
    worker = Worker(io.BytesIO(), io.BytesIO(), "genie")
    own = worker._models.genre()
    worker._models.keep()
    plain = worker._models.genre("plain")
    found: list[object] = []
    waiting = threading.Thread(target=lambda: found.append(worker._next_job()))
    waiting.start()
    wait_until(returned.is_set, 30, "the models are given back")
    job = ClassifySpectrogram(b"", ClassifyOptions()), CancelToken()
    worker._jobs.put(job)
    waiting.join(30)
    assert found == [job]
    assert worker._models.genre() is own
    assert worker._models.genre("plain") is not plain
