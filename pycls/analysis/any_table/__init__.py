"""Correlations and figures of tables of errors that come from elsewhere."""
