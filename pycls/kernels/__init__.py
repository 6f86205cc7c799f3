"""Layers in the form that is fastest for their shape: a table, and kernels compiled here.

``use_forms(model, cfg)``'s work is in :mod:`pycls.models.forms`; nothing here knows networks.
"""
