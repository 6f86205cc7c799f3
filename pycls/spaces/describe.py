"""Descriptions of design spaces for the reader: their size and the values of their parameters."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pycls.spaces.design_space import DesignSpace
from pycls.spaces.distributions import Distribution
from pycls.spaces.marginal import Marginal

_GATHERED = 512  # ranges into which a distribution without a table is gathered


@dataclass(frozen=True, eq=False)
class ParameterDescription:
    """One parameter of a space.

    Attributes:
        name: such as `width`, or `width 2` where it differs from stage to stage.
        values: its values, increasing.
        probabilities: of each value, summing to 1; as drawn, before groups are made to fit.
        count: how many values there are. More than `values` holds: those are then the upper
            ends of ranges.
    """

    name: str
    values: NDArray[np.float64]
    probabilities: NDArray[np.float64]
    count: int


@dataclass(frozen=True)
class SpaceDescription:
    """A design space.

    Attributes:
        name: the space's.
        size: number of parameter combinations.
        restriction: how it differs from the space that it restricts; empty if it restricts none.
        parameters: in order.
    """

    name: str
    size: int
    restriction: str
    parameters: tuple[ParameterDescription, ...]

    def to_text(self) -> str:
        """Return a line for the space and one for each parameter."""
        restriction = f" ({self.restriction})" if self.restriction else ""
        lines = [f"{self.name}{restriction}: {self.size:.4g} parameter combinations"]
        for parameter in self.parameters:
            mean = float(parameter.values @ parameter.probabilities)
            least, most = parameter.values[[0, -1]]
            values = f"{parameter.count:,} values" if parameter.count > 1 else "1 value"
            lines.append(f"  {parameter.name}: {values}, {least:g} to {most:g}, mean {mean:.4g}")
        return "\n".join(lines)


def describe_space(space: DesignSpace) -> SpaceDescription:
    """Describe a design space.

    A parameter that is distributed alike in all stages stands once.
    """
    parameters = [_describe(*item) for item in space.described_marginals().items()]
    return SpaceDescription(space.name, space.size(), space.restriction, tuple(parameters))


def _describe(name: str, distribution: Distribution) -> ParameterDescription:
    if isinstance(distribution, Marginal):
        values = distribution.values.astype(np.float64)
        return ParameterDescription(name, values, distribution.probabilities, len(distribution))
    low, high = distribution.low, distribution.high  # type: ignore[attr-defined]
    spaced = np.geomspace if low > 0 and high > 10 * low else np.linspace
    values = spaced(low, high, _GATHERED)
    cumulative = np.concatenate([[0.0], distribution.cdf(values)])
    cumulative[-1] = 1.0
    return ParameterDescription(name, values, np.diff(cumulative), len(distribution))
