"""The reader of tables with a row per architecture and data set."""

import pandas as pd

from pycls.analysis.any_table import rows
from pycls.analysis.any_table.cells import Cells, has_percent_signs
from pycls.analysis.any_table.rows import Found, Request, columns_text
from pycls.analysis.wording import listing
from pycls.errors import ConfigError


def read_long(cells: Cells, request: Request) -> Found:
    """Return the numbers of a long table.

    Raises:
        ConfigError: a column or data set is missing, or a text stands among numbers.
        DataError: one architecture has two different numbers on one data set.
    """
    first = request.id_columns[0] if request.id_columns else None
    first = rows.find_column(cells, first, rows.ARCH_NAMES)
    dataset = rows.find_column(cells, request.dataset_column, rows.DATASET_NAMES)
    error = rows.find_column(cells, request.error_column, rows.ERROR_NAMES)
    for flag, what, column in (
        ("--arch", "the architecture", first),
        ("--error", "the error or accuracy", error),
    ):
        if not column:
            raise ConfigError(
                f"{cells.path}: which column holds {what}? Name it with {flag}; "
                f"{columns_text(cells)}"
            )
    frame = cells.frame
    unnamed = [line for line, text in frame[dataset].items() if not text]
    if unnamed:
        raise ConfigError(f"{cells.path}, line {unnamed[0]}: no text in the column '{dataset}'")
    columns = list(request.id_columns) or [first]
    if not request.id_columns and not request.average_repeats:
        columns = rows.more_id_columns(frame, first, (dataset,))
    arch = ", ".join(columns)  # the column's own name where it is one
    frame = frame.assign(**{arch: rows.key_of(frame, columns, cells.path)})
    values, warnings = rows.number_column(frame[error], cells, error)
    runs = frame[[arch, dataset]].assign(**{error: values})
    # A run that failed, tried again: the number counts.
    pairs = runs.set_index([arch, dataset]).index
    done = pairs[runs[error].notna()]
    kept = runs[runs[error].notna() | ~pairs.isin(done)]
    averaged = []
    if request.average_repeats:
        kept, said = rows.average_rows(kept.set_index([arch, dataset]))
        kept, averaged = kept.reset_index(), [said]
    else:
        kept = kept.drop_duplicates()
        rows.refuse_two_rows(
            kept, [arch, dataset], cells.path, "a row per architecture and data set"
        )
        if len(kept) < len(runs):
            warnings.append(rows.repeated_rows(runs.drop(kept.index), arch))
    table = kept.pivot(index=arch, columns=dataset, values=error).rename_axis(columns=None)
    table = table.reindex(list(dict.fromkeys(kept[arch]))).rename_axis("arch")
    order = list(dict.fromkeys(kept[dataset]))
    for key in (request.reference, *request.targets):
        if key not in table:
            raise ConfigError(
                f"{cells.path}: no data set '{key}' in the column '{dataset}'; it has "
                f"{listing(order)}"
            )
    used = [request.reference, *(request.targets or [k for k in order if k != request.reference])]
    if len(used) < 2:
        raise ConfigError(f"{cells.path}: '{used[0]}' is the only data set; nothing to compare")
    texts = frame.drop(columns=[dataset, error]).groupby(arch, sort=False)
    aside = (arch, *columns, dataset, error, request.family_column)
    others = [str(name) for name in frame if name not in aside]
    constant = [name for name in others if (texts[name].nunique() == 1).all()]
    groups = rows.group_columns(texts[constant].first().reindex(table.index))
    notes = [rows.named_by(columns), f"Numbers are in the column '{error}'.", *averaged]
    if not request.targets:
        notes.append(f"Targets: {listing(used[1:])}.")
    signed = frozenset(used) if has_percent_signs(frame[error]) else frozenset()
    families = rows.families_of(frame, pd.Index(frame[arch]), request, columns)
    names = dict.fromkeys(used, error)
    return Found(table[used], names, groups, notes, warnings, signed, families)
