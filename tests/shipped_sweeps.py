"""The sweeps that come along, made small by overrides: three configurations of one epoch."""

from sweep_files import OURS

SWEEPS = {path.stem: path for path in OURS}
_SMALL = {
    "SETUP.NUM_CONFIGS": 3,
    "SETUP.BASE_CFG.OPTIM.MAX_EPOCH": 1,
    "SETUP.BASE_CFG.OPTIM.WARMUP_EPOCHS": 0,
    "SETUP.BASE_CFG.TRAIN.BATCH_SIZE": 20,
    "SETUP.BASE_CFG.DATA.PER_CLASS": 2,
    "SETUP.BASE_CFG.TEST.BATCH_SIZE": 10,
    "SETUP.BASE_CFG.BN.USE_PRECISE_STATS": False,
    "SETUP.BASE_CFG.PREC_TIME.NUM_ITER": 1,
    "SETUP.BASE_CFG.PREC_TIME.WARMUP_ITER": 1,
    "SETUP.BASE_CFG.DEVICE": "cpu",
    # Most of the time went into emulating short floats, and into compiling kernels in each worker.
    "SETUP.BASE_CFG.TRAIN.MIXED_PRECISION": False,
    "SETUP.BASE_CFG.LAYER_FORMS": "library",
    "LAUNCH.PARTITION": "",
    "LAUNCH.NUM_GPUS": 0,
    "LAUNCH.CPUS_PER_GPU": 1,
    "LAUNCH.MEM_PER_GPU": 2,
}
_OF_OPTIM = {"SETUP.BASE_CFG.ANYNET.DEPTHS": [1, 1, 1]}
# What draws the number of epochs leaves none to choose, and its parts of the sweep are as long.
_OF_BEST = {
    "SETUP.SAMPLERS": "{OPTIM.MAX_EPOCH: {TYPE: value_sampler, VALUES: [1]}, RNG_SEED: {TYPE: "
    "int_sampler, RAND_TYPE: uniform, RANGE: [1, 3], QUANTIZE: 1}}",
    "ANALYZE.SPLIT_FILTERS": "{}",
}


def small(name):
    """Return the KEY VALUE words that make a sweep small."""
    settings = _SMALL | {"cifar_optim": _OF_OPTIM, "cifar_best": _OF_BEST}.get(name, {})
    return [str(word) for pair in settings.items() for word in pair]
