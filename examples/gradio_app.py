"""The classifier on Gradio's own components, for instance on a Space: `python examples/gradio_app.py`.

Needs the extra `gradio`: `pip install -e ".[gradio]"` in the project's folder. The page of `genregenie web` does more,
and can be opened to strangers: it fetches links through a guarded proxy, and gives every visitor a share of a queue.
"""

import io
from functools import cache
from pathlib import Path

import gradio as gr
from PIL import Image

from core.audio.decode import DecodeLimits
from core.constants import GENRES
from core.errors import GenreGenieError
from core.i18n.catalog import error_sentence, translate
from core.inference.pipeline import ClassifyOptions, Models, classify_file
from core.settings import Settings

DEMO = Path(__file__).with_name("demo.ogg")
COLUMNS = ["from (s)", "to (s)", "genre", "probability"]


@cache
def models() -> Models:
    """Models, each loaded when it is first asked for."""
    return Models()


def classify(path: str | None, whole: bool) -> tuple[dict[str, float], Image.Image, list[list[object]]]:
    """Classify a song.

    Returns:
        The probabilities by genre, the votes over the spectrogram, and a row a segment.

    Raises:
        gr.Error: there is no verdict; Gradio shows why.
    """
    if path is None:
        raise gr.Error("Choose or record a song first.")
    settings = Settings()
    limits = DecodeLimits(settings.max_file_bytes, settings.max_duration_s, settings.job_timeout_s)
    options = ClassifyOptions(settings.model, whole=whole, picture=True)
    try:
        result = classify_file(Path(path), options, models=models(), limits=limits)
    except GenreGenieError as error:
        raise gr.Error(error_sentence(error)) from None
    prediction = result.prediction
    names = {translate(f"genre.{genre}"): prediction.probability(genre) for genre in GENRES}
    rows: list[list[object]] = [
        [round(one.start, 1), round(one.end, 1), translate(f"genre.{one.genre}"), round(one.probability, 2)]
        for one in prediction.segments
    ]
    return names, Image.open(io.BytesIO(result.picture or b"")), rows


def build() -> gr.Blocks:
    """Make the page."""
    with gr.Blocks(title="GenreGenie", analytics_enabled=False) as page:
        gr.Markdown(f"# GenreGenie\n{translate('web.tagline')}")
        with gr.Row():
            song = gr.Audio(type="filepath", label="Song")
            genres = gr.Label(num_top_classes=5, label="Genre")
        whole = gr.Checkbox(label="Vote over the whole song")
        go = gr.Button("Classify", variant="primary")
        picture = gr.Image(label="Votes over the mel spectrogram", format="png")
        segments = gr.Dataframe(headers=COLUMNS, label="Segments", interactive=False)
        gr.Examples([[str(DEMO), False]], inputs=[song, whole])
        go.click(classify, [song, whole], [genres, picture, segments])
    return page


if __name__ == "__main__":
    build().launch()
