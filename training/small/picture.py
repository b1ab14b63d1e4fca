"""Backgrounds and sprites: what a scene looks like at a time. All sizes in pixels, images RGB or RGBA."""

import io
from functools import lru_cache

import numpy as np
from PIL import Image, ImageEnhance

from classes import STAMPS, decor

WIDTH, HEIGHT = 640, 360
MARGIN = 60  # the background is larger than the picture by this much on each side, so that the camera can pan
TRAIN_FAMILIES = ("gradient", "clouds", "stripes", "checker", "landscape", "blobs", "grain")
HELD_OUT_FAMILIES = ("rays", "mosaic")


@lru_cache(maxsize=256)
def load_picture(path: str) -> Image.Image:
    """RGBA picture cropped to what is not transparent, at most 400 px on its longer side."""
    full = STAMPS / path
    if full.suffix == ".svg":
        import cairosvg

        # Some stamps declare entities, which cairosvg takes from trusted files only.
        image = Image.open(io.BytesIO(cairosvg.svg2png(url=str(full), output_width=500, unsafe=True)))
    else:
        image = Image.open(full)
    image = image.convert("RGBA")
    box = image.getchannel("A").point(lambda a: 255 if a > 16 else 0).getbbox()
    image = image.crop(box) if box else image
    image.thumbnail((400, 400), Image.LANCZOS)
    return image


def _colour(rng) -> np.ndarray:
    """A colour of any hue, from greyish to saturated."""
    base = rng.uniform(20, 235)
    return np.clip(base + rng.uniform(-1, 1, 3) * rng.uniform(5, 90), 0, 255)


def _smooth(rng, h, w, cells) -> np.ndarray:
    """Smooth noise in 0..1 with about `cells` bumps along the height."""
    small = rng.random((cells + 2, int(cells * w / h) + 2)).astype(np.float32)
    return np.asarray(Image.fromarray(small).resize((w, h), Image.BICUBIC))


def background(rng, families) -> Image.Image:
    """One random background of a random family, (HEIGHT + 2 MARGIN) x (WIDTH + 2 MARGIN)."""
    h, w = HEIGHT + 2 * MARGIN, WIDTH + 2 * MARGIN
    yy, xx = np.mgrid[0:h, 0:w].astype(np.float32)
    a, b, c = _colour(rng), _colour(rng), _colour(rng)
    family = families[rng.integers(len(families))]
    if family == "gradient":
        angle = rng.uniform(0, 2 * np.pi)
        m = (xx * np.cos(angle) + yy * np.sin(angle)) / w
        m = (m - m.min()) / np.ptp(m)
    elif family == "clouds":
        m = sum(_smooth(rng, h, w, n) / 2**i for i, n in enumerate((3, 7, 15, 31))) / 1.875
    elif family == "stripes":
        angle = rng.uniform(0, np.pi)
        m = 0.5 + 0.5 * np.sin((xx * np.cos(angle) + yy * np.sin(angle)) * 2 * np.pi / rng.uniform(20, 140))
        m = (m > 0.5).astype(np.float32) if rng.random() < 0.5 else m
    elif family == "checker":
        size = rng.uniform(25, 110)
        m = ((xx // size + yy // size) % 2).astype(np.float32)
    elif family == "landscape":
        horizon = h * rng.uniform(0.35, 0.75) + 60 * (_smooth(rng, 8, w, 2)[0] - 0.5)
        ground = (yy > horizon[None, :]).astype(np.float32)
        sky = 0.25 * yy / h
        m = np.where(ground > 0, 0.75 + 0.25 * _smooth(rng, h, w, int(rng.integers(8, 60))), sky)
    elif family == "blobs":
        m = np.zeros((h, w), np.float32)
        for _ in range(rng.integers(8, 30)):
            r = rng.uniform(10, 70)
            d = np.hypot(xx - rng.uniform(0, w), yy - rng.uniform(0, h))
            m = np.maximum(m, np.clip((r - d) / 6, 0, 1) * rng.uniform(0.3, 1))
    elif family == "grain":
        m = np.clip(0.5 + rng.normal(0, 0.2, (h, w)) + 0.6 * (_smooth(rng, h, w, 4) - 0.5), 0, 1)
    elif family == "rays":
        angle = np.arctan2(yy - rng.uniform(0, h), xx - rng.uniform(0, w))
        m = 0.5 + 0.5 * np.sin(angle * rng.integers(6, 24) + rng.uniform(0, 6))
    else:  # mosaic: the colour of the nearest of some points
        points = rng.random((rng.integers(20, 60), 2)) * (h, w)
        nearest = np.full((h, w), np.inf, np.float32)
        m = np.zeros((h, w), np.float32)
        for y, x in points:
            d = (yy - y) ** 2 + (xx - x) ** 2
            closer = d < nearest
            m[closer], nearest[closer] = rng.random(), d[closer]
    m = m[..., None]
    rgb = np.where(m < 0.5, a + (b - a) * 2 * m, b + (c - b) * (2 * m - 1))
    rgb = rgb + rng.normal(0, rng.uniform(0, 8), (h, w, 1))
    return Image.fromarray(np.clip(rgb, 0, 255).astype(np.uint8))


def sprite(path: str, rng, scale=(0.45, 0.92)) -> Image.Image:
    """A picture with random flip, size, rotation, stretch and colour; its height or width is `scale` of the scene's height."""
    image = load_picture(path)
    if rng.random() < 0.5:
        image = image.transpose(Image.FLIP_LEFT_RIGHT)
    side = rng.uniform(*scale) * HEIGHT
    factor = side / max(image.height, image.width * 0.75)
    stretch = rng.uniform(0.88, 1.14)
    image = image.resize((max(8, int(image.width * factor * stretch)), max(8, int(image.height * factor / stretch))), Image.BILINEAR)
    image = image.rotate(rng.uniform(-14, 14), Image.BILINEAR, expand=True)
    alpha = image.getchannel("A")
    rgb = image.convert("RGB")
    for enhance, spread in ((ImageEnhance.Brightness, 0.25), (ImageEnhance.Contrast, 0.25), (ImageEnhance.Color, 0.45)):
        rgb = enhance(rgb).enhance(rng.uniform(1 - spread, 1 + spread))
    tint = np.asarray(rgb, np.float32) * rng.uniform(0.9, 1.1, 3)
    out = Image.fromarray(np.clip(tint, 0, 255).astype(np.uint8)).convert("RGBA")
    out.putalpha(alpha)
    return out


class Backdrop:
    """A background with some clutter on it, seen by a slowly panning camera."""

    def __init__(self, rng, split: str):
        families = TRAIN_FAMILIES if split == "train" else TRAIN_FAMILIES + HELD_OUT_FAMILIES * 4
        self.image = background(rng, families)
        clutter = decor(split)
        for _ in range(rng.choice([0, 0, 1, 2, 3])):
            thing = sprite(str(clutter[rng.integers(len(clutter))].relative_to(STAMPS)), rng, (0.15, 0.4))
            at = (int(rng.uniform(0, self.image.width - 40)), int(rng.uniform(0, self.image.height - 40)))
            self.image.paste(thing, at, thing)
        self.phase, self.speed = rng.uniform(0, 6.28, 2), rng.uniform(0, 0.5, 2)

    def at(self, t: float) -> Image.Image:
        x, y = (MARGIN * (1 + np.sin(self.phase + self.speed * t))).astype(int)
        return self.image.crop((x, y, x + WIDTH, y + HEIGHT))


class Actor:
    """A picture that moves over the scene while its event lasts."""

    def __init__(self, path: str, rng):
        self.image = sprite(path, rng)
        self.centre, self.swing = rng.uniform((0.25, 0.4), (0.75, 0.6)), rng.uniform((0.02, 0.01), (0.22, 0.1))
        self.speed, self.phase = rng.uniform(0.3, 2.5, 2), rng.uniform(0, 6.28, 2)

    def draw(self, frame: Image.Image, t: float) -> None:
        x, y = self.centre + self.swing * np.sin(self.phase + self.speed * t)
        at = (int(x * WIDTH - self.image.width / 2), int(y * HEIGHT - self.image.height / 2))
        frame.paste(self.image, at, self.image)
