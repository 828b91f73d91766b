"""Draw the gallery and put its pictures, in 64 colours, where the pages of this folder show them."""

import runpy
import sys
from pathlib import Path

import matplotlib.pyplot as plt
from PIL import Image

plt.switch_backend("Agg")

ROOT = Path(__file__).resolve().parents[1]
GALLERY, FIGURES = ROOT / "examples" / "gallery", ROOT / "docs" / "figures"

if __name__ == "__main__":
    FIGURES.mkdir(exist_ok=True)
    for script in sorted(GALLERY.glob(f"{sys.argv[1] if len(sys.argv) > 1 else '*'}.py")):
        runpy.run_path(str(script))
        plt.close("all")
    for picture in sorted((GALLERY / "output").glob("*.png")):
        image = Image.open(picture).convert("RGB").quantize(64, dither=Image.Dither.NONE)
        image.save(FIGURES / picture.name, optimize=True)
