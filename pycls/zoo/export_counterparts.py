"""Finds the same network in another library: torchvision's or timm's RegNet or ResNet.

torchvision's own constructors (`regnet_x_400mf` and others) round some widths differently
from pycls, so a counterpart is built from its stages, never looked up by name.
"""

import functools
import importlib
from dataclasses import dataclass
from typing import Any

from torch import nn

from pycls.errors import ConfigError, PyclsError
from pycls.models.layers import LayerOptions
from pycls.models.networks.anynet import AnyNetSpec
from pycls.models.networks.regnet import RegNetSpec
from pycls.models.networks.resnet import IMAGENET_WIDTHS
from pycls.torchvision_import import import_torchvision
from pycls.zoo.key_names import LIBRARIES

Spec = AnyNetSpec | RegNetSpec

SUPPORTED = (
    "supported are RegNets (residual bottlenecks behind simple_stem_in; in timm those of "
    "MODEL.TYPE regnet with four stages) and the ResNets and ResNeXts for ImageNet"
)
_CLASSES = {"regnet": "RegNet", "resnet": "ResNet"}
_REGNET_PARAMETERS = {"torchvision": "BlockParams", "timm": "RegNetCfg"}


@dataclass(frozen=True)
class Counterpart:
    """A network of another library that computes what one of ours computes.

    Attributes:
        library: torchvision or timm.
        family: regnet or resnet, the family of its key names.
        stages: what the library's description of a RegNet takes; empty for a ResNet.
        arguments: what the network's class takes.
        options: normalisation and activation.
    """

    library: str
    family: str
    stages: dict[str, Any]
    arguments: dict[str, Any]
    options: LayerOptions

    def build(self) -> nn.Module:
        """Return the network, initialised by its library.

        Raises:
            PyclsError: the library is not installed.
        """
        import_library(self.library)
        module = importlib.import_module(f"{self.library}.models.{self.family}")
        norm_layer = functools.partial(
            nn.BatchNorm2d, eps=self.options.norm_eps, momentum=self.options.norm_momentum
        )
        if self.family == "regnet":
            first = getattr(module, _REGNET_PARAMETERS[self.library])(**self.stages)
        else:
            first = module.Bottleneck
        network = getattr(module, _CLASSES[self.family])
        model: nn.Module = network(first, **self.arguments, norm_layer=norm_layer)
        return model

    def code(self) -> str:
        """Return the Python code that builds the network as `model`."""
        network, first = _CLASSES[self.family], "Bottleneck"
        imported = [first, network]
        if self.family == "regnet":
            parameters = _REGNET_PARAMETERS[self.library]
            imported = [network, parameters]
            first = f"{parameters}({_as_code(self.stages)})"
        lines = [f"from {self.library}.models.{self.family} import {', '.join(imported)}"]
        arguments = _as_code(self.arguments)
        if (self.options.norm_eps, self.options.norm_momentum) != (1e-5, 0.1):
            lines = ["from functools import partial", "from torch.nn import BatchNorm2d", *lines]
            options = {"eps": self.options.norm_eps, "momentum": self.options.norm_momentum}
            arguments += f", norm_layer=partial(BatchNorm2d, {_as_code(options)})"
        return "\n".join([*lines, f"model = {network}({first}, {arguments})"])


def find_counterpart(spec: Spec, library: str) -> Counterpart:
    """Return the network of another library that equals one of ours.

    Args:
        spec: our network; timm describes a RegNet by its numbers, not by its stages, so that
            a RegNetSpec is needed there.
        library: torchvision or timm; it need not be installed.

    Raises:
        ConfigError: no such library, or it has no such network.
    """
    if library not in LIBRARIES:
        raise ConfigError(f"no library {library!r}; there are: {', '.join(LIBRARIES)}")
    net = spec.to_anynet() if isinstance(spec, RegNetSpec) else spec
    reasons = _common_obstacles(net)
    if net.stem_type == "res_stem_in":
        reasons += _resnet_obstacles(net)
    else:
        reasons += _squeeze_obstacles(net)
        if library == "timm":
            reasons += _timm_obstacles(spec, net)
    if reasons:
        raise ConfigError(
            f"{library} has no counterpart of this network: {'; '.join(reasons)}; {SUPPORTED}"
        )
    if net.stem_type == "res_stem_in":
        return _resnet(net, library)
    if library == "timm" and isinstance(spec, RegNetSpec):
        return _timm_regnet(spec)
    return _torchvision_regnet(net)


def import_library(library: str) -> None:
    """Import torchvision or timm.

    Raises:
        PyclsError: it is not installed.
    """
    # timm imports torchvision, so torchvision comes first in both cases.
    import_torchvision()
    if library == "timm":
        try:
            importlib.import_module("timm")
        except ImportError as error:
            raise PyclsError(
                f"timm cannot be imported ({error}); install it: pip install timm"
            ) from None


def _as_code(arguments: dict[str, Any]) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in arguments.items())


def _common_obstacles(net: AnyNetSpec) -> list[str]:
    reasons = []
    if net.block_type != "res_bottleneck_block":
        reasons.append(f"its blocks are {net.block_type}")
    if net.stem_type == "res_stem_cifar":
        reasons.append("its stem is res_stem_cifar")
    if net.head_w:
        reasons.append(f"its head has a convolution (HEAD_W {net.head_w})")
    if net.stride_1x1:
        reasons.append("its 1x1 convolutions take the stride (RESNET.STRIDE_1X1)")
    if net.options.activation_fun != "relu":
        reasons.append(f"its activation is {net.options.activation_fun}")
    return reasons


def _squeeze_obstacles(net: AnyNetSpec) -> list[str]:
    """Both libraries build a squeeze of no channels, or of another number, where we have none."""
    block_inputs = (net.stem_w, *net.widths)
    if net.se_r and any(round(w * net.se_r) == 0 for w in block_inputs):
        return [f"a squeeze-excitation of ratio {net.se_r} leaves no channels"]
    return []


def _resnet_obstacles(net: AnyNetSpec) -> list[str]:
    reasons = []
    if net.se_r:
        reasons.append("it has squeeze-excitation behind res_stem_in")
    shape = (net.widths, net.strides, net.stem_w)
    if shape != (IMAGENET_WIDTHS, (1, 2, 2, 2), 64):
        reasons.append("its stages are not those of a ResNet")
    elif not reasons:
        widths, groups = net.bottleneck_ws, _groups(net)
        doubling = [widths[0] * 2**i for i in range(4)]
        if widths != doubling or len(set(groups)) > 1 or widths[0] % groups[0]:
            reasons.append("its bottleneck and group widths are not those of a ResNeXt")
    return reasons


def _timm_obstacles(spec: Spec, net: AnyNetSpec) -> list[str]:
    reasons = []
    if not isinstance(spec, RegNetSpec):
        reasons.append("it is given by its stages, not by the numbers of a RegNet")
    if len(net.depths) != 4:
        reasons.append(f"it has {len(net.depths)} stages, not 4")
    if set(net.strides) != {2}:
        reasons.append("its stages have strides other than 2")
    return reasons


def _groups(net: AnyNetSpec) -> list[int]:
    return [w // g for w, g in zip(net.bottleneck_ws, net.group_ws, strict=True)]


def _resnet(net: AnyNetSpec, library: str) -> Counterpart:
    names = {"torchvision": ("groups", "width_per_group"), "timm": ("cardinality", "base_width")}
    groups = _groups(net)[0]
    arguments = {
        "layers": list(net.depths),
        "num_classes": net.num_classes,
        names[library][0]: groups,
        names[library][1]: net.bottleneck_ws[0] // groups,
    }
    return Counterpart(library, "resnet", {}, arguments, net.options)


def _torchvision_regnet(net: AnyNetSpec) -> Counterpart:
    stages = {
        "depths": list(net.depths),
        "widths": list(net.widths),
        "group_widths": list(net.group_ws),
        "bottleneck_multipliers": list(net.bot_muls),
        "strides": list(net.strides),
        "se_ratio": net.se_r,
    }
    arguments = {"num_classes": net.num_classes, "stem_width": net.stem_w}
    return Counterpart("torchvision", "regnet", stages, arguments, net.options)


def _timm_regnet(spec: RegNetSpec) -> Counterpart:
    stages = {
        "depth": spec.depth,
        "w0": spec.w_0,
        "wa": spec.w_a,
        "wm": spec.w_m,
        "group_size": spec.group_w,
        "bottle_ratio": spec.bot_mul,
        "se_ratio": spec.se_r or 0.0,
        "stem_width": spec.stem_w,
    }
    return Counterpart("timm", "regnet", stages, {"num_classes": spec.num_classes}, spec.options)
