"""The report of a study: one page, its sections and its templates."""
