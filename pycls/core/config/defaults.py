"""Holds every configuration key with its default value.

The keys, types and defaults are pycls's (read at 5719de6), so that its YAML files load
unchanged. What this project adds stands in the sections at the end.
"""

from yacs.config import CfgNode as Node


def default_cfg() -> Node:
    """Return a new, unfrozen node that holds the default of every key."""
    cfg = Node()

    # ------------------------------------------------------------------ model
    cfg.MODEL = Node()
    cfg.MODEL.TYPE = ""
    cfg.MODEL.DEPTH = 0  # ResNet depth
    cfg.MODEL.NUM_CLASSES = 10
    cfg.MODEL.LOSS_FUN = "cross_entropy"
    cfg.MODEL.ACTIVATION_FUN = "relu"
    cfg.MODEL.ACTIVATION_INPLACE = True
    cfg.MODEL.SCALING_TYPE = ""
    cfg.MODEL.SCALING_FACTOR = 1.0

    cfg.RESNET = Node()
    cfg.RESNET.TRANS_FUN = "basic_transform"
    cfg.RESNET.NUM_GROUPS = 1
    cfg.RESNET.WIDTH_PER_GROUP = 64
    cfg.RESNET.STRIDE_1X1 = True

    cfg.ANYNET = Node()
    cfg.ANYNET.STEM_TYPE = "simple_stem_in"
    cfg.ANYNET.STEM_W = 32
    cfg.ANYNET.BLOCK_TYPE = "res_bottleneck_block"
    cfg.ANYNET.DEPTHS = []  # blocks of each stage
    cfg.ANYNET.WIDTHS = []  # output width of each stage
    cfg.ANYNET.STRIDES = []  # stride of the first block of each stage
    cfg.ANYNET.BOT_MULS = []  # bottleneck width as a multiple of the width (1 / b)
    cfg.ANYNET.GROUP_WS = []  # channels of a group of the 3x3 convolution
    cfg.ANYNET.HEAD_W = 0  # width of a 1x1 convolution before the pooling; 0: none
    cfg.ANYNET.SE_ON = False
    cfg.ANYNET.SE_R = 0.25

    cfg.REGNET = Node()
    cfg.REGNET.STEM_TYPE = "simple_stem_in"
    cfg.REGNET.STEM_W = 32
    cfg.REGNET.BLOCK_TYPE = "res_bottleneck_block"
    cfg.REGNET.STRIDE = 2
    cfg.REGNET.SE_ON = False
    cfg.REGNET.SE_R = 0.25
    cfg.REGNET.DEPTH = 10
    cfg.REGNET.W0 = 32
    cfg.REGNET.WA = 5.0
    cfg.REGNET.WM = 2.5
    cfg.REGNET.GROUP_W = 16
    cfg.REGNET.BOT_MUL = 1.0
    cfg.REGNET.HEAD_W = 0

    cfg.EN = Node()
    cfg.EN.STEM_W = 32
    cfg.EN.DEPTHS = []
    cfg.EN.WIDTHS = []
    cfg.EN.EXP_RATIOS = []
    cfg.EN.SE_R = 0.25
    cfg.EN.STRIDES = []
    cfg.EN.KERNELS = []
    cfg.EN.HEAD_W = 1280
    cfg.EN.DC_RATIO = 0.0
    cfg.EN.DROPOUT_RATIO = 0.0

    cfg.VIT = Node()
    cfg.VIT.PATCH_SIZE = 16
    cfg.VIT.STEM_TYPE = "patchify"
    cfg.VIT.C_STEM_KERNELS = []
    cfg.VIT.C_STEM_STRIDES = []
    cfg.VIT.C_STEM_DIMS = []
    cfg.VIT.NUM_LAYERS = 12
    cfg.VIT.NUM_HEADS = 12
    cfg.VIT.HIDDEN_DIM = 768
    cfg.VIT.MLP_DIM = 3072
    cfg.VIT.CLASSIFIER_TYPE = "token"

    # Networks of other libraries: a name there, and arguments as ["drop_path_rate=0.1", ...].
    cfg.TIMM = Node()
    cfg.TIMM.NAME = ""
    cfg.TIMM.ARGS = []

    cfg.TORCHVISION = Node()
    cfg.TORCHVISION.NAME = ""
    cfg.TORCHVISION.ARGS = []

    # ---------------------------------------------------------- normalisation
    cfg.BN = Node()
    cfg.BN.EPS = 1e-5
    cfg.BN.MOM = 0.1  # PyTorch's momentum: the weight of the new batch
    cfg.BN.USE_PRECISE_STATS = True
    cfg.BN.NUM_SAMPLES_PRECISE = 8192
    cfg.BN.ZERO_INIT_FINAL_GAMMA = False
    cfg.BN.USE_CUSTOM_WEIGHT_DECAY = False
    cfg.BN.CUSTOM_WEIGHT_DECAY = 0.0

    cfg.LN = Node()
    cfg.LN.EPS = 1e-5
    cfg.LN.USE_CUSTOM_WEIGHT_DECAY = False
    cfg.LN.CUSTOM_WEIGHT_DECAY = 0.0

    # ----------------------------------------------------------- optimisation
    cfg.OPTIM = Node()
    cfg.OPTIM.OPTIMIZER = "sgd"
    cfg.OPTIM.BASE_LR = 0.1
    cfg.OPTIM.LR_POLICY = "cos"
    cfg.OPTIM.STEPS = []  # epochs at which LR_POLICY steps decays; the first is 0
    cfg.OPTIM.LR_MULT = 0.1
    cfg.OPTIM.MIN_LR = 0.0  # as a fraction of BASE_LR
    cfg.OPTIM.MAX_EPOCH = 200
    # Stop after so many epochs of that schedule, to go on some other time; 0: at its end. What is
    # trained does not depend on it.
    cfg.OPTIM.STOP_EPOCH = 0
    cfg.OPTIM.MOMENTUM = 0.9
    cfg.OPTIM.DAMPENING = 0.0
    cfg.OPTIM.NESTEROV = True
    cfg.OPTIM.BETA1 = 0.9
    cfg.OPTIM.BETA2 = 0.999
    cfg.OPTIM.WEIGHT_DECAY = 5e-4
    cfg.OPTIM.WARMUP_EPOCHS = 0
    cfg.OPTIM.WARMUP_FACTOR = 0.1
    cfg.OPTIM.BIAS_USE_CUSTOM_WEIGHT_DECAY = False
    cfg.OPTIM.BIAS_CUSTOM_WEIGHT_DECAY = 0.0
    cfg.OPTIM.EMA_ALPHA = 1e-5
    cfg.OPTIM.EMA_UPDATE_PERIOD = 32
    cfg.OPTIM.MTA = False

    # --------------------------------------------------------------- training
    cfg.TRAIN = Node()
    cfg.TRAIN.DATASET = ""  # a prepared set or view: its name in DATA.DIR, or its path
    cfg.TRAIN.SPLIT = "train"
    cfg.TRAIN.BATCH_SIZE = 128
    cfg.TRAIN.IM_SIZE = 224
    cfg.TRAIN.AUTO_RESUME = True
    cfg.TRAIN.WEIGHTS = ""
    cfg.TRAIN.MIXED_PRECISION = False
    cfg.TRAIN.LABEL_SMOOTHING = 0.0
    cfg.TRAIN.MIXUP_ALPHA = 0.0
    cfg.TRAIN.CUTMIX_ALPHA = 0.0
    cfg.TRAIN.PCA_STD = 0.1
    cfg.TRAIN.AUGMENT = ""

    # ---------------------------------------------------------------- testing
    cfg.TEST = Node()
    cfg.TEST.DATASET = ""
    cfg.TEST.SPLIT = "val"
    cfg.TEST.BATCH_SIZE = 200
    cfg.TEST.IM_SIZE = 256  # the shorter side before the centre crop of TRAIN.IM_SIZE
    cfg.TEST.WEIGHTS = ""
    # Whether the classes of both sides are matched by their order where their names differ.
    cfg.TEST.CLASSES_BY_POSITION = False

    # ----------------------------------------------------- machine and launch
    cfg.DATA_LOADER = Node()
    cfg.DATA_LOADER.MODE = "pytorch"
    cfg.DATA_LOADER.NUM_WORKERS = 8  # most processes that decode files; 0: the run's own does
    cfg.DATA_LOADER.PIN_MEMORY = True

    cfg.CUDNN = Node()
    cfg.CUDNN.BENCHMARK = True

    cfg.PREC_TIME = Node()
    cfg.PREC_TIME.WARMUP_ITER = 3
    cfg.PREC_TIME.NUM_ITER = 30

    cfg.FSDP = Node()
    cfg.FSDP.ENABLED = False
    cfg.FSDP.LAYER_NORM_FP32 = True
    cfg.FSDP.RESHARD_AFTER_FW = True

    cfg.LAUNCH = Node()
    cfg.LAUNCH.MODE = "local"
    cfg.LAUNCH.MAX_RETRY = 3
    cfg.LAUNCH.NAME = "pycls_job"
    cfg.LAUNCH.CPUS_PER_GPU = 10
    cfg.LAUNCH.MEM_PER_GPU = 60
    # Those of sweeps; pycls's, "devlab" and "volta", are of the cluster it was made for.
    cfg.LAUNCH.PARTITION = ""
    cfg.LAUNCH.GPU_TYPE = ""
    cfg.LAUNCH.TIME_LIMIT = 4200
    cfg.LAUNCH.EMAIL = ""
    cfg.LAUNCH.COMMENT = ""
    # As for sweeps, see pycls.slurm.options.
    cfg.LAUNCH.ACCOUNT = ""
    cfg.LAUNCH.QOS = ""
    cfg.LAUNCH.GRES = ""
    cfg.LAUNCH.SETUP = []
    cfg.LAUNCH.CONDA_ENV = ""
    cfg.LAUNCH.PYTHON = ""
    cfg.LAUNCH.STAGE = ""
    cfg.LAUNCH.WAIT = False  # wait for the end of a training on Slurm

    cfg.NUM_GPUS = 1
    cfg.MAX_GPUS_PER_NODE = 8
    cfg.DIST_BACKEND = "nccl"
    cfg.HOST = "localhost"
    cfg.PORT_RANGE = [10000, 65000]

    cfg.OUT_DIR = "/tmp"  # noqa: S108 (pycls's default)
    cfg.CFG_DEST = "config.yaml"
    cfg.RNG_SEED = 1
    cfg.LOG_DEST = "stdout"
    cfg.LOG_PERIOD = 10
    cfg.VERBOSE = True
    cfg.DESC = ""
    # Folder of downloaded weights; "": PYCLS_CACHE, or else the user's own cache folder. pycls
    # has one below /tmp, which all users share and a restart empties.
    cfg.DOWNLOAD_CACHE = ""

    # -------------------------------------------- additions of this project
    cfg.DATA = Node()
    cfg.DATA.DIR = ""  # the folder of prepared sets; "": PYCLS_DATA, or else "data"
    cfg.DATA.CLASSES = []  # train and test on these classes only (names); []: all
    cfg.DATA.PER_CLASS = 0  # most training images of a class; 0: all
    cfg.DATA.BALANCE = False  # cut the most common class to the size of the second
    cfg.DATA.VIEW_SEED = 1  # draws the images that PER_CLASS, BALANCE and the next keep
    # Share of the training side that is held out as the side "validation", unless the set brings
    # one; 0: none is.
    cfg.DATA.VALIDATION_SHARE = 0.0
    # Training crops: padded (out of the image with a border of DATA.PAD), resized (a box of random
    # area and aspect, as on ImageNet), auto (resized for stored images above 64 pixels).
    cfg.DATA.CROP = "auto"
    cfg.DATA.PAD = 4  # border of zeros around a training image before a padded crop
    cfg.DATA.AREA = [0.08, 1.0]  # share of the image that a resized crop shows
    cfg.DATA.ASPECT = [0.75, 1.3333333333333333]  # its width / height
    cfg.DATA.FLIP = True  # mirror training images at random

    cfg.DATA.GPU_SHARE = 0.4  # share of the run's part of a GPU's memory that a side may be held in
    cfg.DATA.LIGHTING = False  # add TRAIN.PCA_STD times ImageNet's colour axes to images

    # More of OPTIM and TRAIN.
    cfg.OPTIM.CLIP_GRAD_NORM = 0.0  # largest norm of all gradients together; 0: no limit
    cfg.TRAIN.ACCUMULATE = 1  # parts that a mini-batch is computed in, to save memory
    cfg.TRAIN.MIXED_DTYPE = "auto"  # float16 or bfloat16; auto: float16 on GPUs without bfloat16
    # Weights of the classes in the training loss, in the order of the labels; balanced: one by the
    # number of training images; []: all alike.
    cfg.TRAIN.CLASS_WEIGHTS = []
    cfg.TEST.BALANCED_ERROR = False  # log the mean of the classes' errors, too
    cfg.TEST.ANSWERS = False  # write in run.json which images the network errs on in the end
    cfg.TRAIN.FULL_ERRORS = False  # at the end, errors on all training images as in testing
    cfg.TRAIN.COMPILE = False  # torch.compile: pays only in long runs, see the log
    # Replay each step as one captured graph (GPU); "auto", here as for TRAIN.MIXED_PRECISION: where
    # the run's device and configuration allow it (of precision, bfloat16 on a GPU).
    cfg.TRAIN.CUDA_GRAPH = False
    cfg.TENSORBOARD = False  # event files in OUT_DIR/tensorboard
    cfg.LOG_HOOK = ""  # module:function, called with each record of the log

    cfg.CHECKPOINT = Node()
    cfg.CHECKPOINT.KEEP = "all"  # all epochs, the last one, or none once the run is done
    # Where not all are kept: seconds from one to the next, at least; 0: after every epoch. There is
    # one in any case after the last epoch, and where a run is told to stop.
    cfg.CHECKPOINT.PERIOD = 60.0

    # How layers are computed: auto, in the form that is fastest for their shape (see
    # docs/training.md); library, as PyTorch does; own, by our own kernels wherever there are any.
    cfg.LAYER_FORMS = "auto"
    # Of GPUs, beside pycls's CUDNN.BENCHMARK (kernels by timing: not the same bits again).
    cfg.CUDNN.TF32 = True  # float32 products and convolutions in TF32, where a GPU has it
    cfg.CUDNN.DETERMINISTIC = False  # kernels that give the same bits again; slower
    cfg.MEMORY_FORMAT = "channels_last"  # or contiguous; of images and weights
    cfg.DEVICE = "auto"  # auto: a GPU where there is one; cpu; cuda; cuda:N
    cfg.NUM_THREADS = 0  # CPU threads of a run; 0: as PyTorch chooses

    return cfg


# Keys of older pycls versions that have no effect any more.
DEPRECATED_KEYS = frozenset(
    (
        "MEM", "MEM.RELU_INPLACE", "OPTIM.GAMMA", "PREC_TIME.BATCH_SIZE", "PREC_TIME.ENABLED",
        "PORT", "TRAIN.EVAL_PERIOD", "TRAIN.CHECKPOINT_PERIOD", "LAUNCH.SCRIPT",
    )
)  # fmt: skip

# Keys that may be a word, too, in place of True or False (the device decides) or of a list.
WORDS = {
    "TRAIN.MIXED_PRECISION": "auto",
    "TRAIN.CUDA_GRAPH": "auto",
    "TRAIN.CLASS_WEIGHTS": "balanced",
}

# What the elements of a list are: its default is often empty and does not say.
LIST_ELEMENT_TYPES: dict[str, type] = {
    key: kind
    for kind, keys in {
        int: (
            "ANYNET.DEPTHS", "ANYNET.WIDTHS", "ANYNET.STRIDES", "ANYNET.GROUP_WS", "EN.DEPTHS",
            "EN.WIDTHS", "EN.STRIDES", "EN.KERNELS", "VIT.C_STEM_KERNELS", "VIT.C_STEM_STRIDES",
            "VIT.C_STEM_DIMS", "PORT_RANGE",
        ),
        float: (
            "ANYNET.BOT_MULS", "EN.EXP_RATIOS", "OPTIM.STEPS", "DATA.AREA", "DATA.ASPECT",
            "TRAIN.CLASS_WEIGHTS",
        ),
        str: ("DATA.CLASSES", "TIMM.ARGS", "TORCHVISION.ARGS", "LAUNCH.SETUP"),
    }.items()
    for key in keys
}  # fmt: skip
