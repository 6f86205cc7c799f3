"""The network to take, as files: its configuration, its weights, ONNX, and a model card."""

from pathlib import Path
from typing import Any

from pycls import files
from pycls.core.config.load import cfg_to_dict, load_cfg
from pycls.errors import PyclsError
from pycls.strict_yaml import dump_yaml

FOLDER = "network"
CFG, WEIGHTS, ONNX, CARD = "network.yaml", "weights.pyth", "network.onnx", "MODEL_CARD.md"
# What is of the place where it was trained, or of choosing, and not of the network.
_LEFT_OUT = ("OUT_DIR", "LOG_DEST", "CHECKPOINT", "LAUNCH")


def export_network(cfg_path: Path, weights: Path, folder: Path, card: str) -> list[str]:
    """Write the network into a folder.

    Args:
        cfg_path: the configuration of the run that trained it.
        weights: the run's last checkpoint.
        folder: where the files go.
        card: the text of the model card.

    Returns:
        Remarks: what could not be written, and why.

    Raises:
        CheckpointError: the checkpoint cannot be read.
    """
    import io

    import torch

    from pycls.core.weights.weights import load_weights_into, read_weights
    from pycls.models.builders import build_model
    from pycls.zoo.export import export_onnx

    cfg = load_cfg(cfg_path)
    keys = {key: value for key, value in cfg_to_dict(cfg).items() if key not in _LEFT_OUT}
    keys["DATA"] = {**keys["DATA"], "DIR": "", "VALIDATION_SHARE": 0.0}
    keys["TEST"] = {**keys["TEST"], "SPLIT": "test"}
    model = build_model(cfg)
    load_weights_into(model, read_weights(str(weights)))
    folder.mkdir(parents=True, exist_ok=True)
    files.write_text_if_changed(folder / CFG, dump_yaml(keys))
    buffer = io.BytesIO()
    torch.save({"model_state": model.state_dict()}, buffer)
    with files.atomic_path(folder / WEIGHTS) as temporary:
        temporary.write_bytes(buffer.getvalue())
    notes = []
    try:
        export_onnx(model, folder / ONNX, cfg.TRAIN.IM_SIZE)
    except PyclsError as error:
        notes.append(f"no ONNX file was written: {error}")
        (folder / ONNX).unlink(missing_ok=True)
    files.write_text_if_changed(folder / CARD, card)
    return notes


def make_card(answer: dict[str, Any]) -> str:
    """Return the model card of the network to take: what it is, how good, and how it came about.

    After Mitchell et al., Model Cards for Model Reporting, FAT* 2019.
    """
    taken, test = answer["taken"], answer["taken"]["test"]
    classes = ", ".join(answer["data"]["classes"][:20])
    more = len(answer["data"]["classes"]) - 20
    preparation = answer["data"]
    low, high = test["interval"]
    lines = [
        f"# {taken['title']} for {answer['data']['title']}",
        "",
        f"- Network: {taken['arch']} ({taken['flops']:,} multiply-adds, {taken['params']:,} "
        "parameters)" if taken["flops"] else f"- Network: {taken['arch']}",
        f"- Classes ({len(answer['data']['classes'])}): {classes}"
        + (f" and {more} more" if more > 0 else ""),
        f"- Input: RGB, {preparation['im_size']} x {preparation['im_size']} pixels, each channel "
        "scaled to 0..1, less the mean, by the deviation; the file `network.onnx` takes `images` "
        "(N x 3 x H x W) and gives `logits`",
        f"- Channel means: {_numbers(preparation['mean'])}; deviations: "
        f"{_numbers(preparation['std'])}",
        f"- Trained on {preparation['train_images']:,} images, chosen on "
        f"{preparation['validation_images']:,} others, {answer['plan']['epochs']} epochs, seed "
        f"{taken['seed']}",
        f"- Test error ({answer['metric']}): {test['error']:.2f} % of {test['images']:,} images "
        f"that neither training nor choice has seen (95 % interval {low:.2f} to {high:.2f})",
        "",
        "The interval is of images like the test images: taken at the same time, by the same "
        "camera, of the same classes in the same proportion. Of others the error may be larger, "
        "and of single classes too: `test_net.py` measures it on any prepared set.",
        "",
        f"Chosen by {answer['strategy']}, see `choice.json` beside this folder.",
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


def _numbers(values: list[float]) -> str:
    return ", ".join(f"{value:.4f}" for value in values)
