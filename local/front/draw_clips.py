"""Draws the demo's clips: `python -m local.front.draw_clips FFMPEG [FOLDER]`, a few seconds of moving shapes each.

The clips are committed, because they need an encoder that the app does not: any `ffmpeg` with libx264, such as the one
in the package imageio-ffmpeg. Each category has colors and a movement of its own; each of its clips has a pace.
"""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

WIDTH, HEIGHT, RATE, SECONDS = 360, 640, 15, 4
FOLDER = Path(__file__).parent / "clips"
Color = tuple[int, int, int]
Shapes = Callable[[ImageDraw.ImageDraw, float, int, Color], None]


def _circle(draw: ImageDraw.ImageDraw, x: float, y: float, radius: float, fill: Color) -> None:
    draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=fill)


def _bouncing(draw: ImageDraw.ImageDraw, at: float, kind: int, color: Color) -> None:
    for number in range(3):
        up = abs(math.sin(math.pi * (2 * at + number / 3)))
        _circle(draw, 80 + 100 * number, 460 - 220 * up, 34 + 6 * kind, color)


def _steam(draw: ImageDraw.ImageDraw, at: float, kind: int, color: Color) -> None:
    draw.rounded_rectangle((70, 430, 290, 520), 40, fill=color)
    for number in range(3 + kind):
        y = 400 - 250 * ((at + number / (3 + kind)) % 1)
        x = 180 + 60 * math.sin(2 * math.pi * (at + number / 3))
        _circle(draw, x, y, 12 + (400 - y) / 18, color)


def _horizon(draw: ImageDraw.ImageDraw, at: float, kind: int, color: Color) -> None:
    _circle(draw, 180, 330 - 60 * math.sin(2 * math.pi * at), 70, color)
    for number in range(6):
        x = (number * 90 - 90 * at * (1 + kind)) % 540 - 90
        draw.polygon(((x - 70, 560), (x, 360 + 20 * (number % 3)), (x + 70, 560)), fill=color)


def _bars(draw: ImageDraw.ImageDraw, at: float, kind: int, color: Color) -> None:
    for number in range(9):
        tall = 60 + 150 * abs(math.sin(2 * math.pi * at * (1 + kind) + number * 0.8))
        draw.rounded_rectangle((30 + 34 * number, 320 - tall, 54 + 34 * number, 320 + tall), 12, fill=color)


def _face(draw: ImageDraw.ImageDraw, at: float, kind: int, color: Color) -> None:
    lean = 30 * math.sin(2 * math.pi * at * (1 + kind))
    for side in (-60, 60):
        _circle(draw, 180 + side + lean, 260, 22, color)
    draw.arc((80 + lean, 240, 280 + lean, 430), 20, 160, fill=color, width=26)


def _orbits(draw: ImageDraw.ImageDraw, at: float, kind: int, color: Color) -> None:
    _circle(draw, 180, 320, 44, color)
    for number in range(2 + kind):
        turn, radius = 2 * math.pi * (at + number / 3), 90 + 34 * number
        draw.ellipse((180 - radius, 320 - radius, 180 + radius, 320 + radius), outline=color, width=3)
        _circle(draw, 180 + radius * math.cos(turn), 320 + radius * math.sin(turn), 16, color)


def _lights(draw: ImageDraw.ImageDraw, at: float, kind: int, color: Color) -> None:
    for number in range(3 + kind):
        turn = math.sin(2 * math.pi * (at + number / 5))
        draw.polygon(((180, 40), (180 + 320 * turn - 40, 640), (180 + 320 * turn + 40, 640)), outline=color, width=8)
        _circle(draw, 40 + 60 * number, 560 - 30 * abs(turn), 14, color)


STYLES: dict[str, tuple[Color, Color, Color, Shapes, int]] = {
    "fitness": ((190, 50, 40), (90, 15, 40), (255, 205, 190), _bouncing, 4),
    "cooking": ((215, 130, 20), (120, 50, 10), (255, 240, 205), _steam, 4),
    "travel": ((20, 130, 190), (10, 50, 110), (200, 240, 255), _horizon, 4),
    "music": ((120, 50, 190), (45, 15, 100), (230, 205, 255), _bars, 3),
    "comedy": ((205, 175, 20), (125, 90, 5), (70, 35, 5), _face, 3),
    "science": ((15, 140, 110), (5, 60, 70), (205, 255, 235), _orbits, 3),
    "nightlife": ((50, 45, 80), (10, 10, 25), (255, 90, 190), _lights, 3),
}
"""By category: colors at top and bottom, color and movement of the shapes, number of clips."""


def main(encoder: str, folder: Path) -> None:
    """Write each clip as `CATEGORY-NUMBER.mp4`, and its first frame beside it as `.jpg`."""
    folder.mkdir(parents=True, exist_ok=True)
    for category, (_, _, _, _, count) in STYLES.items():
        for kind in range(count):
            frames = [frame(category, kind, number / (RATE * SECONDS)) for number in range(RATE * SECONDS)]
            path = folder / f"{category}-{kind}.mp4"
            command = [encoder, "-y", "-loglevel", "error", "-f", "rawvideo", "-pix_fmt", "rgb24"]
            command += ["-s", f"{WIDTH}x{HEIGHT}", "-r", str(RATE), "-i", "-", "-an", "-c:v", "libx264"]
            command += ["-profile:v", "main", "-crf", "35", "-pix_fmt", "yuv420p", "-movflags", "+faststart"]
            command += ["-fflags", "+bitexact", "-flags:v", "+bitexact", "-threads", "1", str(path)]
            subprocess.run(command, input=b"".join(each.tobytes() for each in frames), check=True)  # noqa: S603
            frames[0].save(path.with_suffix(".jpg"), quality=60, optimize=True)


def frame(category: str, kind: int, at: float) -> Image.Image:
    """Draw the frame at a position of the clip from 0 to 1. The clip repeats without a jump."""
    top, bottom, color, shapes, _ = STYLES[category]
    image = Image.fromarray(_gradient(top, bottom))
    shapes(ImageDraw.Draw(image), at, kind, color)
    return image


def _gradient(top: Color, bottom: Color) -> NDArray[np.uint8]:
    down = np.linspace(0.0, 1.0, HEIGHT)[:, None, None]
    column = np.array(top) * (1 - down) + np.array(bottom) * down
    return np.ascontiguousarray(np.broadcast_to(column, (HEIGHT, WIDTH, 3)).astype(np.uint8))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]) if len(sys.argv) > 2 else FOLDER)
