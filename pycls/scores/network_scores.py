"""All zero-cost scores of one network, on one batch of a data set."""

import copy

import torch
from torch import nn
from yacs.config import CfgNode

from pycls.core.loaders import build_loader
from pycls.errors import PyclsError
from pycls.models.builders import build_model
from pycls.models.counting import count
from pycls.schema import SCORES
from pycls.scores.batch_pass import batch_scores, value_or_reason
from pycls.scores.dataless import l2_norm, synflow, zen

Batch = tuple[torch.Tensor, torch.Tensor]


def score_network(
    model: nn.Module, images: torch.Tensor, labels: torch.Tensor, num_classes: int, seed: int = 0
) -> dict[str, float | str]:
    """Return the zero-cost scores of a network, but those that count it; see :func:`score`.

    Args:
        model: with its first weights; left as it is.
        images: N x 3 x H x H, normalised.
        labels: N, int64.
        num_classes: of the data set.
        seed: of the draws of Zen and of dropout.
    """
    side = images.shape[-1]
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        found = batch_scores(copy.deepcopy(model), images, labels, num_classes)
    return found | {
        "synflow": value_or_reason(lambda: synflow(model, side)),
        "zen": value_or_reason(lambda: zen(model, len(images), side, generator)),
        "l2_norm": value_or_reason(lambda: l2_norm(model)),
    }


def first_batch(cfg: CfgNode) -> Batch:
    """Return the batch that a training begins with, on the CPU: images and labels.

    Raises:
        ConfigError: the data set holds no batch.
        DataError: it is missing or damaged.
    """
    loader = build_loader(cfg, "TRAIN", torch.device("cpu"))
    images, labels = next(iter(loader.epoch(0)))
    return images, labels


def score(cfg: CfgNode, batch: Batch) -> dict[str, float | str]:
    """Return {score: value, or why there is none} of a configuration's network, in order.

    All of :data:`pycls.schema.SCORES`, each so that more is taken for better: params, flops and
    acts as :func:`pycls.models.complexity` counts them, the others by
    :func:`pycls.scores.batch_pass.batch_scores` and :mod:`pycls.scores.dataless`. The same
    configuration and batch give the same numbers with the same number of threads.

    Args:
        cfg: the configuration.
        batch: as from :func:`first_batch`.
    """
    counted = count(cfg)
    no_rule = f"no counting rule for {', '.join(counted.without_rule[:3])}"
    found: dict[str, float | str] = {
        **{
            name: float(counted.counts[name]) if name in counted.counts else no_rule
            for name in ("params", "flops", "acts")
        },
        **score_network(build_model(cfg), *batch, cfg.MODEL.NUM_CLASSES, cfg.RNG_SEED),
    }
    missing = set(SCORES) ^ set(found)
    if missing:
        raise PyclsError(f"scores without a value: {', '.join(sorted(missing))}")
    return {name: found[name] for name in SCORES}
