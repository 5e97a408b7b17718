"""Verdicts without a song."""

from core.verdict import Elapsed, ModelName, Section, Segment, Verdict, tally


def make_verdict(*segments: Segment, model: str = "genie", source: str = "song.mp3") -> Verdict:
    """What is heard in a song whose segments are these."""
    genre, votes, mean = tally(segments)
    return Verdict(
        source=source,
        title=None,
        duration=215.3012,
        music=None,
        genre=genre,
        votes=votes,
        probabilities=mean,
        section=Section(62.0, 92.0),
        segments=segments,
        model=ModelName(model, "1", "00" * 32),
        elapsed=Elapsed(0.0, 0.21, 0.09, 0.03, 0.34),
    )
