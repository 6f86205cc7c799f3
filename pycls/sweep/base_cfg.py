"""The configuration that the runs of a sweep share, from which that of each is made."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from pycls.core.config.load import cfg_to_dict, flatten_cfg, layer_cfg, nest_keys
from pycls.core.config.rules import check_cfg
from pycls.core.config.template import CfgTemplate
from pycls.errors import ConfigError
from pycls.sweep.file import SweepCfg

Row = Mapping[str, Any]


class BaseCfg:
    """BASE_CFG over the defaults, and the configurations that draws make of it.

    Args:
        sweep: the sweep's settings.
        fixed: dotted keys and values over BASE_CFG (what a population shares).

    Attributes:
        flat: all keys, dotted, with their values.
        sources: for each key that is drawn what gives it its values, for messages.

    Raises:
        ConfigError: BASE_CFG holds an unknown key or a value that cannot be used.
    """

    def __init__(self, sweep: SweepCfg, fixed: Row | None = None) -> None:
        self._sweep = sweep
        self.sources: dict[str, str] = {}
        self._given = sweep.setup["BASE_CFG"]
        self._fixed = dict(fixed or {})
        # Without the network's type nothing asks for depths and widths that are yet to be drawn.
        node = self._layer({"MODEL.TYPE": ""})
        values = cfg_to_dict(node)
        self.flat = flatten_cfg(node)
        self.flat["MODEL.TYPE"] = values["MODEL"]["TYPE"] = self._model_type()
        self._node = node.clone()
        self._node.defrost()
        self._node.MODEL.TYPE = self.flat["MODEL.TYPE"]
        self._template = CfgTemplate(values)
        self._kinds: dict[tuple[Any, ...], dict[str, type]] = {}

    def _model_type(self) -> Any:
        given = (self._given.get("MODEL") or {}).get("TYPE", "")
        return self._fixed.get("MODEL.TYPE", given)

    def _layer(self, row: Row) -> Any:
        """Return the checked configuration of a row, all of it from the layers."""
        where = f"{self._sweep.path}: BASE_CFG"
        try:
            return layer_cfg([(where, self._given), ("draw", nest_keys({**self._fixed, **row}))])
        except ConfigError as error:
            problem = str(error).removeprefix(f"{where}: ").removeprefix("draw: ")
            place = self._sweep.where_named(problem, self._given, "SETUP", "BASE_CFG")
            raise _RowError(f"{place}: {problem}", problem) from None

    def layered(self, values: Mapping[str, Any], where: str) -> dict[str, Any]:
        """Return, flat, the keys in which BASE_CFG with `values` over it differs from it.

        Raises:
            ConfigError: `values` holds a key or a value that cannot be used.
        """
        cfg = flatten_cfg(layer_cfg([("BASE_CFG", self._given), (where, values)]))
        return {key: value for key, value in cfg.items() if value != self.flat[key]}

    def checked(self, row: Row) -> dict[str, Any]:
        """Return a row in the types of its keys, once its configuration is found good.

        Args:
            row: dotted keys and values; all rows have the same keys.

        Raises:
            ConfigError: a value has the wrong type, or the row makes no configuration;
                names the source of the value.
        """
        with self.explained(row):
            typed = self.typed(row)
            self.node(typed)
        return typed

    @contextmanager
    def explained(self, row: Row) -> Iterator[None]:
        """Name, in errors about a row's configuration, the source of the value at fault."""
        try:
            yield
        except ConfigError as error:
            problem = getattr(error, "problem", str(error)).removeprefix("configuration: ")
            named = [k for k in row if k in problem and k in self.sources] or [
                k for k in row if k.rpartition(".")[2] in problem and k in self.sources
            ]
            if not named:
                place = self._sweep.where_named(problem, self._given, "SETUP", "BASE_CFG")
                raise ConfigError(f"{place}: {problem}") from None
            places = "; ".join(dict.fromkeys(self.sources[key] for key in named))
            drawn = ", ".join(f"{key} {row[key]}" for key in named)
            raise ConfigError(f"{places}: gives {drawn}, but {problem}") from None

    def typed(self, row: Row) -> dict[str, Any]:
        """Return a row's values as load_cfg would read them.

        Raises:
            ConfigError: a value has the wrong type.
        """
        kinds = tuple((key, _kind(value)) for key, value in row.items())
        if kinds not in self._kinds:
            read = flatten_cfg(self._layer(row))
            self._kinds[kinds] = {key: type(read[key]) for key in row}
        types = self._kinds[kinds]
        return {k: float(v) if types[k] is float else v for k, v in row.items()}

    def node(self, row: Row) -> Any:
        """Return the configuration of a row, checked, for use before the next call only.

        Raises:
            ConfigError: the row makes no configuration.
        """
        check_cfg(self._set(row), "configuration")
        return self._node

    def _set(self, row: Row) -> Any:
        """Put a row's values into the one node, which is cheaper than one a row."""
        for key, value in row.items():
            section, _, leaf = key.rpartition(".")
            (self._node[section] if section else self._node)[leaf] = value
        return self._node

    def text(self, row: Row, out_dir: str) -> str:
        """Return a run's complete configuration as YAML."""
        return self._template.text({**row, "OUT_DIR": out_dir})


class _RowError(ConfigError):
    """A refused configuration; keeps the message without the place."""

    def __init__(self, message: str, problem: str) -> None:
        super().__init__(message)
        self.problem = problem


def _kind(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return (list, *sorted({type(item).__name__ for item in value}))
    return type(value)
