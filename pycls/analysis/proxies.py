"""Which family member stands in for a data set."""

from collections.abc import Mapping

from pycls.errors import ConfigError


def closest_member(num_classes: int, members: Mapping[str, int]) -> str:
    """Return the family member whose number of classes is closest (paper, Table 3).

    Args:
        num_classes: classes of the data set to be predicted.
        members: key -> number of classes of the candidates.

    Returns:
        The key with the smallest absolute difference; of two at the same difference the
        one with more classes (the paper's rule is silent there), of two with the same
        number of classes the first.

    Raises:
        ConfigError: there are no candidates.
    """
    if not members:
        raise ConfigError("no family members to choose the closest from; name some in 'family'")
    return min(members, key=lambda key: (abs(members[key] - num_classes), -members[key]))
