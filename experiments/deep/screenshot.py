"""python experiments/deep/screenshot.py REPORT.html OUT.png [dark]: the explorer of a report as a picture."""

import base64
import shutil
import sys
import time
from io import BytesIO
from pathlib import Path

from PIL import Image
from selenium import webdriver

from kernelstudy.reporting.style import with_palette

WIDTH, HEIGHT = 1120, 900
SHOWN = 1330  # pixels of the explorer, from its top


def main(page: Path, out: Path, scheme: str = "light") -> None:
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or shutil.which("google-chrome") or ""
    for word in ("headless=new", "no-sandbox", "hide-scrollbars", f"window-size={WIDTH},{HEIGHT}"):
        options.add_argument(f"--{word}")
    service = webdriver.ChromeService(shutil.which("chromedriver"))
    driver = webdriver.Chrome(options=options, service=service)
    try:
        features = {"prefers-color-scheme": scheme, "prefers-reduced-motion": "reduce"}
        asked = {"features": [{"name": n, "value": value} for n, value in features.items()]}
        driver.execute_cdp_cmd("Emulation.setEmulatedMedia", asked)
        driver.get(page.resolve().as_uri())
        end = time.monotonic() + 60
        while not driver.execute_script("return document.documentElement.dataset.drawn"):
            if time.monotonic() > end:
                raise SystemExit(f"{page} holds no explorer")
            time.sleep(0.1)
        time.sleep(1)
        box = driver.execute_script(
            "const b = document.querySelector('.explorer').getBoundingClientRect();"
            "return {x: b.x + scrollX, y: b.y + scrollY, width: b.width, height: b.height, scale: 1};"
        )
        clip = box | {"height": min(box["height"], SHOWN)}
        settings = {"format": "png", "captureBeyondViewport": True, "clip": clip}
        found = driver.execute_cdp_cmd("Page.captureScreenshot", settings)
        picture = Image.open(BytesIO(base64.b64decode(found["data"]))).convert("RGB")
    finally:
        driver.quit()
    with_palette(picture).save(out, optimize=True)
    print(f"{out}: {out.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), *sys.argv[3:])
