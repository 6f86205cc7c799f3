"""What a design space holds, for the reader: its size and the values of its parameters."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pycls.spaces.anynet import AnyNetX
from pycls.spaces.anynet_ranges import PARAMETERS, SPACES
from pycls.spaces.distributions import Distribution
from pycls.spaces.marginal import Marginal
from pycls.spaces.population import Population
from pycls.spaces.regnet import RegNetX

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
        restriction: how it differs from AnyNetX; empty if it does not.
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


def describe_space(space: AnyNetX | RegNetX) -> SpaceDescription:
    """Describe a design space.

    A parameter that is distributed alike in all stages stands once.

    Args:
        space: what to describe.
    """
    if isinstance(space, RegNetX):
        parameters = [_describe(name, marginal) for name, marginal in space.marginals.items()]
        return SpaceDescription(space.name, space.size(), "", tuple(parameters))
    parameters = []
    for name in PARAMETERS:
        stages = space.ranges.stage_marginals(name)
        if name not in space.ranges.ordered:
            parameters.append(_describe(name, stages[0]))
            continue
        parameters += [_describe(f"{name} {i}", marginal) for i, marginal in enumerate(stages, 1)]
    letters = [letter for letter in SPACES if "A" < letter <= space.space]
    restriction = " ".join(SPACES[letter] for letter in letters)
    return SpaceDescription(space.name, space.size(), restriction, tuple(parameters))


def drawn_parameters(space: AnyNetX | RegNetX, population: Population) -> dict[str, NDArray]:
    """Return a population's values of the parameters that a description of its space names.

    Those of a RegNet that can be told from its stages only: depth and bot_mul.

    Args:
        space: what the population was drawn from.
        population: its members.
    """
    if isinstance(space, RegNetX):
        return {"depth": population.cum_depth, "bot_mul": population.bot_muls[:, 0]}
    columns = {}
    for name in PARAMETERS:
        stages = getattr(population, f"{name}s")
        if name not in space.ranges.ordered:
            columns[name] = stages.ravel()
            continue
        columns |= {f"{name} {i}": column for i, column in enumerate(stages.T, 1)}
    return columns


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
