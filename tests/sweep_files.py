"""Small sweep files for the tests."""

import copy
from pathlib import Path

import yaml

DATA = Path(__file__).resolve().parent / "data"
ROOT = Path(__file__).resolve().parents[1]
PYCLS = sorted((DATA / "pycls_configs" / "sweeps").rglob("*.yaml"))
OURS = sorted((ROOT / "configs" / "sweeps").rglob("*.yaml"))


def per_stage(kind, rand_type, low, high, quantum=1, length=2):
    item = {"TYPE": kind, "RAND_TYPE": rand_type, "RANGE": [low, high], "QUANTIZE": quantum}
    return {"TYPE": "list_sampler", "LENGTH": length, "ITEM_SAMPLER": item}


NETS = {
    "NAME": "nets",
    "SETUP": {
        "NUM_CONFIGS": 40,
        "SAMPLERS": {
            "ANYNET.DEPTHS": per_stage("int_sampler", "log_uniform", 1, 4),
            "ANYNET.WIDTHS": per_stage("int_sampler", "log_uniform", 8, 128, 8),
            "ANYNET.BOT_MULS": per_stage("float_sampler", "power2_uniform", 0.25, 1.0, 0.25),
            "ANYNET.GROUP_WS": per_stage("int_sampler", "power2_uniform", 1, 32),
        },
        "CONSTRAINTS": {"CX": {"FLOPS": [4e5, 2e6]}},
        "BASE_CFG": {
            "MODEL": {"TYPE": "anynet", "NUM_CLASSES": 10},
            "ANYNET": {"STEM_TYPE": "res_stem_cifar", "STEM_W": 8, "STRIDES": [1, 2]},
            "TRAIN": {"DATASET": "digits", "IM_SIZE": 8},
            "TEST": {"DATASET": "digits", "IM_SIZE": 8},
        },
    },
}
RATES = {
    "NAME": "group/rates",
    "SETUP": {
        "NUM_CONFIGS": 6,
        "SAMPLERS": {
            "OPTIM.BASE_LR": {"TYPE": "value_sampler", "VALUES": [0.1, 0.2, 1]},
            "RNG_SEED": {"TYPE": "int_sampler", "RANGE": [1, 2]},
        },
        "BASE_CFG": {
            "MODEL": {"TYPE": "anynet"},
            "ANYNET": {"DEPTHS": [1, 1], "WIDTHS": [16, 32], "STRIDES": [1, 2]},
            "TRAIN": {"IM_SIZE": 8},
        },
    },
}


def changed(sweep, changes):
    """Return a sweep with {way of keys: value, or ... to remove} applied."""
    sweep = copy.deepcopy(sweep)
    for way, value in changes.items():
        node = sweep
        for key in way[:-1]:
            node = node.setdefault(key, {})
        if value is ...:
            del node[way[-1]]
        else:
            node[way[-1]] = value
    return sweep


def write(path, sweep, changes=()):
    path.write_text(yaml.safe_dump(changed(sweep, dict(changes)), sort_keys=False))
    return path
