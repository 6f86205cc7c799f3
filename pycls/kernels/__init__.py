"""Layers in the form that is fastest for their shape: a table, and kernels compiled here.

Networks are given their forms in :mod:`pycls.models.layers`; nothing here knows networks.
"""
