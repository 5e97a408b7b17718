"""Generate the shipped mel filterbank: `python -m training.filterbank`.

librosa's Slaney filters (Slaney, Auditory Toolbox, 1998) are stored in a file that `core.audio.spectrogram` reads, so
that serving needs neither librosa nor an implementation of its own.
"""

import numpy as np
from librosa.filters import mel

from core.audio.spectrogram import FILTERBANK_FILE, FloatArray
from core.constants import FMAX, FMIN, N_FFT, N_MELS, SAMPLE_RATE


def mel_filterbank() -> FloatArray:
    """Return the filters as float32 `(N_MELS, N_FFT // 2 + 1)`, area-normalised."""
    filters: FloatArray = mel(sr=SAMPLE_RATE, n_fft=N_FFT, n_mels=N_MELS, fmin=FMIN, fmax=FMAX)
    return filters


if __name__ == "__main__":
    np.savez_compressed(FILTERBANK_FILE, filters=mel_filterbank())
