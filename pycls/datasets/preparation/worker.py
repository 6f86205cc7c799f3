"""A worker process of a pool (see `worker_pool`); its argument is a descriptor."""

import sys

from pycls.datasets.preparation.worker_pool import serve

if __name__ == "__main__":
    serve(int(sys.argv[1]))
