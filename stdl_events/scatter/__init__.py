"""Convolutions of sparse inputs by scattering: numba on numpy arrays, without torch.

```python
from stdl_events.scatter import Geometry, convolve, from_values

geometry = Geometry(inputs=2, outputs=8, height=6, width=8, kernel=3, padding=1)
convolve(from_values(counts_BCP), weight_OCkk, None, geometry, out_BOHW)
```

The names that need numba are imported at their first use; each kernel is compiled once per dtype and kept on disk.
"""

from stdl_events.lazy import lazy_names
from stdl_events.scatter.break_even import forward_break_even, weight_break_even
from stdl_events.scatter.geometry import Geometry

__all__ = [
    "Geometry",
    "Nonzeros",
    "convolution_bytes",
    "convolve",
    "forward_break_even",
    "from_bits",
    "from_values",
    "gradient_bytes",
    "most_threads",
    "sample",
    "tiled",
    "weight_break_even",
    "weight_gradient",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "Nonzeros": "stdl_events.scatter.events",
        "convolution_bytes": "stdl_events.scatter.forward",
        "convolve": "stdl_events.scatter.forward",
        "from_bits": "stdl_events.scatter.events",
        "from_values": "stdl_events.scatter.events",
        "gradient_bytes": "stdl_events.scatter.gradient",
        "most_threads": "stdl_events.scatter.compiled",
        "sample": "stdl_events.scatter.events",
        "tiled": "stdl_events.scatter.forward",
        "weight_gradient": "stdl_events.scatter.gradient",
    },
)
