"""The shape of a NIfTI file from its header alone, without nibabel, for parse time."""

import gzip
import struct


def shape(path: str) -> tuple[int, ...]:
    """Return the number of voxels along each axis; raises ValueError where the file is no NIfTI."""
    opener = gzip.open if path.endswith(".gz") else open
    try:
        with opener(path, "rb") as file:
            head = file.read(80)
    except (OSError, EOFError) as error:
        raise ValueError(str(error)) from None
    for order in "<>":
        if len(head) == 80 and struct.unpack(f"{order}i", head[:4])[0] == 348:
            axes = struct.unpack(f"{order}8h", head[40:56])
        elif len(head) == 80 and struct.unpack(f"{order}i", head[:4])[0] == 540:
            axes = struct.unpack(f"{order}8q", head[16:80])
        else:
            continue
        return tuple(axes[1 : axes[0] + 1])
    raise ValueError("it does not begin with a NIfTI header")
