"""What travels between an asker and a worker."""

import json

import pytest

from core.errors import ErrorCode, GenreGenieError
from core.inference.pipeline import ClassifyOptions, Step
from core.queue.messages import (
    KeptSong,
    Notice,
    QueuedRequest,
    answer_to_bytes,
    read_answer,
    read_request,
    request_to_dict,
)
from core.service.sources import AttachmentSource, LinkSource
from core.verdict import Segment
from tests.support.verdicts import make_prediction

PREDICTION = make_prediction(
    *(
        Segment(3.0 * i, 3.0 * i + 3, tuple(0.82 if j == genre else 0.02 for j in range(10)))
        for i, genre in enumerate((9, 9, 2))
    )
)


def test_what_travels_arrives_as_it_was() -> None:
    options = ClassifyOptions(whole=True, locale="es", max_duration_s=90)
    for source in (AttachmentSource("https://x/y", "y", 7), LinkSource("https://x/y"), KeptSong("ab" * 32, "y")):
        request = QueuedRequest("key", "asker", "7", "digest", source, options, asked_at=1.5)
        assert read_request(request_to_dict(request)) == request
    drawn = QueuedRequest("key", "asker", "7", "digest", KeptSong("ab" * 32, "y"), options, prediction=PREDICTION)
    travelled = json.loads(json.dumps(request_to_dict(drawn), sort_keys=True))  # as the database would
    assert read_request(travelled) == drawn
    assert list(read_request(travelled).prediction.votes) == list(PREDICTION.votes)  # type: ignore[union-attr]
    error = read_answer(answer_to_bytes(GenreGenieError(ErrorCode.TOO_LONG, limit_minutes="30")))
    assert isinstance(error, GenreGenieError)
    assert (error.code, error.params) == (ErrorCode.TOO_LONG, {"limit_minutes": "30"})
    for notice in (Notice("key"), Notice("key", Step.DECODING, 0.25)):
        assert Notice.from_payload(notice.to_payload()) == notice


@pytest.mark.parametrize(
    "change",
    [{"source": {"kind": "PathSource", "path": "/etc/passwd"}}, {"source": {"kind": "LinkSource", "url": 1}}]
    + [{"options": {"whole": "yes"}}, {"options": {"none": 1}}, {"key": 1}, {"crashes": "1"}, {"more": 1}]
    + [{"prediction": "{}"}, {"prediction": json.dumps(PREDICTION.to_dict())}],
)
def test_a_job_that_is_none_is_refused(change: dict[str, object]) -> None:
    request = QueuedRequest("key", "asker", "7", "digest", LinkSource("https://x/y"), ClassifyOptions())
    with pytest.raises(ValueError, match="job|number|true|text|prediction"):
        read_request(request_to_dict(request) | change)
