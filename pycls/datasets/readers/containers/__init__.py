"""Readers of sets that come in containers of many images: arrays, Parquet files, tar shards."""
