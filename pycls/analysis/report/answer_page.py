"""The answer page of a choice: which network to take, how good it is, and how sure that is."""

import os
from pathlib import Path
from typing import Any

from pycls import files
from pycls.analysis.inputs.choice_folder import load_answer
from pycls.analysis.report.html_tables import HtmlTable
from pycls.analysis.report.page import render_page
from pycls.analysis.wording import RHO, count, number, rho_interval, rho_number
from pycls.command_names import command_name
from pycls.schema import CHOICE_PAGE

# Fewer test images leave an interval that tells little.
_FEW_IMAGES = 200


def write_answer_page(folder: str | os.PathLike[str]) -> Path:
    """Write the page of a choice.json, which needs no file beside it, and return its path.

    Raises:
        ConfigError: choice.json is missing or damaged.
    """
    folder = Path(folder)
    path = folder / CHOICE_PAGE
    path.parent.mkdir(parents=True, exist_ok=True)
    files.write_text(path, answer_html(load_answer(folder), folder))
    return path


def answer_html(answer: dict[str, Any], folder: Path) -> str:
    """Return the page of a choice as HTML."""
    return render_page(
        "answer.html",
        {
            "title": f"A network for {answer['data']['title']}",
            "lead": _lead(answer),
            "facts": _facts(answer),
            "warnings": _warnings(answer),
            "contestants": _contestants(answer),
            "rungs": _rungs(answer),
            "sure": _sure(answer),
            "more": _more(answer),
            "commands": _commands(answer, folder),
            "methods": _methods(answer),
        },
    )


def _lead(answer: dict[str, Any]) -> str:
    taken, test = answer["taken"], answer["taken"]["test"]
    low, high = test["interval"]
    return (
        f"Take {_name(taken)}: on {test['images']:,} test images that neither training nor choice "
        f"has seen, {number(test['error'], 2)} % of its answers are wrong (95 % interval "
        f"{number(low, 2)} to {number(high, 2)})."
    )


def _name(contestant: dict[str, Any]) -> str:
    if contestant["name"] in ("chosen", "reference"):
        return f"{contestant['arch']} ({contestant['title']})"
    return str(contestant["title"])


def _facts(answer: dict[str, Any]) -> list[str]:
    by_name = {each["name"]: each for each in answer["contestants"]}
    texts = [
        f"Chosen by {answer['strategy']} for {answer['plan']['search_trainings']:.3g} of "
        f"{answer['plan']['trainings']:.3g} trainings; {answer['plan']['final_trainings']} compare "
        "in the end."
    ]
    for gain in answer["gains"]:
        other = by_name[gain["over"]]
        low, high = gain["interval"]
        text = f"Against {_name(other)}: "
        points = abs(gain["points"])
        text += (
            f"{number(points, 2)} points {'lower' if gain['points'] >= 0 else 'higher'} in error"
        )
        if low is not None:
            text += f" (95 % interval of what it gained: {number(low, 2)} to {number(high, 2)})"
            if low <= 0 <= high:
                text += "; the difference may be chance"
        texts.append(f"{text}.")
    if answer["taken"]["name"] != "chosen":
        texts.append(
            f"The search chose {answer['chosen']}, which on the validation images of the final "
            f"trainings does worse than {_name(answer['taken'])}."
        )
    return texts


def _warnings(answer: dict[str, Any]) -> list[str]:
    texts = []
    images = answer["taken"]["test"]["images"]
    if images < _FEW_IMAGES:
        texts.append(
            f"With {images} test images the error is known roughly; more would narrow the interval."
        )
    failed = sorted({arch for rung in answer["rungs"] for arch in rung["failed"]})
    if failed:
        texts.append(
            f"{count(len(failed), 'training')} failed and could not be chosen: "
            f"{', '.join(failed[:5])}{' and others' if len(failed) > 5 else ''}."
        )
    if "may be on both sides" in str(answer["data"].get("validation_rule", "")):
        texts.append(
            "The set does not say which images belong together, so that the validation error may "
            "be too low; prepare it again with this version (--replace)."
        )
    return texts


def _contestants(answer: dict[str, Any]) -> HtmlTable:
    gains = {gain["over"]: gain for gain in answer["gains"]}
    rows = []
    for each in sorted(answer["contestants"], key=lambda each: float(each["validation_error"])):
        gain = gains.get(each["name"])
        cells = [
            _name(each),
            f"{each['flops'] / 1e6:.4g}" if each["flops"] else "",
            str(len(each["seeds"])),
        ]
        cells += [number(each["validation_error"], 2), number(each["test_error"], 2)]
        cells.append("" if each["test_sd"] is None else number(each["test_sd"], 2))
        if gain is None:
            cells.append("taken")
        else:
            low, high = gain["interval"]
            interval = "" if low is None else f" [{number(low, 2)}, {number(high, 2)}]"
            cells.append(f"{number(gain['points'], 2)}{interval}")
        rows.append(cells)
    return HtmlTable(
        caption="Means over final trainings under seeds that no choice was made with, by "
        "validation error, which decides. Gains are points of test error that the "
        "taken one is lower by.",
        headers=[
            "network", "million flops", "seeds", "validation error (%)", "test error (%)",
            "deviation over seeds", "gain [95 %]",
        ],
        rows=rows,
        text_columns=(0,),
    )  # fmt: skip


def _rungs(answer: dict[str, Any]) -> HtmlTable | None:
    rows = []
    for rung in answer["rungs"]:
        low, high = rung["rho_interval"]
        rho = "" if rung["rho"] is None else rho_number(rung["rho"])
        if low is not None:
            rho += f" {rho_interval(low, high)}"
        again = rung["kept_again"]
        rows.append(
            [
                "class subset" if rung["stage"] == "filter" else "all classes",
                str(rung["epochs"]), str(rung["trained"]), str(rung["kept"]),
                number(rung["lowest_error"], 2), rho,
                "" if again is None else f"{number(100 * again, 0)} %",
            ]
        )  # fmt: skip
    if not rows:
        return None
    alike = answer["optimism"]["alike"]
    drawn = (
        "these are drawn for each network anew, which overstates chance, since networks tend to "
        "err on the same images"
        if alike is None
        else "networks err on the same ones as far as those that were trained the longest do "
        f"(tetrachoric correlation {number(alike, 2)})"
    )
    return HtmlTable(
        caption=f"Each stage, by validation errors. {RHO}: how far its ranking of those that went "
        "on is that of the next stage. Kept again: how often the stage would keep the one that was "
        f"chosen in the end, on as many other validation images; {drawn}.",
        headers=[
            "stage", "epochs", "trained", "kept", "lowest error (%)", f"{RHO} with the next [95 %]",
            "kept again",
        ],
        rows=rows,
        text_columns=(0,),
    )  # fmt: skip


def _sure(answer: dict[str, Any]) -> list[str]:
    optimism = answer["optimism"]
    if not optimism["candidates"] or optimism["validation"] is None:
        return []
    on_validation, on_test = (max(0.0, optimism[side]) for side in ("validation", "test"))
    texts = [
        f"The validation error by which the search chose among "
        f"{count(optimism['candidates'], 'network')} is too low by {number(on_validation, 2)} "
        "points on average, for the lowest of many is partly luck. Had the choice been made on the "
        f"test images, the test error would be too low by about {number(on_test, 2)} points; it "
        "was not, so its interval holds."
    ]
    rungs = sum(each["stage"] == "rung" for each in answer["rungs"])
    if optimism["alike"] is None or (rungs > 1 and optimism["carried"] is None):
        texts[0] += (
            " Both are upper bounds: how far the networks err on the same images, or what is luck "
            "at one stage is luck at the next, is not known."
        )
    if answer["rungs"][0]["stage"] == "filter":
        texts[0] += " The filter went by some of the same images and may add to both."
    own = next((each for each in answer["contestants"] if each["name"] == "chosen"), None)
    if own is not None and answer["searched_error"] is not None:
        texts.append(
            f"In the search, which ended with {answer['chosen']}, its validation error was "
            f"{number(answer['searched_error'], 2)} %; trained again under other seeds it is "
            f"{number(own['validation_error'], 2)} % on average."
        )
    return texts


def _more(answer: dict[str, Any]) -> str:
    doubling = answer["last_doubling"]
    taken = answer["taken"]["test"]
    text = ""
    if doubling["points"] is not None:
        text = (
            f"With half of the {doubling['candidates']} candidates, the lowest validation error "
            f"after epoch {doubling['epochs']} would have been {number(doubling['points'], 2)} "
            "points higher on average; twice as many are likely to bring no more than that. "
        )
    elif not answer["rungs"]:
        text = "Trainings on the set itself, by random search or halving, were not tried. "
    low, high = taken["interval"]
    return text + (
        f"Twice as many test images would narrow the interval from {number(high - low, 2)} to "
        f"about {number((high - low) / 2**0.5, 2)} points."
    )


def _commands(answer: dict[str, Any], folder: Path) -> list[tuple[str, str]]:
    network = folder / "network"
    key = answer["data"]["key"]
    onnx = "ONNX, " if (network / "network.onnx").is_file() else ""  # its packages may be missing
    # A set's own validation side is no part of what a training without one is given.
    more = ", now with the validation images too" if answer["data"]["validation_held_out"] else ""
    return [
        (
            f"It is in network/: weights, {onnx}and a model card. As another format:",
            f"{command_name('export_net')} --cfg {network}/network.yaml --weights "
            f"{network}/weights.pyth --format torch_export --out {key}.pt2",
        ),
        (
            "Its error on any prepared set of the same classes:",
            f"{command_name('test_net')} --cfg {network}/network.yaml TEST.WEIGHTS "
            f"{network}/weights.pyth TEST.DATASET {key}",
        ),
        (
            f"Train it on{more}:",
            f"{command_name('train_net')} --cfg {network}/network.yaml TRAIN.WEIGHTS "
            f"{network}/weights.pyth OUT_DIR runs/{key}",
        ),
    ]


def _methods(answer: dict[str, Any]) -> list[str]:
    data = answer["data"]
    return [
        f"Training side: {data['train_images']:,} images; validation side: "
        f"{data['validation_images']:,} ({data['validation_rule']}); test side: "
        f"{answer['taken']['test']['images']:,}. All choices, of the architecture and of the run "
        "that is taken, are made on the validation side; the test side was read once, for the "
        "final trainings.",
        "The interval of the error is Wilson's and allows for the test images. Intervals of gains "
        "allow for the test images, on which all err together, and for the seeds. Images of other "
        "origin are not covered by either.",
    ]
