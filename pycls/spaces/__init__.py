"""Design spaces, and populations of architectures drawn from them."""

from pycls.front_door import front_door

__getattr__, __all__ = front_door(
    __name__,
    {
        "AnyNetX": "pycls.spaces.anynet",
        "RegNetX": "pycls.spaces.regnet",
        "make_space": "pycls.spaces.by_name",
        "Architecture": "pycls.spaces.population",
        "Population": "pycls.spaces.population",
        "read_population": "pycls.spaces.population_csv",
    },
)
