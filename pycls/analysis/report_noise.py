"""How far training noise lets two data sets agree, in words."""

import math

import pandas as pd

from pycls.analysis.statistics import noise_ceiling, repeat_variance
from pycls.analysis.study import Study
from pycls.analysis.wording import RHO, count, interval_text, number


def noise_sentences(errors: pd.DataFrame, repeats: pd.DataFrame, study: Study) -> list[str]:
    """Return, per data set with repeats, the rho that two trainings on it would have.

    Args:
        errors: architectures x data sets, in percent.
        repeats: as from :func:`pycls.analysis.results.repeat_runs`.
        study: for names.
    """
    sentences = []
    for key, runs in repeats.groupby("dataset", sort=False):
        trained = [group["error"] for _, group in runs.groupby(["sweep", "arch"])]
        noise = repeat_variance(trained)
        if not math.isfinite(noise.variance) or key not in errors:
            continue
        found = noise_ceiling(errors[key], errors[key], noise, noise)
        if not math.isfinite(found.ceiling):
            continue
        sentences.append(
            f"By the repeats on {study.dataset_title(str(key))}, {RHO} between two trainings of "
            f"this population there would be {number(found.ceiling, 2)} "
            f"{interval_text(found.ceiling_low, found.ceiling_high)} and not 1, if the noise of "
            f"{count(len(trained), 'architecture')} is that of all."
        )
    return sentences
