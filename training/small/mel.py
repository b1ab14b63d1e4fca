"""CLAP's log-mel front end, as the daemon computes it: 48 kHz mono in, 10 * log10 power in 64 mel bins every 10 ms out."""

import numpy as np
import torch

RATE, WINDOW, HOP, BINS, LOW, HIGH = 48_000, 1024, 480, 64, 50.0, 14_000.0
CLIP = RATE  # samples of one clip: 1 s
FRAMES = CLIP // HOP + 1


def filters() -> torch.Tensor:
    """[513, 64]: triangles on the HTK mel scale, each with its peak at 1."""
    to_mel = lambda hz: 2595 * np.log10(1 + hz / 700)
    edges = 700 * (10 ** (np.linspace(to_mel(LOW), to_mel(HIGH), BINS + 2) / 2595) - 1)
    hz = np.linspace(0, RATE / 2, WINDOW // 2 + 1)[:, None]
    rise = (hz - edges[:-2]) / (edges[1:-1] - edges[:-2])
    fall = (edges[2:] - hz) / (edges[2:] - edges[1:-1])
    return torch.tensor(np.clip(np.minimum(rise, fall), 0, None), dtype=torch.float32)


_FILTERS, _HANN = filters(), torch.hann_window(WINDOW)


def log_mel(samples: np.ndarray) -> torch.Tensor:
    """[clips, samples] in -1..1 -> [clips, samples // 480 + 1, 64]."""
    x = torch.trunc(torch.tensor(np.clip(samples, -1, 1), dtype=torch.float32) * 32767) / 32767
    spectrum = torch.stft(x, WINDOW, HOP, window=_HANN, center=True, pad_mode="reflect", return_complex=True)
    power = spectrum.real**2 + spectrum.imag**2
    return 10 * torch.log10(torch.clamp(power.transpose(1, 2) @ _FILTERS, min=1e-10))


def clips(track: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """Clips of 1 s from `starts` (samples; outside the track is silence), [n, 48000]."""
    padded = np.concatenate([np.zeros(CLIP, np.float32), track, np.zeros(CLIP, np.float32)])
    return np.stack([padded[s + CLIP : s + 2 * CLIP] for s in starts])
