"""A worker process of :mod:`pycls.datasets.worker_pool`; its argument is a descriptor."""

import sys

from pycls.datasets.worker_pool import serve

if __name__ == "__main__":
    serve(int(sys.argv[1]))
