import io

import numpy as np
import pytest
from PIL import Image

from solo_d2.data.pixel_depth import refuse_deep_pixels


@pytest.mark.parametrize("dtype", [np.uint16, np.int32, np.float32])
def test_deep_greys_are_refused(dtype):
    file = io.BytesIO()
    Image.fromarray(np.linspace(0, 65535, 60).reshape(6, 10).astype(dtype)).save(file, "TIFF")
    with pytest.raises(OSError, match="8 bits"), Image.open(file) as image:
        refuse_deep_pixels(image)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK"])
def test_others_are_not(mode):
    refuse_deep_pixels(Image.new(mode, (4, 3)))
