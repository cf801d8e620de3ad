"""The page that explains convolution, in Chromium; its JavaScript held to NumPy and SciPy."""

import time

import numpy as np
import pytest
import scipy

import kernelstudy
from kernelstudy.handcrafted import worked_example
from kernelstudy.reporting import explanation
from tests.browser import chromium, needs_browser, sized, waited
from tests.commands import run_here
from tests.synthetic import make_run


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    place = tmp_path_factory.mktemp("explain")
    done = run_here(place, "kernelstudy.explain")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "page: explain.html\n"
    return place / "explain.html"


@pytest.fixture(scope="module")
def opened(page):
    with chromium() as browser:
        sized(browser, 1280)
        browser.get(page.as_uri())
        waited(lambda: browser.execute_script("return document.documentElement.dataset.drawn"))
        yield browser


def script(opened, text, *words):
    return opened.execute_script(text, *words)


@needs_browser
def test_it_opens_without_network_and_without_complaint(opened, page):
    assert [entry["message"] for entry in opened.get_log("browser")] == []
    assert page.stat().st_size < 1e6


@needs_browser
@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("size", [3, 5])
def test_its_convolution_is_scipys_and_ours(opened, padding, stride, size):
    rng = np.random.default_rng(stride)
    image, kernel = rng.standard_normal((11, 8)), rng.standard_normal((size, size))
    found = script(
        opened,
        "const [v, k, p, s] = arguments, m = window.kernelstudyExplain.correlate("
        "{height: v.length, width: v[0].length, values: v.flat()}, k, p, s);"
        "return [m.height, m.width, [...m.values]];",
        *(image.tolist(), kernel.tolist(), padding, stride),
    )
    expected = scipy.signal.correlate2d(image, kernel, mode=padding)[::stride, ::stride]
    np.testing.assert_allclose(np.reshape(found[2], found[:2]), expected, atol=1e-12)
    if stride == 1:
        ours = kernelstudy.correlate(image, kernel, padding=padding)
        np.testing.assert_allclose(np.reshape(found[2], found[:2]), ours[..., 0], atol=1e-5)


@needs_browser
def test_the_worked_example_by_keyboard(opened):
    from selenium.webdriver import Keys

    words = opened.find_element("id", "one-sum").text
    assert words.endswith("= 154")
    assert (
        "prints 146 for the corner, where 154 is right"
        in opened.find_element("id", "one-slip").text
    )
    results = [int(cell.text) for cell in opened.find_elements("css selector", "#one-result td")]
    expected = scipy.signal.correlate2d(worked_example.IMAGE, worked_example.KERNEL, mode="valid")
    assert results == expected.ravel().tolist() == [154, 157, 200, 233]
    table = opened.find_element("id", "one-image")
    table.send_keys(Keys.ARROW_RIGHT)
    table.send_keys(Keys.ARROW_DOWN)
    assert opened.find_element("id", "one-sum").text.endswith("= 233")
    table.send_keys(Keys.ARROW_DOWN)  # no further
    assert opened.find_element("id", "one-sum").text.endswith("= 233")


@needs_browser
def test_a_kernel_is_chosen_turned_and_written(opened):
    def kernel():
        return np.array(script(opened, "return window.kernelstudyExplain.chosen.kernel"))

    script(
        opened,
        "const e = document.getElementById('preset'); e.value = 'laplacian4';"
        "e.dispatchEvent(new Event('change'));",
    )
    np.testing.assert_allclose(kernel(), kernelstudy.kernel("laplacian4", 3))
    script(
        opened,
        "const e = document.getElementById('angle'); e.value = 30; e.dispatchEvent(new Event('input'));",
    )
    gx, gy = (kernelstudy.kernel(f"sobel_{axis}", 3) for axis in "xy")
    np.testing.assert_allclose(kernel(), kernelstudy.steer(gx, gy, np.pi / 6), atol=1e-12)
    field = opened.find_element("css selector", "#photo-kernel input")
    before = script(opened, "return document.getElementById('photo-out').toDataURL()")
    field.clear()
    field.send_keys("9.5")
    assert kernel()[0, 0] == 9.5
    assert script(opened, "return document.getElementById('photo-out').toDataURL()") != before
    names = script(
        opened, "return [...document.getElementById('preset').options].map(o => o.value)"
    )
    assert set(kernelstudy.names(3)) <= set(names)
    for element, value in (("padding", "valid"), ("stride", "2")):
        script(
            opened,
            "const e = document.getElementById(arguments[0]); e.value = arguments[1];"
            "e.dispatchEvent(new Event('change'));",
            *(element, value),
        )
    height, width = script(
        opened, "const c = document.getElementById('photo-out'); return [c.height, c.width]"
    )
    photo = script(opened, "const p = window.kernelstudyExplain.photo; return [p.height, p.width]")
    assert (height, width) == tuple((n - 3) // 2 + 1 for n in photo)


@needs_browser
def test_chance_is_that_of_the_law(opened):
    """(1 - r)^3, of kernels that the page draws, and its R2 is the package's."""
    kernels = np.random.default_rng(1).standard_normal((5, 3, 3))
    found = [
        script(
            opened,
            "return window.kernelstudyExplain.steeredR2(arguments[0]).r2",
            k.ravel().tolist(),
        )
        for k in kernels
    ]
    centred = kernels - kernels.mean(axis=(1, 2), keepdims=True)
    np.testing.assert_allclose(found, kernelstudy_r2(centred), rtol=1e-9)
    script(opened, "for (let i = 0; i < 3000; i++) document.getElementById('draw').click()")
    drawn = np.array(script(opened, "return window.kernelstudyExplain.drawnSoFar"))
    assert scipy.stats.kstest(drawn, lambda r: 1 - (1 - r) ** 3).pvalue > 1e-4
    script(opened, "document.getElementById('draw-many').click()")
    waited(
        lambda: script(opened, "return document.getElementById('draw-many').textContent") != "Stop",
        60,
    )
    last = script(opened, "return window.kernelstudyExplain.drawnSoFar.at(-1)")
    assert last >= 0.8


def kernelstudy_r2(kernels):
    from kernelstudy.analysis import steered_r2

    return steered_r2(kernels, *(kernelstudy.kernel(f"sobel_{axis}", 3) for axis in "xy"))


@needs_browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [380, 1280])
def test_no_overflow(opened, scheme, width):
    feature = {"name": "prefers-color-scheme", "value": scheme}
    opened.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
    sized(opened, width)
    time.sleep(0.2)
    wide = script(opened, "return document.documentElement.scrollWidth")
    sized(opened, 1280)
    opened.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    assert wide <= width
    silent = script(
        opened,
        "return [...document.querySelectorAll('canvas, [role=img]')].filter(e => !e.closest('.tile') "
        "&& !(e.getAttribute('aria-label'))).length",
    )
    assert silent == 0


@pytest.mark.slow
@needs_browser
def test_ones_own_photo_and_run(tmp_path):
    from skimage import data, io

    io.imsave(tmp_path / "coins.png", data.coins(), check_contrast=False)
    run = make_run(tmp_path / "run")
    from kernelstudy.runs.report import build

    build(run)
    done = run_here(
        *(
            tmp_path,
            "kernelstudy.explain",
            "coins.png",
            "--run",
            f"{run}:he_normal",
            "--out",
            "mine.html",
        )
    )
    assert (done.returncode, done.stderr) == (0, "")
    with chromium() as browser:
        browser.get((tmp_path / "mine.html").as_uri())
        waited(lambda: browser.execute_script("return document.documentElement.dataset.drawn"))
        steps = browser.execute_script("return window.kernelstudyExplain.data.network.steps")
        assert steps == [0, 1, 4, 9]
        assert "coins.png" in browser.find_element("id", "photo").find_element("xpath", "..").text


def test_wrong_words_are_one_sentence(tmp_path):
    (tmp_path / "no.png").write_text("no image")
    for words, told in (
        (("nothing.png",), "nothing.png"),
        (("no.png",), "no.png"),
        (("--out", "page.pdf"), "must end in .html, .htm"),
        (("--run", "nowhere"), "nowhere is not a directory"),
        (("--frobnicate",), "--frobnicate"),
    ):
        done = run_here(tmp_path, "kernelstudy.explain", *words)
        assert done.returncode == 2, words
        assert told in done.stderr
        assert done.stderr.count("\n") == 1
    assert not list(tmp_path.glob("*.html"))


def test_the_network_that_comes_with_the_package():
    network = explanation.small_network()
    assert len(network["kernels"]) == len(network["steps"]) == len(network["accuracy"])
    assert np.shape(network["kernels"]) == (len(network["steps"]), 16, 3, 3)
    assert network["accuracy"][-1] > 0.9
    assert len(network["second"]) == 8
    for channel in network["second"]:
        assert np.shape(channel["patches"]) == (3, 5, network["patch_side"] ** 2)
