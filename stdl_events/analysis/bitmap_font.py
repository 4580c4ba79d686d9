"""A font of 5 x 8 pixels for pictures that are drawn without a drawing package."""

import unicodedata

import numpy as np
import numpy.typing as npt

ADVANCE, HEIGHT = 6, 8

# Five columns per character, from the space to the tilde; the lowest bit is the top row.
_COLUMNS = bytes.fromhex(
    "000000000000005f00000007000700147f147f14242a7f2a12231308646236495620500008070300001c2241000041221c002a1c7f1c2a"
    "08083e080800807030000808080808000060600020100804023e5149453e00427f400072494949462141494d331814127f102745454539"
    "3c4a49493141211109073649494936464949291e0000140000004034000000081422411414141414004122140802015909063e415d594e"
    "7c1211127c7f494949363e414141227f4141413e7f494949417f090909013e414151737f0808087f00417f41002040413f017f08142241"
    "7f404040407f021c027f7f0408107f3e4141413e7f090909063e4151215e7f09192946264949493203017f01033f4040403f1f2040201f"
    "3f4038403f631408146303047804036159494d43007f4141410204081020004141417f0402010204404040404000030708002054547840"
    "7f284444383844444428384444287f385454541800087e090218a4a49c787f0804047800447d40002040403d007f1028440000417f4000"
    "7c047804787c080404783844444438fc1824241818242418fc7c08040408485454542404043f44243c4040207c1c2040201c3c4030403c"
    "44281028444c9090907c4464544c440008364100000077000000413608000201020402"
)
_FIRST, _UNKNOWN = 0x20, 0x3F


def text_mask(text: str) -> npt.NDArray[np.bool_]:
    """Return the pixels [8, 6 * characters] of one line; accents are left out, characters beyond ASCII are `?`."""
    plain = "".join(char for char in unicodedata.normalize("NFKD", text) if not unicodedata.combining(char))
    mask_HW = np.zeros((HEIGHT, ADVANCE * len(plain)), np.bool_)
    for position, char in enumerate(plain):
        code = ord(char) if " " <= char <= "~" else _UNKNOWN
        columns_W = np.frombuffer(_COLUMNS, np.uint8, 5, 5 * (code - _FIRST))
        mask_HW[:, ADVANCE * position : ADVANCE * position + 5] = columns_W >> np.arange(HEIGHT)[:, None] & 1
    return mask_HW
