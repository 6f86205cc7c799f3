"""Families of models: architectures of one design that differ in size, and are no random sample."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

if TYPE_CHECKING:
    import pandas as pd

MIN_FAMILIES = 10  # below which their spread is too uncertain for an interval
_MOST_ALONE = 0.5  # share of the architectures outside families up to which names show families
_MIN_MEMBERS = 3  # of a family
_WORD = re.compile(r"[^\W\d_]+")


def family_codes(families: Iterable[object]) -> NDArray[np.float64]:
    """Return a number per family; an architecture without one is a family of its own.

    Args:
        families: a label per architecture; None, NaN and "" are none.
    """
    import pandas as pd  # not for those who need a rank correlation alone

    labels = pd.Series(list(families), dtype=object)
    labels = labels.mask(labels.isin(["", None]))
    codes = pd.factorize(labels)[0].astype(float)
    alone = codes < 0
    codes[alone] = codes.max(initial=0) + 1 + np.arange(int(alone.sum()))
    return codes


def family_influence(values: NDArray[np.float64], codes: ArrayLike | None) -> NDArray[np.float64]:
    """Return what each family contributes to an estimate, as if it were one architecture.

    The sums over families of the architectures' influence, scaled so that the standard error
    of an estimate is the same function of them: the sandwich estimator for clusters (Liang and
    Zeger 1986, Biometrika 73, 13-22) with the factor G / (G - 1) for G families.
    """
    if codes is None:
        return values
    _, places = np.unique(np.asarray(codes, dtype=float), return_inverse=True)
    sums = np.bincount(places, weights=values)
    return np.asarray(sums * len(sums) / len(values))


def families_by_name(names: Sequence[object]) -> pd.Series:
    """Return the family that each name shows: its words before the first number.

    "resnet50" and "resnet101d" are of the family "resnet", "vit_base_patch16" and
    "vit_large_patch14" of "vit"; "ViT-B-32" of "vit". A word that fewer than three names begin
    with is no family, and where all begin with the same one, names show none.

    Returns:
        A family per name, "" for none; all "" where names do not show families.
    """
    import pandas as pd  # not for those who need a rank correlation alone

    words = pd.Series(
        [found[0].lower() if (found := _WORD.search(str(name))) else "" for name in names],
        dtype=object,
    )
    sizes = words.map(words.value_counts())
    families = words.where((sizes >= _MIN_MEMBERS) & (words != ""), "")
    known = families[families != ""]
    if known.nunique() < 2 or len(known) < (1 - _MOST_ALONE) * len(families):
        return pd.Series("", index=families.index, dtype=object)
    return families
