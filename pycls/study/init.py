"""The first study file of a data set, commented, with what was assumed for its size."""

import os
import shlex
from pathlib import Path

from pycls import files
from pycls.command_names import command_name
from pycls.datasets.catalog.catalog import CATALOG
from pycls.datasets.catalog.views import list_views
from pycls.datasets.opening.dataset import open_dataset
from pycls.datasets.opening.expected import ExpectedFacts, counted_facts, expected_facts
from pycls.datasets.opening.locate import list_prepared, resolve_data_dir
from pycls.errors import ConfigError, DataError
from pycls.progress import count
from pycls.spaces.by_name import make_space
from pycls.strict_yaml import dump_yaml
from pycls.study.recipe import assumed_recipe, assumed_space

ARCHITECTURES = 30
_SEEDS = 4
# Final trainings of a choice: the chosen and two baselines, three seeds each.
_COMPARED = 9


def write_first_study(
    dataset: str,
    out: Path,
    data_dir: str | os.PathLike[str] | None = None,
    size: int = ARCHITECTURES,
) -> list[str]:
    """Write a study file for one data set that stands alone; an existing file is left alone.

    Args:
        dataset: a prepared set, a view, or a set of the catalogue that is yet to be prepared.
        out: the file.
        data_dir: folder of the prepared sets; None: PYCLS_DATA, or else `data`.
        size: architectures to train.

    Returns:
        What was assumed, a sentence each.

    Raises:
        ConfigError: the file is there, or the set is unknown.
    """
    if out.exists():
        raise ConfigError(f"{out}: is there already; remove it, or name another file with --out")
    if not out.parent.is_dir():
        raise ConfigError(f"{out}: there is no folder {out.parent}; make it first")
    if os.sep in dataset or (Path(dataset).is_dir() and dataset not in list_prepared(data_dir)):
        name = Path(dataset).resolve().name
        raise ConfigError(
            f"{dataset}: is a folder and no prepared set; prepare it first, under a name of its "
            f"own: 'tools/prepare_data.py prepare folder --raw {shlex.quote(str(dataset))} --name "
            f"{name}', then give "
            "that name here"
        )
    facts = _facts_of(dataset, data_dir)
    text, notes = _study_text(dataset, facts, size)
    files.write_text(out, text)
    return notes


def _facts_of(dataset: str, data_dir: str | os.PathLike[str] | None) -> ExpectedFacts:
    """Return what is known of a set, prepared or expected."""
    folder = resolve_data_dir(data_dir)
    try:
        train, test = (open_dataset(dataset, side, folder) for side in ("train", "test"))
    except DataError as error:
        if dataset in (*CATALOG, *list_views(folder)):
            return expected_facts(dataset, folder)
        raise ConfigError(
            f"{error}. Of images of your own: 'tools/prepare_data.py prepare folder --raw FOLDER "
            f"--name {dataset}'"
        ) from None
    return counted_facts(train, test)


def _study_text(dataset: str, facts: ExpectedFacts, size: int) -> tuple[str, list[str]]:
    recipe = assumed_recipe(facts.train_images)
    space, (low, high) = assumed_space(facts.im_size, facts.num_classes)
    # A space for images of an unusual size may not reach the bounds: said now, not at the run.
    make_space("AnyNetX", **space).sample(size, 1, flops=(low, high))
    optim, batch = recipe["OPTIM"], recipe["TRAIN"]["BATCH_SIZE"]
    about = "" if facts.exact else "about "
    notes = [
        f"{dataset}: {about}{facts.train_images:,} training and {about}{facts.test_images:,} test "
        f"images of {facts.im_size} x {facts.im_size} pixels in {facts.num_classes} classes",
        f"{size} architectures of {low / 1e6:g} to {high / 1e6:g} million multiply-adds: the "
        "published study's 360 to 400 at 224 x 224 pixels, in proportion to the pixels",
        f"{count(optim['MAX_EPOCH'], 'epoch')} with batches of {batch}: about "
        f"{facts.train_images // batch * optim['MAX_EPOCH']:,} steps; learning rate "
        f"{optim['BASE_LR']:g}, in proportion to the batch",
        "one checkpoint a run is kept, the last",
        f"one architecture is trained under {_SEEDS} seeds, to tell luck from merit",
    ]
    settings = {
        "SPACE": dump_yaml(space),
        "OPTIM": dump_yaml(optim),
    }
    space_lines, optim_lines = (
        "\n".join(f"    {line}" for line in text.splitlines()) for text in settings.values()
    )
    text = f"""\
# Which small network is best on {dataset}? A first study of one data set.
#
#   {command_name("study")} plan THIS_FILE      what would it take?
#   {command_name("study")} run THIS_FILE       train, collect, report; give it again to go on
#
# Everything below may be changed before the first run. What was assumed, and why:
{chr(10).join(f"#   - {note}" for note in notes)}
name: {_file_name(dataset)}
title: "Networks for {facts.title or dataset}"

# Architectures are drawn from a design space within bounds of complexity. Wider ranges hold more
# kinds of networks; wider bounds mix cheap with dear ones.
population:
  space:
{space_lines}
  size: {size}
  seed: 1
  flops: [{low:.2e}, {high:.2e}]

# The recipe of all runs (docs/training.md). More epochs make errors lower and rankings surer.
config:
  OPTIM:
{optim_lines}
  # On a GPU: bfloat16 and captured steps where it can; run.json says what it came to.
  TRAIN: {{BATCH_SIZE: {batch}, MIXED_PRECISION: auto, CUDA_GRAPH: auto}}
  TEST: {{BATCH_SIZE: {max(batch, 200)}}}
  CHECKPOINT: {{KEEP: last}}   # all: every epoch's, which takes {optim["MAX_EPOCH"]} times the disk

datasets:
  {dataset}: {{}}

# The same architecture under several seeds: how much of the differences is luck?
repeats:
  - {{dataset: {dataset}, arch: a0000, seeds: {list(range(1, _SEEDS + 1))}}}

# One network for use, its error honest: {command_name("study")} choose THIS_FILE. It is chosen on
# images held out of the training side; the budget is in trainings, comparisons included.
choose: {{strategy: halving, trainings: {max(size, 2 * _COMPARED)}}}

# To ask whether another set predicts the ranking on this one (docs/studies.md), add it above and:
# reference: OTHER_SET
# targets: [{dataset}]
"""
    return text, notes


def _file_name(dataset: str) -> str:
    return dataset if dataset[:1].isalnum() else f"study_{dataset.strip('_')}"
