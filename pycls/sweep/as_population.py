"""The networks of a sweep as a population, so that other sweeps and studies train the same."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from pycls.errors import ConfigError
from pycls.models.widths import stage_lists
from pycls.spaces.anynet_count import AnyNetFrame
from pycls.spaces.population import Population
from pycls.sweep.count import frame_of
from pycls.sweep.setup import SweepSetup


def to_population(plan: SweepSetup) -> Population:
    """Return the networks of a sweep, one row a run.

    Args:
        plan: a sweep of AnyNets, or of RegNets, that differ in their stages only.

    Raises:
        ConfigError: the sweep has other networks, or they differ in what a population shares.
    """
    place = plan.sweep.where("SETUP")
    kind = plan.base.flat["MODEL.TYPE"]
    networks = [{**plan.base.flat, **row} for row in plan.draws.rows]
    if {kind, *(network["MODEL.TYPE"] for network in networks)} not in ({"anynet"}, {"regnet"}):
        raise ConfigError(
            f"{place}: a population is of AnyNets or of RegNets; MODEL.TYPE is {kind!r} here"
        )
    frames = [_frame(network, kind, place) for network in networks]
    for run, frame in enumerate(frames):
        if frame != frames[0]:
            raise ConfigError(
                f"{place}: networks of one population share stem, blocks, strides, head, image "
                f"size and classes, but runs 0 and {run} have {frames[0]} and {frame}; give "
                "the networks a sweep for each (for RegNets, CONSTRAINTS.REGNET.NUM_STAGES [4, 4])"
            )
    stages = [_stages(network, kind) for network in networks]
    depths, widths, bot_muls, group_ws = (np.array(values) for values in zip(*stages, strict=True))
    if not frames[0].has_groups:
        bot_muls, group_ws = np.ones(depths.shape), np.ones(depths.shape, dtype=np.int64)
    labels = plan.draws.labels if plan.sweep.setup["POPULATION"] else ()
    return Population(
        depths=depths,
        widths=widths,
        bot_muls=bot_muls.astype(np.float64),
        group_ws=group_ws,
        flops=plan.draws.counts["flops"],
        params=plan.draws.counts["params"],
        acts=plan.draws.counts["acts"],
        frame=frames[0],
        ids=tuple(labels) if len(set(labels)) == len(networks) else (),
    )


def _stages(cfg: Mapping[str, Any], kind: str) -> tuple[list, list, list, list]:
    section = f"{kind.upper()}."
    own = {k.removeprefix(section): v for k, v in cfg.items() if k.startswith(section)}
    return stage_lists(kind, own)


def _frame(cfg: Mapping[str, Any], kind: str, place: str) -> AnyNetFrame:
    section = kind.upper()
    if cfg[f"{section}.SE_ON"]:
        raise ConfigError(
            f"{place}: networks with squeeze-and-excitation ({section}.SE_ON) cannot be listed as "
            "a population, which has no column for it; leave --population-out away"
        )
    strides = cfg["ANYNET.STRIDES"]
    if kind == "regnet":
        strides = [cfg["REGNET.STRIDE"]] * len(_stages(cfg, kind)[0])
    return frame_of(section, cfg, strides)
