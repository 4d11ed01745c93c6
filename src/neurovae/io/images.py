"""Read a whole image: the compressed stream to its end, so that its checksum is compared, then header and voxels.

A file that is no image, or of another kind than its name says, is refused with its name and a remedy.
"""

import gzip
import struct
import zlib
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.spatialimages import HeaderDataError, SpatialImage

from neurovae.errors import InputError
from neurovae.io.units import in_mm

# rounded quaternions of other programs: .4 degrees, where nibabel takes .08
nib.Nifti1Header.quaternion_threshold = np.float32(-1e-5)

GZIP = b"\x1f\x8b"
COMPRESSED = (".gz", ".mgz")  # endings of compressed images, in lower case
HEADERS = {348: b"n+1\0", 540: b"n+2\0"}  # sizeof_hdr -> magic of a NIfTI file that holds header and voxels
MAGIC = {348: 344, 540: 4}  # sizeof_hdr -> where the magic lies
OTHERS = [  # (offset, bytes there, what the file is, what to do)
    (128, b"DICM", "a DICOM file", "convert it (dcm2niix)"),
    (0, GZIP, "compressed twice", "unpack it once (gunzip)"),
    (257, b"ustar", "a tar archive", "unpack it"),
    (0, b"PK\x03\x04", "a zip archive", "unpack it"),
    (0, b"BZh", "compressed with bzip2", "unpack it, then compress it with gzip"),
    (0, b"\xfd7zXZ", "compressed with xz", "unpack it, then compress it with gzip"),
    (0, b"\x28\xb5\x2f\xfd", "compressed with zstd", "unpack it, then compress it with gzip"),
    (0, b"\x89HDF", "an HDF5 file (MINC 2?)", "convert it (mnc2nii)"),
    (0, b"CDF", "a netCDF file (MINC 1?)", "convert it (mnc2nii)"),
    (0, b"NRRD", "an NRRD file", "convert it (Slicer, c3d)"),
    (0, b"\x93NUMPY", "a NumPy array", "save it as NIfTI, with its affine"),
    (0, b"%PDF", "a PDF document", "put the image in its place"),
]


def read_image(path: str | Path) -> Any:
    """Read a NIfTI or MGH image from one file, every byte of it.

    Raises:
        InputError: what is wrong with the file, what was found and what to do.
    """
    path = Path(path)
    content = _unpacked(_bytes(path), path)
    kind = _kind(content, path)
    (_check_mgh if kind is nib.MGHImage else _check_nifti)(content, path)
    try:
        image = in_mm(kind.from_bytes(content))
        _refuse_voxels(image.get_data_dtype(), path.name)
        _check_length(image, len(content), path.name)
    except InputError:
        raise
    except HeaderDataError as error:
        if "data code" not in str(error):
            raise InputError(_damaged(path, error)) from error
        raise InputError(
            f"{path.name}: its voxels are of a type that cannot be read ({error}: quadruple precision or single bits, "
            "unless the header is damaged); convert it to 32-bit float (nifti_tool -convert2dtype NIFTI_TYPE_FLOAT32)"
        ) from error
    except Exception as error:  # nibabel raises a dozen kinds; all of them mean that the header makes no sense
        raise InputError(_damaged(path, error)) from error
    return image


def _damaged(path: Path, error: Exception) -> str:
    return f"{path.name}: not a readable image, its header is damaged ({error}); copy it again or export it again"


def _bytes(path: Path) -> bytes:
    try:
        content = path.read_bytes()
    except IsADirectoryError as error:
        raise InputError(
            f"{path.name}: is a folder, not a file; if the image lies in it (some programs unpack so), move it here"
        ) from error
    except OSError as error:
        if path.is_symlink() and not path.exists():
            raise InputError(
                f"{path.name}: a link to a file that is not there; fetch it with `datalad get {path}`, or mend the link"
            ) from error
        raise InputError(f"{path.name}: cannot be read ({error.strerror}); check path and permissions") from error
    if not content:
        raise InputError(f"{path.name}: the file is empty (0 bytes); copy it again from its source")
    return content


def _unpacked(content: bytes, path: Path) -> bytes:
    """Decompress the bytes; gzip compares checksum and length at the end of the stream."""
    named_compressed = path.name.lower().endswith(COMPRESSED)
    if content.startswith(GZIP) and not named_compressed:
        raise InputError(
            f"{path.name}: is compressed (gzip), unlike its name; rename it to {path.name}.gz, or unpack it"
        )
    if named_compressed and not content.startswith(GZIP):
        if _is_image(content):
            raise InputError(
                f"{path.name}: is not compressed, but its name says so; rename it to {path.stem}, or compress it (gzip)"
            )
        raise InputError(_not_an_image(content, path))
    if not named_compressed:
        return content
    try:
        return gzip.decompress(content)
    except EOFError as error:
        raise InputError(f"{path.name}: the file is cut short ({error}); copy it again from its source") from error
    except (gzip.BadGzipFile, zlib.error, struct.error) as error:
        raise InputError(
            f"{path.name}: damaged (checksum): its compressed data are not what was written ({error}); "
            "copy it again from its source (`gzip -t` tests a file)"
        ) from error


def _is_image(content: bytes) -> bool:
    size = _header_size(content)
    return size is not None or content[:4] == struct.pack(">i", 1)


def _header_size(content: bytes) -> int | None:
    """sizeof_hdr in either byte order: 348 (NIfTI-1, Analyze) or 540 (NIfTI-2)."""
    sizes = {struct.unpack(f"{order}i", content[:4])[0] for order in "<>"} if len(content) >= 348 else set()
    return next((size for size in HEADERS if size in sizes), None)


def _kind(content: bytes, path: Path) -> type[nib.Nifti1Image] | type[nib.MGHImage]:
    """Return the class that reads the file, by its content."""
    size = _header_size(content)
    if size is not None:
        magic = content[MAGIC[size] : MAGIC[size] + 4]
        if magic == HEADERS[size]:
            return nib.Nifti1Image if size == 348 else nib.Nifti2Image
        if magic.startswith(b"ni"):
            raise InputError(
                f"{path.name}: is the header of a pair (.hdr and .img); convert the pair to one file (mri_convert)"
            )
        raise InputError(
            f"{path.name}: an Analyze header, which does not store left and right, or a NIfTI header with a damaged "
            f"magic ({magic!r}); export it again as NIfTI"
        )
    if content[:4] == struct.pack(">i", 1) and path.name.lower().endswith((".mgz", ".mgh")):
        return nib.MGHImage
    raise InputError(_not_an_image(content, path))


def _not_an_image(content: bytes, path: Path) -> str:
    """Say what the file is instead, with the remedy."""
    start = content[:512].lstrip()
    if b"annex/objects/" in content[:4096] and len(content) < 4096:
        return f"{path.name}: a git-annex pointer, not the image itself; fetch it with `datalad get {path}`"
    if start.startswith(b"version https://git-lfs"):
        return f"{path.name}: a Git LFS pointer, not the image itself; fetch it with `git lfs pull --include '{path}'`"
    if start[:1] == b"<":
        return f"{path.name}: a web page or XML, not an image (a failed download?); download it again"
    for offset, magic, content_type, remedy in OTHERS:
        if content[offset : offset + len(magic)] == magic:
            return f"{path.name}: is {content_type}, not NIfTI; {remedy}"
    if start and all(byte in b"\t\n\r" or byte >= 32 for byte in start):
        return f"{path.name}: not a readable NIfTI image but text, {start[:40]!r}; put the image in its place"
    return f"{path.name}: not a readable NIfTI image; check it with `nib-ls`, copy it again, or convert it (dcm2niix)"


def _check_mgh(content: bytes, path: Path) -> None:
    """Refuse an image without orientation (goodRASFlag), for which nibabel makes one up."""
    if content[28:30] != b"\0\1":
        raise InputError(
            f"{path.name}: its orientation is not set (goodRASFlag), so left and right are unknown; convert it again"
        )


def _check_nifti(content: bytes, path: Path) -> None:
    """Refuse what nibabel would read wrongly or fail on without a clear message: data offset and intensity scale."""
    kind = nib.Nifti1Header if _header_size(content) == 348 else nib.Nifti2Header
    size = kind.template_dtype.itemsize
    header = kind(content[:size], check=False)
    offset, smallest = float(header["vox_offset"]), size + 4
    if not np.isfinite(offset) or offset < smallest or offset != int(offset):
        raise InputError(
            f"{path.name}: voxels would start at byte {offset:g} (vox_offset), but the header itself takes {smallest}; "
            f"export it again, or set vox_offset to {smallest} where you know that they start there"
        )
    rows = np.array([header[f"srow_{axis}"] for axis in "xyz"], dtype=float)
    if header["sform_code"] > 0 and not (np.isfinite(rows).all() and abs(np.linalg.det(rows[:, :3])) > 0):
        raise InputError(
            f"{path.name}: the sform is {rows[:, :3].round(3).tolist()}, which places no voxel; export it again, or "
            "set sform_code to 0 where you know that the qform is right"
        )
    slope, intercept = float(header["scl_slope"]), float(header["scl_inter"])
    if np.isinf(slope) or (np.isfinite(slope) and slope != 0 and not np.isfinite(intercept)):
        raise InputError(
            f"{path.name}: scl_slope is {slope:g} and scl_inter {intercept:g}, so intensities are undefined; export it "
            "again, or set scl_inter to 0 where you know that there is no offset"
        )


def _refuse_voxels(dtype: np.dtype, name: str) -> None:
    if dtype.fields:
        raise InputError(
            f"{name}: a colour image ({''.join(dtype.fields)}), as a picture of a scan or a map of directions; give "
            "the scan's own grey values (export it from the scanner again)"
        )
    if dtype.kind == "c":
        raise InputError(
            f"{name}: voxels are complex numbers ({dtype}); give their magnitude "
            f"(`mrcalc {name} -abs magnitude.nii.gz`, or fslcomplex -realabs)"
        )


def _check_length(image: SpatialImage, length: int, name: str) -> None:
    if min(image.shape, default=0) < 1:
        raise InputError(f"{name}: the header is damaged, the image has shape {image.shape}; export it again")
    offset = getattr(image.dataobj, "offset", 0)
    expected = int(offset + np.prod(image.shape, dtype=np.int64) * image.get_data_dtype().itemsize)
    if length < expected:
        raise InputError(
            f"{name}: the file is cut short: {length} bytes (uncompressed), but {image.shape} voxels need {expected}; "
            "copy it again from its source"
        )
