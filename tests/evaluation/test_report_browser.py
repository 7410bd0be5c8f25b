"""The report's page in a real browser, Chromium without a window."""

import shutil

import pytest

from labse_tf.evaluation.report.write import write_report
from tests.report_results import CODES, result, written

webdriver = pytest.importorskip("selenium.webdriver")
CHROMIUM, DRIVER = (shutil.which(name) for name in ("chromium", "chromedriver"))
pytestmark = pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="no chromium or chromedriver")
FLAGS = (
    "--headless=new --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-sync "
    "--disable-background-networking --disable-component-update --disable-dev-shm-usage"
)


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    folder = tmp_path_factory.mktemp("browser")
    for flag in (*FLAGS.split(), f"--user-data-dir={folder / 'profile'}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    service = webdriver.ChromeService(executable_path=DRIVER)
    driver = webdriver.Chrome(options=options, service=service)
    paths = written(folder, result(), result("model two", shift=0.04))
    write_report(paths[:1], folder / "one")
    write_report(paths, folder / "two")
    driver.folder = folder
    yield driver
    driver.quit()


def look(browser, name="one", width=1280, scheme="light"):
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    browser.get(f"file://{browser.folder / name}.html")


def column(browser, number):
    return browser.execute_script(
        "return [...document.querySelectorAll('#s0 tbody.parts tr')]"
        ".map(row => row.cells[arguments[0]].textContent)", number,
    )  # fmt: skip


def test_a_click_on_a_header_sorts(browser):
    look(browser)
    assert column(browser, 0) == list(CODES)
    part, accuracy = (
        browser.find_element("css selector", f"#s0 th[data-column='{i}'] button") for i in (0, 2)
    )
    parent = accuracy.find_element("xpath", "..")
    accuracy.click()
    assert parent.get_attribute("aria-sort") == "descending"
    assert column(browser, 2) == ["90.0", "80.0", "70.0", "60.0", "50.0"]
    accuracy.click()
    assert parent.get_attribute("aria-sort") == "ascending"
    assert column(browser, 2) == ["50.0", "60.0", "70.0", "80.0", "90.0"]
    part.click()
    assert column(browser, 0) == sorted(CODES)
    assert parent.get_attribute("aria-sort") is None
    summaries = browser.find_elements("css selector", "#s0 tbody.summaries tr")
    assert [row.text.split()[0] for row in summaries] == ["mean"]


def test_bars_are_as_long_as_their_values(browser):
    look(browser)
    found = browser.execute_script(
        "return [...document.querySelectorAll('#s0 ol.bars li')].map(li => ["
        "li.querySelector('.part').textContent,"
        "li.querySelector('.bar').getBoundingClientRect().width,"
        "li.querySelector('.track').getBoundingClientRect().width,"
        "getComputedStyle(li.querySelector('.bar')).backgroundColor])"
    )
    assert [row[0] for row in found] == list(CODES)  # the best first
    for (_, bar, track, _), value in zip(found, (0.9, 0.8, 0.7, 0.6, 0.5)):
        assert track > 50 and abs(bar - value * track) < 2
    colours = [row[3] for row in found]
    assert colours[0] == colours[1] and len(set(colours)) == 4  # deu and fra are both Latin


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("name", ["one", "two"])
def test_nothing_is_wider_than_the_window(browser, name, width):
    look(browser, name, width)
    inner, scroll = browser.execute_script(
        "return [window.innerWidth, document.documentElement.scrollWidth]"
    )
    assert inner == width and scroll <= width
    sizes = browser.execute_script(
        "return [...document.querySelectorAll('p, td, th, dd, .part')]"
        ".map(e => parseFloat(getComputedStyle(e).fontSize))"
    )
    assert min(sizes) >= 11


def test_light_and_dark(browser):
    grounds = []
    for scheme in ("light", "dark"):
        look(browser, scheme=scheme)
        grounds.append(
            browser.execute_script(
                "const s = getComputedStyle(document.body);"
                "return [s.backgroundColor, s.color].map(c => c.match(/\\d+/g).slice(0, 3)"
                ".reduce((a, b) => a + Number(b), 0))"
            )
        )
    (light_ground, light_ink), (dark_ground, dark_ink) = grounds
    assert light_ground > 700 > 200 > light_ink
    assert dark_ground < 120 and dark_ink > 500


def test_heat_map_says_what_a_cell_is(browser):
    look(browser)
    cells = browser.find_element("css selector", "svg.cells")
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", cells)
    size = cells.size["width"] / 5
    actions = webdriver.ActionChains(browser)
    # From rus, row 2, to fra, column 1; offsets are from the middle.
    actions.move_to_element_with_offset(cells, -int(size), 0).perform()
    assert browser.find_element("id", "readout").text == "rus > fra 22.0"


def test_curves_and_no_complaints(browser):
    look(browser, "two")
    lines = browser.find_elements("css selector", "figure.curve polyline")
    assert len(lines) == 6  # precision, recall, F1 of two models
    points = [
        [float(n) for n in point.split(",")] for point in lines[0].get_attribute("points").split()
    ]
    # Precision 0.2, 0.6, 1.0 at 0.5, 0.75, 1.0: a straight line upwards.
    (x0, y0), (x1, y1), (x2, y2) = points
    assert x1 - x0 == pytest.approx(x2 - x1, abs=0.2) and y0 - y1 == pytest.approx(y1 - y2, abs=0.2)
    assert y0 > y1 > y2
    assert [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"] == []
    requests = browser.execute_script(
        "return performance.getEntriesByType('resource').map(e => e.name)"
    )
    assert [name for name in requests if not name.startswith("data:")] == []
