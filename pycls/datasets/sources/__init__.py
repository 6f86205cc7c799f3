"""Downloaded files, archives and folders, and the decoding of the images in them."""
