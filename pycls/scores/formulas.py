"""Zero-cost scores as formulas of arrays: Jacobians, codes of activations. No PyTorch."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pycls.scores.undefined import Undefined

_JACOBIAN_K = 1e-5
_EPE_K = 1e-5
_EPE_MANY_CLASSES = 100


def jacobian_covariance(jacobian: NDArray[np.float64]) -> float:
    """Return -sum_i (log(e_i + k) + 1 / (e_i + k)) of the Jacobian's row correlations.

    The e_i are the eigenvalues of the N x N matrix of correlations, k is 1e-5. Mellor, Turner,
    Storkey and Crowley, Neural Architecture Search without Training, 2020 (arXiv:2006.04647v1),
    equation 4.

    Args:
        jacobian: (N, D), of the summed outputs with respect to each image.

    Raises:
        Undefined: a row is constant, so that it has no correlation.
    """
    values = np.linalg.eigvalsh(_correlations(jacobian)) + _JACOBIAN_K
    if not (values > 0).all():
        raise Undefined("the correlations of the Jacobian have a negative eigenvalue")
    return float(-np.sum(np.log(values) + 1 / values))


def epe_nas(jacobian: NDArray[np.float64], labels: NDArray[np.int64], num_classes: int) -> float:
    """Return how the Jacobian's rows correlate within classes.

    Of each class c with images in the batch, with S_c the matrix of correlations of their rows,
    e_c = sum_ij log(|S_c,ij| + k), k = 1e-5. Up to 100 classes the score is sum_c |e_c|; with
    more, each e_c is divided by its class's images, and the score is
    sum_c,d |e_c - e_d| over the number of classes seen. Lopes, Alirezazadeh and Alexandre, EPE-NAS,
    ICANN 2021 (arXiv:2102.08099), section 3.

    Args:
        jacobian: as of :func:`jacobian_covariance`.
        labels: (N,).
        num_classes: of the data set.

    Raises:
        Undefined: a row is constant.
    """
    sums = []
    for label in np.unique(labels):
        rows = jacobian[labels == label]
        total = float(np.log(np.abs(_correlations(rows)) + _EPE_K).sum())
        sums.append(total / len(rows) if num_classes > _EPE_MANY_CLASSES else total)
    if num_classes <= _EPE_MANY_CLASSES:
        return float(np.abs(sums).sum())
    return float(np.abs(np.subtract.outer(sums, sums)).sum()) / len(sums)


def naswot(agreements: Sequence[NDArray[np.float64]]) -> float:
    """Return log |det K| of the kernel of the codes of activation.

    K_ij is the number of rectified units that are both on or both off for images i and j. Mellor,
    Turner, Storkey and Crowley, Neural Architecture Search without Training, ICML 2021
    (arXiv:2006.04647v3), equations 1 and 2.

    Args:
        agreements: of each rectifier, the (N, N) counts.

    Raises:
        Undefined: there is no rectifier, or the determinant is 0.
    """
    if not agreements:
        raise Undefined("it has no ReLU")
    sign, value = np.linalg.slogdet(np.sum(agreements, axis=0))
    if sign == 0 or not math.isfinite(value):
        raise Undefined("two images switch the same units on")
    return float(value)


def _correlations(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the correlations of rows, (N, N), also of one row."""
    centred = rows - rows.mean(axis=1, keepdims=True)
    lengths = np.linalg.norm(centred, axis=1, keepdims=True)
    if not (lengths > 0).all() or not np.isfinite(lengths).all():
        raise Undefined("the outputs do not depend on an image, or without bounds")
    centred = centred / lengths
    return centred @ centred.T
