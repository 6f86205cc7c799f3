"""A study of seconds, as its file says it."""

TINY = {
    "name": "tiny",
    "title": "A tiny study",
    "population": {
        "space": {
            "num_stages": 2, "strides": [1, 2], "stem_type": "res_stem_cifar", "stem_w": 8,
            "depth": [1, 2], "width": [8, 32], "group_w": [4, 8], "resolution": 8,
            "num_classes": 10,
        },
        "size": 4,
        "seed": 3,
    },
    "config": {
        "BN": {"USE_PRECISE_STATS": False},
        "OPTIM": {"MAX_EPOCH": 3},
        "TRAIN": {"BATCH_SIZE": 256},
        "TEST": {"BATCH_SIZE": 1000},
        "DATA": {"PAD": 1},
        "PREC_TIME": {"NUM_ITER": 0},  # longer than such a training itself
        "DEVICE": "cpu",
    },
    "datasets": {"digits": {}, "digits_3": {"of": "digits", "num_classes": 3}, "textures": {}},
    "reference": "digits",
    "family": ["digits_3"],
    "targets": ["textures"],
    "repeats": [{"dataset": "digits", "arch": "a0000", "seeds": [1, 2]}],
}  # fmt: skip
