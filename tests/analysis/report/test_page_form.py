"""The form of the page: what is seen at first, in what light, and on a screen of what width."""

from html.parser import HTMLParser

import numpy as np
import pandas as pd
import PIL.Image
import pytest
from browser import CHROMIUM, NO_CHROMIUM, Browser
from synthetic_study import plan_of, write_study

from pycls.analysis.inputs.results_csv import error_table, load_results, repeat_runs
from pycls.analysis.inputs.study_json import load_study
from pycls.analysis.report.report import write_report
from pycls.analysis.report.warnings import study_warnings
from pycls.analysis.tables import study_tables as tables


class _Words(HTMLParser):
    """Counts the words of paragraphs, lists and captions, seen at first or folded away."""

    def __init__(self, text):
        super().__init__()
        self.folds, self.open, self.seen, self.folded = [], [], 0, 0
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.open.append(tag)
        if tag == "details":
            self.folds.append("open" not in dict(attrs))

    def handle_endtag(self, tag):
        while self.open and self.open.pop() != tag:
            pass
        if tag == "details":
            self.folds.pop()

    def handle_data(self, data):
        if {"style", "script", "table", "nav", "summary"} & set(self.open):
            return
        words = len(data.split())
        if any(self.folds):
            self.folded += words
        else:
            self.seen += words


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    folder = tmp_path_factory.mktemp("form") / "study"
    return write_report(write_study(folder, plan_of("digits", "digits_5", "textures")))


@pytest.mark.slow
def test_half_of_the_words_are_folded(page):
    words = _Words(page.read_text(encoding="utf-8"))
    assert words.seen + words.folded > 800
    assert words.seen <= words.folded + 100


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    if CHROMIUM is None:
        pytest.skip(NO_CHROMIUM)
    tab = Browser(tmp_path_factory.mktemp("profile"))
    yield tab
    tab.close()


def in_light(browser, scheme):
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.send("Emulation.setEmulatedMedia", features=features)


@pytest.mark.slow
def test_contents_stay_in_view_and_wide_things_scroll_by_themselves(browser, page):
    for width, mobile in ((1400, False), (390, True)):
        browser.open(page, width, 900, mobile=mobile)
        browser.run("window.scrollTo(0, document.body.scrollHeight / 2)")
        top, page_width = browser.run(
            "[document.querySelector('nav').getBoundingClientRect().top, "
            "document.documentElement.scrollWidth]"
        )
        assert 0 <= top <= 2
        assert page_width <= width
        if not mobile:  # the table of the answer is seen whole
            assert browser.run(
                "(() => { const table = document.querySelector('#answer .scroll');"
                "return table.scrollWidth <= table.clientWidth + 1 })()"
            )
    # Of a figure as wide as the page, text on a phone stays readable: it is not shrunk to fit.
    frame, image = browser.run(
        "(() => { const image = [...document.querySelectorAll('.frame img')]"
        ".find((each) => !each.classList.contains('narrow'));"
        "image.closest('details')?.setAttribute('open', '');"
        "return [image.parentElement.clientWidth, image.getBoundingClientRect().width] })()"
    )
    assert image >= 700 > frame


@pytest.mark.slow
def test_the_page_is_dark_where_the_reader_s_screen_is(browser, page, tmp_path):
    found, bright = {}, {}
    for scheme in ("light", "dark"):
        in_light(browser, scheme)
        browser.open(page, 1400, 900)
        found[scheme] = browser.run(
            "[getComputedStyle(document.body).backgroundColor, "
            "getComputedStyle(document.body).color]"
        )
        browser.run("document.querySelectorAll('details').forEach((each) => (each.open = true))")
        for name in (".frame img", ".plot", "table.heat"):
            browser.run(f"document.querySelector('{name}').scrollIntoView({{block: 'center'}})")
            shot = tmp_path / "shot.png"
            browser.screenshot(shot)
            with PIL.Image.open(shot) as image:
                bright[scheme, name] = (np.asarray(image.convert("L")) > 128).mean()
    in_light(browser, "light")
    assert found["light"] == ["rgb(255, 255, 255)", "rgb(34, 34, 34)"]
    background, ink = ([int(n) for n in text[4:-1].split(",")] for text in found["dark"])
    assert max(background) < 60
    assert min(ink) > 200
    # Figures, plots and shades are drawn on white; none of them glares.
    assert min(share for (scheme, _), share in bright.items() if scheme == "light") > 0.8
    assert max(share for (scheme, _), share in bright.items() if scheme == "dark") < 0.2


def warned(folder):
    results, study = load_results(folder), load_study(folder)
    computed = {
        "datasets": tables.dataset_table(results, study),
        "noise": tables.noise_table(
            error_table(results, study), repeat_runs(results, study), study
        ),
    }
    return [w for w in study_warnings(results, study, computed) if "hardly learned" in w]


def test_networks_that_did_not_learn_are_warned_of_by_name(tmp_path):
    folder = write_study(tmp_path / "study", plan_of("digits", "textures", failed=()))
    assert warned(folder) == []
    table = pd.read_csv(folder / "results.csv", dtype=str, keep_default_na=False)
    row = (table["dataset"] == "digits") & (table["sweep"] == "digits")
    name = table.loc[row, "arch"].iloc[3]
    table.loc[table.index[row][3], ["error", "final_top1_err"]] = "75.66"
    table.to_csv(folder / "results.csv", index=False)
    (warning,) = warned(folder)
    assert f"Digits: {name} 75.66 %, where the median is" in warning
