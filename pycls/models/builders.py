"""Builds the network that a configuration describes."""

from typing import Protocol, cast

import torch
from torch import nn
from yacs.config import CfgNode

from pycls.errors import ConfigError
from pycls.models.initialize import init_weights
from pycls.models.network_types import NETWORKS
from pycls.models.networks.staged import Parts
from pycls.registry import import_object


class NetworkSpec(Protocol):
    """The architecture of a network, as the module of its kind defines it."""

    def build(self) -> nn.Module:
        """Return the network."""

    def parts(self) -> Parts:
        """Return what its parts are made of, for tables; the head may be left out."""


def build_model(cfg: CfgNode) -> nn.Module:
    """Return the network that a configuration describes, on the CPU, freshly initialised.

    The weights depend on the configuration and its ``RNG_SEED`` alone: the global random
    state is neither read nor changed. A network of another library has those that it draws.

    Raises:
        ConfigError: MODEL.TYPE names no network.
    """
    spec = network_spec(cfg)
    build_initialised = getattr(spec, "build_initialised", None)
    if build_initialised is not None:  # first weights are another library's
        return cast(nn.Module, build_initialised(cfg.RNG_SEED))
    # Built without memory first: PyTorch's own initialisation would be thrown away.
    model = build_meta_model(cfg)
    _allocate(model)
    generator = torch.Generator().manual_seed(cfg.RNG_SEED)
    init_weights(model, generator, zero_init_final_gamma=cfg.BN.ZERO_INIT_FINAL_GAMMA)
    return model


def _allocate(model: nn.Module) -> None:
    """Give a network of the meta device memory on the CPU.

    ``to_empty`` does that too, after half a second of imports.
    """
    for module in model.modules():
        for name, parameter in list(module.named_parameters(recurse=False)):
            values = torch.empty(parameter.shape, dtype=parameter.dtype)
            setattr(module, name, nn.Parameter(values, parameter.requires_grad))
        for name, buffer in list(module.named_buffers(recurse=False)):
            setattr(module, name, torch.empty(buffer.shape, dtype=buffer.dtype))


def build_meta_model(cfg: CfgNode) -> nn.Module:
    """Return the network without weights (on the meta device), for counting and names.

    Raises:
        ConfigError: MODEL.TYPE names no network.
    """
    with torch.device("meta"):
        return network_spec(cfg).build()


def network_spec(cfg: CfgNode) -> NetworkSpec:
    """Return the architecture that the section of MODEL.TYPE describes.

    Raises:
        ConfigError: MODEL.TYPE names no network.
    """
    kind = cfg.MODEL.TYPE
    if kind not in NETWORKS:
        *names, last = map(repr, NETWORKS)
        raise ConfigError(f"MODEL.TYPE is {kind!r}; expected {', '.join(names)} or {last}")
    spec: NetworkSpec = import_object(NETWORKS[kind].spec)(cfg)
    return spec
