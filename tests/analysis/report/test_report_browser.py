"""The report as a reader uses it, in headless Chromium."""

import csv
import json
import re
import shutil
import zlib

import pytest
from browser import CHROMIUM, NO_CHROMIUM, Browser
from synthetic_study import Plan, write_study

from pycls.analysis.report.report import write_report
from pycls.analysis.wording import RHO

pytestmark = [pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason=NO_CHROMIUM)]

HOSTILE = 'Photos <b>"A&B"</b> \'ü\' Ω </script><script>document.title="broken"</script>'
PLACE = """
(() => {{
  const panel = document.querySelectorAll("#explore-panels .panel")[{panel}];
  panel.scrollIntoView({{block: "center"}});
  const box = panel.querySelector("canvas + canvas").getBoundingClientRect();
  return [box.left, box.top, box.width, box.height];
}})()
"""


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """The page alone, without the files beside it, of a study with curves and hostile names."""
    folder = write_study(tmp_path_factory.mktemp("browser") / "study", Plan(archs=24))
    study = json.loads((folder / "study.json").read_text())
    study["datasets"]["photographs"]["title"] = HOSTILE
    study["title"] = f"Study of {HOSTILE}"
    (folder / "study.json").write_text(json.dumps(study))
    write_curves(folder)
    alone = tmp_path_factory.mktemp("alone") / "index.html"
    shutil.copy(write_report(folder), alone)
    return alone


@pytest.fixture(scope="module")
def chromium(tmp_path_factory):
    browser = Browser(tmp_path_factory.mktemp("profile"))
    yield browser
    browser.close()


def write_curves(folder, epochs=5):
    with (folder / "results.csv").open(newline="") as file:
        runs = [row for row in csv.DictReader(file) if row["status"] == "done"]
    lines = ["run,sweep,arch,seed,epoch,test_top1_err,test_topk_err,train_top1_err,train_topk_err"]
    for run in runs:
        for epoch in range(1, epochs + 1):
            error = float(run["error"]) + 3 * (epochs - epoch)
            shown = "nan" if epoch == 1 else f"{error:.4f}"
            head = ",".join(run[name] for name in ("run", "sweep", "arch", "seed"))
            lines.append(f"{head},{epoch},{shown},0.0,{error + 1:.4f},0.0")
    (folder / "curves.csv").write_text("\n".join(lines) + "\n")


def test_it_opens_without_errors_requests_or_hostile_text_at_work(chromium, page):
    chromium.open(page)
    assert chromium.errors == []
    outside = [url for url in chromium.requests if not url.startswith("data:")]
    assert outside == [page.as_uri()]
    assert chromium.run("document.title") == f"Study of {HOSTILE}"
    titles = "[...document.querySelectorAll('#explore-panels strong')].map((e) => e.textContent)"
    assert chromium.run(titles) == [HOSTILE, "Textures", "Faces"]
    broken = "[...document.images].filter((e) => e.complete && !e.naturalWidth).length"
    assert chromium.run("document.images.length") > 7
    chromium.run("Promise.all([...document.images].map((e) => e.decode()))")
    assert chromium.run(broken) == 0


def test_hovering_names_the_architecture_and_a_click_follows_it(chromium, page):
    chromium.open(page)
    best = chromium.run("JSON.parse(document.getElementById('report-data').textContent)")
    arch, x, y = nearest_point(chromium, best)
    chromium.mouse("mouseMoved", x, y)
    tip = chromium.run("document.getElementById('tip').innerText")
    assert not chromium.run("document.getElementById('tip').hidden")
    assert tip.startswith(best["archs"][arch])
    assert best["about"][arch] in " ".join(tip.split())
    assert re.search(r"rank \d+ of 2[34]", tip)
    chromium.click(x, y)
    row = chromium.run("document.querySelector('#explore-picked tbody').innerText")
    assert best["archs"][arch] in row
    assert best["archs"][arch] in chromium.run("document.getElementById('curve-key').innerText")
    # The mark is drawn in every plot that has the architecture.
    inked = """[...document.querySelectorAll(".panel canvas + canvas")].map((canvas) =>
      canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data.some(Boolean))"""
    assert chromium.run(inked) == [True, True, True]
    chromium.run("document.getElementById('explore-clear').click()")
    chromium.mouse("mouseMoved", 1, 1)
    assert chromium.run(inked) == [False, False, False]
    assert chromium.run("document.getElementById('explore-picked').innerText") == ""
    assert chromium.errors == []


def nearest_point(chromium, data):
    """Return an architecture of the first plot and where it is, found by hovering over it."""
    left, top, width, height = chromium.run(PLACE.format(panel=0))
    for step in range(400):
        x = left + 50 + (step % 20) * (width - 60) / 20
        y = top + 10 + (step // 20) * (height - 50) / 20
        chromium.mouse("mouseMoved", x, y)
        name = chromium.run("(tip.hidden ? '' : tip.querySelector('strong').textContent)")
        if name:
            return data["archs"].index(name), x, y
    raise AssertionError("no point found")


def test_the_keyboard_reaches_every_point(chromium, page):
    chromium.open(page)
    chromium.run("document.querySelector('.panel canvas + canvas').focus()")
    data = chromium.run("JSON.parse(document.getElementById('report-data').textContent)")
    x, y = (next(c for c in data["columns"] if c["key"] == k) for k in ("digits", "photographs"))
    both = [i for i in range(24) if x["values"][i] is not None and y["values"][i] is not None]
    seen = []
    for _ in both:
        chromium.key("ArrowRight")
        seen.append(chromium.run("tip.querySelector('strong').textContent"))
    in_order = sorted(both, key=lambda i: x["values"][i])
    assert seen == [data["archs"][i] for i in in_order]
    chromium.key("Enter")
    picked = chromium.run("document.querySelector('#explore-picked button').textContent")
    assert picked.endswith(seen[-1])
    chromium.key("Escape")
    assert chromium.run("document.getElementById('explore-picked').innerText") == ""
    assert chromium.run("tip.hidden")


def test_axes_can_be_chosen_and_cells_open_their_plot(chromium, page):
    chromium.open(page)
    choose = "(({0}).value = '{1}', ({0}).dispatchEvent(new Event('change')))"
    against = "document.getElementById('explore-x')"
    first = "document.querySelector('#explore-panels .panel').innerText"
    rho = {}
    for key in ("digits", "closest", "parameter:cum_depth"):
        chromium.run(choose.format(against, key))
        rho[key] = chromium.run(first)
        assert re.search(rf"{RHO} = .*\[.*\], n = \d+, p [=<]", rho[key])
    assert len(set(rho.values())) == 3
    assert "cumulative depth" in rho["parameter:cum_depth"]
    chromium.run(choose.format("document.getElementById('explore-group')", "all"))
    assert chromium.run("document.querySelectorAll('#explore-panels .panel').length") == 6
    cell = "document.querySelector('table.heat td[data-x=digits][data-y=faces] button')"
    chromium.run(f"{cell}.click()")
    opened = chromium.run("document.querySelector('#pairs .pair .panel').innerText")
    assert opened.startswith("Faces and Digits")
    assert f"{RHO} = {chromium.run(f'{cell}.textContent')} [" in opened
    chromium.run(choose.format("document.getElementById('curve-dataset')", "textures"))
    assert "lowest error" in chromium.run("document.getElementById('curve-key').innerText")
    assert chromium.errors == []


def test_a_phone_shows_all_of_it_and_a_tap_names_a_point(chromium, page):
    chromium.open(page, 360, 740, mobile=True)
    assert chromium.run("document.documentElement.scrollWidth") == 360
    wide = """[...document.querySelectorAll("body *")]
      .filter((e) => !e.closest(".scroll, .frame, nav")
      && e.getBoundingClientRect().right > 360.5).map((e) => e.outerHTML.slice(0, 80))"""
    assert chromium.run(wide) == []
    left, top, width, height = chromium.run(PLACE.format(panel=1))
    named = set()
    for step in range(40):
        x, y = left + 50 + (step % 8) * (width - 60) / 8, top + 20 + (step // 8) * height / 6
        chromium.tap(x, y)
        named.add(chromium.run("tip.hidden ? '' : tip.querySelector('strong').textContent"))
        box = chromium.run("(({left, right}) => [left, right])(tip.getBoundingClientRect())")
        assert box[0] >= 0
        assert box[1] <= 360
        if named - {""}:
            break
    assert named - {""}
    assert named - {""} <= set(chromium.run("JSON.parse("
        "document.getElementById('report-data').textContent).archs"))  # fmt: skip
    assert chromium.errors == []


def test_print_shows_figures_in_place_of_plots(chromium, page):
    chromium.open(page)
    pdf = chromium.print_pdf()
    assert pdf.startswith(b"%PDF")
    streams = re.findall(rb"stream\r?\n(.*?)endstream", pdf, re.DOTALL)
    assert sum(len(unpacked(stream)) for stream in streams) > 50_000  # figures are drawn
    chromium.send("Emulation.setEmulatedMedia", media="print")
    try:
        shown = "[...document.querySelectorAll('{0}')].filter((e) => e.checkVisibility()).length"
        assert chromium.run(shown.format(".interactive, .controls, #tip")) == 0
        chromium.run("window.dispatchEvent(new Event('beforeprint'))")
        assert chromium.run(shown.format("#paper-fig3 img, #paper-fig4 img")) == 2
        chromium.run("window.dispatchEvent(new Event('afterprint'))")
    finally:
        chromium.send("Emulation.setEmulatedMedia", media="")


def unpacked(stream):
    try:
        return zlib.decompress(stream.rstrip(b"\r\n"))
    except zlib.error:
        return b""


def test_a_figure_is_downloaded_from_the_page_alone(chromium, page):
    chromium.open(page)
    script = """(() => {
      const link = document.querySelector("#figures-edf a.embedded");
      link.addEventListener("click", (event) => event.preventDefault());
      link.click();
      return [link.download, link.href.slice(0, 30)];
    })()"""
    assert chromium.run(script) == ["edf.svg", "data:image/svg+xml;charset=utf"]


def test_without_scripts_figures_and_tables_are_there(chromium, page):
    chromium.send("Emulation.setScriptExecutionDisabled", value=True)
    try:
        chromium.load(page)
        document = chromium.send("DOM.getDocument")["root"]["nodeId"]
        find = {"nodeId": document, "selector": "details.folded[open] #paper-fig3 img"}
        found = chromium.send("DOM.querySelector", **find)["nodeId"]
        assert chromium.send("DOM.getBoxModel", nodeId=found)["model"]["height"] > 50
        explorer = chromium.send("DOM.querySelector", nodeId=document, selector="#explore[hidden]")
        assert explorer["nodeId"]
    finally:
        chromium.send("Emulation.setScriptExecutionDisabled", value=False)


def test_the_hook_for_measuring_answers(chromium, page):
    chromium.open(page)
    found = chromium.run("window.pyclsBenchmark(60)")
    assert found["panels"] == 3
    # The browser's clock has steps of 0.1 ms: half of the hovers may take none of them.
    assert 0 <= found["median"] <= found["highest"]
    assert found["highest"] > 0
