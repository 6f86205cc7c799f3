"""A small network, and its weights as a file of safetensors."""

import json
import struct

import torch

NET = [
    "MODEL.TYPE", "anynet", "MODEL.NUM_CLASSES", 2, "ANYNET.STEM_TYPE", "res_stem_cifar",
    "ANYNET.STEM_W", 8, "ANYNET.BLOCK_TYPE", "vanilla_block", "ANYNET.DEPTHS", [1],
    "ANYNET.WIDTHS", [8], "ANYNET.STRIDES", [1], "ANYNET.BOT_MULS", [], "ANYNET.GROUP_WS", [],
]  # fmt: skip


def safetensors(state):
    header, body = {"__metadata__": {"format": "pt"}}, b""
    for name, tensor in state.items():
        data = tensor.contiguous().numpy().tobytes()
        dtype = {torch.float32: "F32", torch.int64: "I64"}[tensor.dtype]
        offsets = [len(body), len(body) + len(data)]
        header[name] = {"dtype": dtype, "shape": list(tensor.shape), "data_offsets": offsets}
        body += data
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + body
