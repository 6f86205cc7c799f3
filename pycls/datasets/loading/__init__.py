"""Batches of images: the plan of an epoch, crops, augmentation and prefetching."""
