"""report.html as a reader has it: opened from disk in Chromium, with no network."""

import base64
import gzip
import re
import time

import numpy as np
import pytest

from kernelstudy import runs
from kernelstudy.analysis.deep import measure_channels
from kernelstudy.analysis.kernels import usable_bank
from kernelstudy.analysis.sectors import SECTORS
from kernelstudy.analysis.trajectory import final_matches, measure_trajectory, spatial_kernels
from kernelstudy.reporting import explorer
from kernelstudy.runs.report import build
from tests.browser import chromium, needs_browser, sized, waited
from tests.synthetic import BANK, make_run

pytestmark = needs_browser
ROUNDED = 2**-13  # of the page's floats
HOSTILE = "<img src=x onerror=alert(1)>&quot;</script>"


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    place = make_run(tmp_path_factory.mktemp("page") / "run", arms=(HOSTILE, "sobel/frozen"))
    build(place)
    return place


@pytest.fixture(scope="module")
def browser(built):
    with chromium() as driver:
        yield driver


@pytest.fixture(scope="module")
def opened(browser, built):
    """The page, drawn; whatever it says on the console is kept."""
    sized(browser, 1280)
    browser.get((built / "report.html").as_uri())
    waited(lambda: browser.execute_script("return document.documentElement.dataset.drawn"))
    show_kernels(browser)
    return browser


def show_kernels(browser) -> None:
    """W, and not the part that the page opens with."""
    browser.execute_script("document.querySelector('[data-part=W]').click()")


@pytest.fixture(scope="module")
def trajectory(built):
    return runs.read_trajectory(built)


def choose(opened, **values) -> None:
    for name, value in values.items():
        opened.execute_script(
            "const e = document.getElementById(arguments[0]); e.value = arguments[1];"
            "for (const n of ['input', 'change']) e.dispatchEvent(new Event(n));",
            name,
            value,
        )


def pixels(opened, selector: str) -> np.ndarray:
    """A canvas' pixels (height, width, 3)."""
    found = opened.execute_script(
        "const c = document.querySelector(arguments[0]), d = c.getContext('2d');"
        "return [c.height, c.width, [...d.getImageData(0, 0, c.width, c.height).data]];",
        selector,
    )
    return np.array(found[2]).reshape(found[0], found[1], 4)[..., :3]


def lut(opened, name: str) -> np.ndarray:
    values = opened.execute_script("return [...window.kernelstudy.arrays[arguments[0]].at()]", name)
    return np.array(values).reshape(256, 3)


def test_it_opens_without_network_and_without_complaint(opened, built):
    said = [entry["message"] for entry in opened.get_log("browser")]
    assert said == []
    asked = opened.execute_script(
        "return performance.getEntriesByType('resource').map(e => e.name)"
        ".filter(n => !n.startsWith('data:') && !n.startsWith('blob:'))"
    )
    assert asked == []
    assert (built / "report.html").stat().st_size < 4e6
    drawn = "return document.querySelectorAll('.js-plotly-plot').length"
    assert opened.execute_script(drawn) == 2
    opened.execute_script("document.getElementById('more').open = true")
    waited(lambda: opened.execute_script(drawn) == 5)


def test_it_is_short_and_kernels_and_maps_are_on_one_screen(opened):
    opened.execute_script("document.getElementById('more').open = false")
    height = opened.execute_script("return document.documentElement.scrollHeight")
    assert height < 8 * 900
    top, bottom = opened.execute_script(
        "return [document.getElementById('kernels').getBoundingClientRect().top,"
        "document.getElementById('maps').getBoundingClientRect().bottom]"
    )
    assert 0 < bottom - top < 900


def test_choosing_a_kernel_does_not_scroll_away_from_it(opened):
    tile = opened.find_element("css selector", "#kernels .tile:nth-child(2)")
    opened.execute_script("arguments[0].scrollIntoView({block: 'center'})", tile)
    before = opened.execute_script("return scrollY")
    tile.click()
    time.sleep(0.3)
    assert opened.execute_script("return scrollY") == before
    assert opened.find_element("id", "history-title").is_displayed()


def test_a_seed_without_maps_says_where_there_are_some(opened):
    choose(opened, arm=0, seed=5)
    assert opened.find_element("id", "not-watched").text == (
        "Feature maps are kept of seeds 0 and 1; choose one of these to see them."
    )
    for place in ("maps", "settling-block", "history-deep"):
        assert not opened.find_element("id", place).is_displayed()
    choose(opened, seed=0)
    assert opened.find_element("id", "maps").is_displayed()
    assert opened.find_element("id", "settling-block").is_displayed()


def test_figures_have_a_dark_form_a_narrow_one_and_fold(opened):
    def shown() -> str:
        return opened.execute_script("return document.getElementById('png-answer').currentSrc")

    def scheme(name: str) -> None:
        feature = {"name": "prefers-color-scheme", "value": name}
        opened.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
        time.sleep(0.2)

    forms = set()
    for width in (1280, 380):
        sized(opened, width)
        for name in ("light", "dark"):
            scheme(name)
            forms.add(shown())
    sized(opened, 1280)
    light = opened.execute_script("return document.getElementById('png-answer').src")
    opened.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    waited(lambda: shown() == light)
    opened.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "", "features": []})
    assert len(forms) == 4
    folded = "return [...document.querySelectorAll('details')].filter(e => !e.open).length"
    before = opened.execute_script(folded)
    assert before > 10
    opened.execute_script("dispatchEvent(new Event('beforeprint'))")
    assert opened.execute_script(folded) == 0
    opened.execute_script("dispatchEvent(new Event('afterprint'))")
    assert opened.execute_script(folded) == before


@pytest.mark.parametrize(("arm", "seed", "step"), [(0, 1, 2), (1, 0, 0), (0, 0, 3)])
def test_the_slider_moves_kernels_and_maps_to_the_steps_values(opened, trajectory, arm, seed, step):
    choose(opened, arm=arm, seed=seed, step=step, probe=1)
    kernels = spatial_kernels(trajectory)
    scale = np.abs(kernels[arm, seed, step]).max()
    for channel in (0, 4):
        byte = np.round(127.5 + 127.5 * kernels[arm, seed, step, channel] / scale).astype(int)
        shown = pixels(opened, f"#kernels .tile:nth-child({channel + 1}) canvas")
        near = [lut(opened, "lut_diverging")[np.clip(byte + d, 0, 255)] for d in (-1, 0, 1)]
        assert min(np.abs(shown - n).max() for n in near) <= 3
    sectors = opened.execute_script(
        "return document.getElementById('sectors').data.map(t => t.y[arguments[0]])", step
    )
    measured = measure_trajectory(trajectory, BANK.kernels).isel(arm=arm, seed=seed, step=step)
    np.testing.assert_allclose(sectors, [measured[s] for s in SECTORS], rtol=ROUNDED)
    for layer in (1, 2):
        maps = trajectory[f"feature_map_{layer}"].values[arm, seed, :, :, :, :, 3].astype(float)
        probe = explorer._map_selection(trajectory, [1, 2], [])[0][1]
        low, high = maps.min(), maps.max()
        byte = np.round((maps[step, probe] - low) / (high - low) * 255).astype(int)
        shown = pixels(opened, f"#maps-{layer} .tile:nth-child(4) canvas")
        coarse = byte // explorer.COARSE * explorer.COARSE
        near = [
            np.abs(shown - lut(opened, "lut_maps")[np.clip(coarse + d, 0, 255)]).max(-1)
            for d in (-explorer.COARSE, 0, explorer.COARSE)
        ]
        assert np.min(near, axis=0).max() <= 6
    assert f"step {[0, 1, 4, 9][step]} of 9" in opened.find_element("id", "step-now").text


def test_pointing_at_a_kernel_shows_its_p(opened, trajectory):
    from selenium.webdriver import ActionChains

    choose(opened, arm=0, seed=1, step=3)
    tile = opened.find_element("css selector", "#kernels .tile:nth-child(3)")
    opened.execute_script("arguments[0].scrollIntoView({block: 'center'})", tile)
    ActionChains(opened).move_to_element(tile).perform()
    found = final_matches(trajectory, BANK.kernels).trained.isel(arm=0, seed=1, channel=2)
    assert float(opened.find_element("id", "hover-p").text) == pytest.approx(
        float(found["p_best"]), rel=5e-3
    )
    assert float(opened.find_element("id", "hover-cos").text) == pytest.approx(
        float(found["best_abs_cos"]), rel=5e-3
    )
    card = opened.find_element("id", "hover")
    assert str(found["best"].values) in card.text
    assert "at step 0" in card.text
    weights = [float(cell.text) for cell in card.find_elements("css selector", "td")]
    np.testing.assert_allclose(weights, found["kernel"].values.ravel(), atol=0.0051)


def test_the_keyboard_is_enough(opened):
    from selenium.webdriver import ActionChains, Keys

    choose(opened, step=3, layer=0)
    slider = opened.find_element("id", "step")
    slider.send_keys(Keys.ARROW_LEFT)
    assert opened.execute_script("return window.kernelstudy.state.step") == 2
    assert slider.get_attribute("aria-valuetext") == "step 4"
    for _ in range(12):  # from the slider on to the kernels
        ActionChains(opened).send_keys(Keys.TAB).perform()
        active = opened.switch_to.active_element
        if active.get_attribute("class").startswith("tile"):
            break
    assert active.get_attribute("aria-label").startswith("kernel 0: nearest")
    ActionChains(opened).send_keys(Keys.TAB).perform()
    assert opened.find_element("id", "hover").is_displayed()
    ActionChains(opened).send_keys(Keys.ESCAPE).perform()
    assert not opened.find_element("id", "hover").is_displayed()
    ActionChains(opened).send_keys(Keys.ENTER).perform()
    assert opened.execute_script("return window.kernelstudy.state.channel") == 1
    assert "channel 1" in opened.find_element("id", "history-title").text
    opened.find_element("id", "play").send_keys(Keys.ENTER)
    waited(lambda: opened.execute_script("return window.kernelstudy.state.step") == 3)


def test_a_channels_history(opened, trajectory):
    choose(opened, arm=1, seed=0, step=3)
    opened.execute_script("document.querySelector('#maps-2 .tile:nth-child(2)').click()")
    title = opened.find_element("id", "history-title").text
    assert title.startswith("sobel/frozen, seed 0, layer 2, channel 1: ")
    kernels = trajectory["kernel_2"].values[1, 0, ..., 1].astype(float)  # step, ky, kx, input
    strongest = np.argsort(-(kernels[-1] ** 2).sum((0, 1)))[:4]
    shown = opened.execute_script(
        "return [...document.querySelectorAll('#history-kernels .input')].map(e => e.textContent)"
    )
    assert shown == [f"channel {i}" for i in strongest]
    weights = kernels[2][..., strongest[1]] / np.abs(kernels[..., strongest]).max()
    byte = np.round(127.5 + 127.5 * weights).astype(int)
    shown = pixels(
        opened, "#history-kernels > .row:nth-child(2) figure:nth-child(4) canvas"
    )  # after its words
    near = [lut(opened, "lut_diverging")[np.clip(byte + d, 0, 255)] for d in (-2, -1, 0, 1, 2)]
    assert np.abs(shown - np.array(near)).min(0).max() <= 3
    tuning = opened.execute_script(
        "return document.getElementById('history-tuning').data.map(t => t.y)"
    )
    gratings = trajectory["grating_2"].values[1, 0, :, :, :, 1].astype(float)
    low, high = gratings.min(), gratings.max()
    expected = (gratings[3].T - low) / (high - low)
    np.testing.assert_allclose(tuning, expected, atol=2 / 255)
    example, (y, x) = (
        int(trajectory["top_example_2"].values[1, 0, 3, 0, 1]),
        trajectory["top_place_2"].values[1, 0, 3, 0, :, 1],
    )
    shown = pixels(opened, "#history-patches canvas")
    image = trajectory["example_image"].values[example].mean(-1)
    grey = np.round((image - image.min()) / np.ptp(image) * 255)
    assert shown.shape == (8, 8, 3)
    said = opened.find_elements("css selector", "#history-patches figcaption")
    values = trajectory["top_value_2"].values[1, 0, 3, :, 1].astype(float)
    np.testing.assert_allclose([float(e.text) for e in said], values, rtol=0.05)
    channels = measure_channels(trajectory, [True, False])
    directions = channels["orientation_2"].values[1, 0, 3]  # of channels
    told = opened.find_element("id", "history-now").text
    assert f"brightness changes along {round(directions[1]) % 180}°," in told
    start = -3  # a 3 x 3 kernel after a pool after a 3 x 3 kernel: 8 pixels from 2 i - 3 on
    inside = [(i, j) for i in range(8) for j in range(8)]
    seen = 0
    for i, j in inside:
        row, column = start + 2 * y + i, start + 2 * x + j
        if 0 <= row < 12 and 0 <= column < 12:
            assert abs(shown[i, j, 0] - grey[row, column]) <= 1
            seen += 1
    assert seen >= 16


@pytest.mark.slow
def test_deeper_kernels_have_their_own_size_and_colours_are_colours(opened, tmp_path):
    """First kernels of 5 x 5 on three colours over deeper ones of 3 x 3."""
    place = make_run(tmp_path / "run", arms=("he_normal", "sobel/frozen"), size=5, cin=3)
    address = opened.current_url
    try:
        opened.get(build(place).as_uri())
        waited(lambda: opened.execute_script("return document.documentElement.dataset.drawn"))
        show_kernels(opened)
        choose(opened, arm=0, seed=0, step=3, layer=1)
        kernels = runs.read_trajectory(place)["kernel_2"].values[0, 0, ..., 0].astype(float)
        first = np.argmax((kernels[-1] ** 2).sum((0, 1)))
        shown = pixels(opened, "#history-kernels > .row figure:last-child canvas")
        strongest = np.argsort(-(kernels[-1] ** 2).sum((0, 1)))[:4]
        weights = kernels[-1, ..., first] / np.abs(kernels[..., strongest]).max()
        byte = np.round(127.5 + 127.5 * weights).astype(int)
        near = [lut(opened, "lut_diverging")[byte + d] for d in (-2, -1, 0, 1, 2)]
        assert shown.shape == (3, 3, 3)
        assert np.abs(shown - np.array(near)).min(0).max() <= 3
        choose(opened, layer=0)
        assert pixels(opened, "#history-kernels figure canvas").shape == (5, 5, 3)
        # the first kernels see three colours, and are shown in them
        first = runs.read_trajectory(place)["kernel"].values[0, 0, -1].astype(float)
        expected = np.round(127.5 + 127.5 * first[..., 2] / np.abs(first).max())
        shown = pixels(opened, "#kernels .tile:nth-child(3) canvas")
        assert np.abs(shown - expected).max() <= 1
    finally:
        opened.get(address)
        waited(lambda: opened.execute_script("return document.documentElement.dataset.drawn"))
        show_kernels(opened)


def test_the_new_part_and_the_nearest_kernels(opened, trajectory):
    choose(opened, arm=0, seed=1, step=3)
    opened.execute_script("document.querySelector('[data-part=new]').click()")
    kernels = spatial_kernels(trajectory)[0, 1]
    start, now = kernels[0], kernels[3]
    kept = (now * start).sum((1, 2)) / (start**2).sum((1, 2))
    new = now - kept[:, None, None] * start
    byte = np.round(127.5 + 127.5 * new[2] / np.abs(new).max()).astype(int)
    shown = pixels(opened, "#kernels .tile:nth-child(3) canvas")
    near = [lut(opened, "lut_diverging")[np.clip(byte + d, 0, 255)] for d in (-1, 0, 1)]
    assert min(np.abs(shown - n).max() for n in near) <= 3
    entries = usable_bank(BANK.kernels, 3)
    cosines = {
        name: (new[2] * k).sum() / np.linalg.norm(new[2]) / np.linalg.norm(k)
        for name, k in entries.items()
    }
    best = max(cosines, key=lambda name: abs(cosines[name]))
    title = opened.find_element("css selector", "#kernels .tile:nth-child(3)").get_attribute(
        "title"
    )
    assert title.startswith(f"nearest: {best}, |cos| {abs(cosines[best]):.2g}"[:-1])
    match = np.sign(cosines[best]) * entries[best]
    byte = np.round(127.5 + 127.5 * match / np.abs(match).max()).astype(int)
    shown = pixels(opened, "#kernels .tile:nth-child(3) canvas.match")
    assert np.abs(shown - lut(opened, "lut_diverging")[np.clip(byte, 0, 255)]).max() <= 3
    scores = opened.execute_script("return document.getElementById('scores').data[0].y")
    measured = measure_trajectory(trajectory, BANK.kernels).isel(arm=0, seed=1)
    np.testing.assert_allclose(
        np.array(scores[1:], float), measured[f"new_{BANK.metric}"].values[1:], rtol=ROUNDED
    )
    opened.execute_script("document.querySelector('[data-part=W]').click()")


def test_a_view_can_be_passed_on_and_opens_where_something_happens(opened, built):
    opening = opened.execute_script("return window.kernelstudy.data.open")
    assert opening["arm"] == 0  # the other is frozen
    choose(opened, arm=1, seed=1, step=2, layer=1, channel=1)
    address = opened.current_url
    opened.get("about:blank")
    opened.get(address)
    waited(lambda: opened.execute_script("return document.documentElement.dataset.drawn"))
    state = opened.execute_script("return window.kernelstudy.state")
    assert (state["arm"], state["seed"], state["step"], state["channel"]) == (1, 1, 2, 1)
    # without a choice it plays once, from the start to the end, when it comes into sight
    opened.get("about:blank")
    opened.get((built / "report.html").as_uri())
    waited(lambda: opened.execute_script("return document.documentElement.dataset.drawn"))
    assert opened.execute_script("return window.kernelstudy.state.step") == 3
    opened.execute_script("document.getElementById('kernels').scrollIntoView({block: 'center'})")
    waited(lambda: opened.execute_script("return window.kernelstudy.state.step") == 0)
    waited(lambda: opened.execute_script("return window.kernelstudy.state.step") == 3)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [380, 1280])
def test_no_overflow_and_legible(opened, scheme, width):
    feature = {"name": "prefers-color-scheme", "value": scheme}
    opened.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
    sized(opened, width)
    time.sleep(0.3)
    wide = opened.execute_script("return document.documentElement.scrollWidth")
    contrasts = opened.execute_script(
        """const light = (c) => { const v = c.match(/[\\d.]+/g).slice(0, 3).map(x => {
             x /= 255; return x <= 0.03928 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4; });
             return 0.2126 * v[0] + 0.7152 * v[1] + 0.0722 * v[2]; };
           const ground = (e) => { for (; e; e = e.parentElement) {
             const c = getComputedStyle(e).backgroundColor;
             if (!c.startsWith('rgba') || c.endsWith(', 1)')) return c; } return 'rgb(255, 255, 255)'; };
           const all = 'p, li, dd, h2, h3, h4, td, th, figcaption, button, a, select, label';
           return [...document.querySelectorAll(all)].filter(e => e.offsetParent).map(e => {
               const [a, b] = [light(getComputedStyle(e).color), light(ground(e))].sort((x, y) => y - x);
               return [(a + 0.05) / (b + 0.05), e.tagName + ' ' + e.textContent.slice(0, 40)]; });"""
    )
    sized(opened, 1280)
    opened.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    assert wide <= width
    assert len(contrasts) > 100
    assert min(contrasts)[0] >= 4.5, min(contrasts)


def test_a_hostile_name_is_text(opened, built):
    arms = opened.find_element("id", "arm").find_elements("css selector", "option")
    assert arms[0].text == HOSTILE
    assert opened.execute_script("return document.querySelectorAll('img[src=x]').length") == 0
    heads = [
        h.get_attribute("textContent") for h in opened.find_elements("css selector", ".answer h3")
    ]
    assert HOSTILE in heads
    assert HOSTILE not in (built / "report.html").read_text()


def test_pictures_have_words_and_downloads_are_the_files(opened, built, tmp_path):
    silent = opened.execute_script(
        "return [...document.querySelectorAll('img, [role=img]')]"
        ".filter(e => !(e.alt || e.getAttribute('aria-label'))).length"
    )
    assert silent == 0
    behaviour = {"behavior": "allow", "downloadPath": str(tmp_path)}
    opened.execute_cdp_cmd("Browser.setDownloadBehavior", behaviour)
    for name, source in (
        ("summary.csv", "tables"),
        ("layers.csv", "tables"),
        ("answer.svg", "figures"),
        ("answer.png", "figures"),
    ):
        button = opened.find_element("css selector", f"button[data-file='{name}']")
        opened.execute_script("arguments[0].click()", button)
        path = tmp_path / name
        waited(path.is_file)
        expected = (built / source / name).read_bytes()
        waited(lambda path=path, expected=expected: path.read_bytes() == expected)


def test_the_policy_allows_no_other_script(built):
    page = (built / "report.html").read_text()
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', page)
    assert policy
    assert "default-src 'none'" in policy[1]
    assert not re.search(r"script-src[^;]*unsafe|connect-src|http", policy[1])


def test_packing_keeps_what_is_packed():
    """What the script does to unpack, done here."""
    rng = np.random.default_rng(0)
    bytes_ = rng.integers(0, 256, (2, 3, 4, 5)).astype(np.uint8)
    packed = explorer.pack_over_steps(bytes_, axis=2)
    changes = np.frombuffer(gzip.decompress(base64.b64decode(packed["data"])), np.uint8)
    assert packed["steps"] == [6, 4]
    assert packed["shape"] == [2, 3, 4, 5]
    whole = np.cumsum(changes.reshape(2, 3, 5, 4), axis=-1, dtype=np.uint8)
    np.testing.assert_array_equal(np.moveaxis(whole, -1, 2), bytes_)
    values = rng.standard_normal((2, 3, 4, 7)) * np.array([1, 1e-3])[:, None, None, None]
    values[0, 0, 0, 0] = np.nan
    packed = explorer.pack_whole(values, ends=3)
    changes = np.frombuffer(gzip.decompress(base64.b64decode(packed["data"])), "<i2")
    whole = np.moveaxis(np.cumsum(changes.reshape(2, 3, 7, 4), axis=-1, dtype=np.int16), -1, 2)
    units = np.frombuffer(gzip.decompress(base64.b64decode(packed["units"]["data"])), "<f4")
    units = units.reshape(2, 3, 4, 1)
    assert (
        np.abs(whole * units - np.nan_to_num(values)) <= 0.8 * units
    ).all()  # units are rounded, too
    assert (units[1] < 1e-2 * units[0]).all()
