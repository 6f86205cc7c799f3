"""The configuration of a run: defaults, rules, loading, and what can be trained."""

from pycls.front_door import front_door

__getattr__, __all__ = front_door(
    __name__,
    {
        "load_cfg": "pycls.core.config.load",
        "layer_cfg": "pycls.core.config.load",
        "parse_cfg": "pycls.core.config.load",
        "dump_cfg": "pycls.core.config.load",
        "cfg_to_dict": "pycls.core.config.load",
        "cfg_hash": "pycls.core.config.load",
        "flatten_cfg": "pycls.core.config.load",
        "default_cfg": "pycls.core.config.defaults",
    },
)
