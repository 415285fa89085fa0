"""Volumes for host/dataset/tests/volumes.rs, written by nibabel, and their values as nibabel and SciPy read
them: tests/data/datasets/nifti/ and values.json in it.

Run from the repository's root with nibabel 5 and SciPy.
"""

import json
from pathlib import Path

import nibabel
import numpy as np
from scipy.ndimage import map_coordinates

OUT = Path("tests/data/datasets/nifti")
OUT.mkdir(parents=True, exist_ok=True)
rng = np.random.default_rng(17)
files, read = {}, []


def affine(axes, spacing=(1.5, 2.0, 3.0), origin=(-7.0, 11.0, 4.5)):
    """From codes such as LPS."""
    ornt = nibabel.orientations.axcodes2ornt(axes)
    out = np.zeros((4, 4))
    for axis, (to, sign) in enumerate(ornt):
        out[int(to), axis] = sign * spacing[axis]
    out[:3, 3], out[3, 3] = origin, 1
    return out


def voxels(dtype, shape=(3, 4, 5)):
    if np.dtype(dtype).kind == "f":
        return rng.normal(size=shape).astype(dtype)
    info = np.iinfo(dtype)
    return rng.integers(max(info.min, -(2**40)), min(info.max, 2**40), shape, dtype=dtype, endpoint=True)


def save(name, data, to, image=nibabel.Nifti1Image, s=1, q=0, slope=None, endian="<", end=".nii"):
    header = image.header_class(endianness=endian)
    header.set_data_dtype(data.dtype)
    made = image(data, to, header)
    made.set_sform(to, s)
    if q:
        made.set_qform(to, q)
    else:
        made.header["qform_code"] = 0
    if slope:
        made.header.set_slope_inter(*slope)
    nibabel.save(made, OUT / (name + end))
    files[name] = name + end


def canonical(name, frame=None):
    image = nibabel.load(OUT / files[name])
    if frame is not None:
        image = image.slicer[..., frame]
    image = nibabel.as_closest_canonical(image)
    return image.get_fdata(), np.asarray(image.header.get_zooms()[:3], dtype=float), image


def expect(name, values, **settings):
    settings = {key: value for key, value in settings.items() if value is not None}
    values = np.ascontiguousarray(values.transpose(2, 1, 0)).astype(np.float32)
    read.append(
        {
            "file": files[name],
            "settings": settings,
            "shape": list(values.shape),
            "values": [float(value) for value in values.ravel()],
        }
    )


def resampled(name, shape=None, spacing=None, order=1, fill=0.0):
    data, _, image = canonical(name)
    # Spacings from the affine, since float32 ones of the header are rounded.
    zooms = np.sqrt((image.affine[:3, :3] ** 2).sum(axis=0))
    coordinates, inside = [], []
    for axis in range(3):
        n = data.shape[axis]
        step = spacing[2 - axis] / zooms[axis] if spacing else n / shape[2 - axis]
        m = shape[2 - axis] if shape else max(int(np.floor(n / step + 0.5)), 1)
        at = (np.arange(m) - (m - 1) / 2) * step + (n - 1) / 2
        coordinates.append(at)
        inside.append((at >= -0.5 - 1e-6) & (at <= n - 0.5 + 1e-6))
    grid = np.meshgrid(*coordinates, indexing="ij")
    out = map_coordinates(data, grid, order=order, mode="nearest")
    keep = inside[0][:, None, None] & inside[1][None, :, None] & inside[2][None, None, :]
    return np.where(keep, out, fill)


# Element types, byte orders, versions, compression.
save("ras_i16", voxels("i2"), affine("RAS"))
save("lps_u8", voxels("u1"), affine("LPS"), end=".nii.gz")
save("psr_f32", voxels("f4"), affine("PSR"), end=".nii.gz")
save("ail_f64", voxels("f8"), affine("AIL"))
save("sra_i32", voxels("i4"), affine("SRA"))
save("las_u16", voxels("u2"), affine("LAS"))
save("ipl_i8", voxels("i1"), affine("IPL"))
save("lsp_u32", voxels("u4"), affine("LSP"))
save("ras_i64", voxels("i8"), affine("RAS"))
save("rai_u64", voxels("u8"), affine("RAI"))
save("big_i16", voxels("i2"), affine("PIR"), endian=">")
save("second_i16", voxels("i2"), affine("LIA"), image=nibabel.Nifti2Image, end=".nii.gz")
save("second_big_f32", voxels("f4"), affine("LPI"), image=nibabel.Nifti2Image, endian=">", q=1)
# Slope and intercept; a slope of NaN means none.
save("scaled_i16", voxels("i2"), affine("LPS"), slope=(0.1, -1024.0))
# The qform alone, of a left-handed space; neither of them.
turn = np.array(nibabel.eulerangles.euler2mat(0.3, -0.2, 0.4))
oblique = np.eye(4)
oblique[:3, :3] = turn @ np.diag([1.5, 2.0, -3.0])
oblique[:3, 3] = (5.0, -3.0, 8.0)
save("oblique_qform", voxels("i2"), oblique, s=0, q=1)
save("oblique_sform", voxels("i2"), oblique)
sheared = oblique.copy()
sheared[:3, :3] = sheared[:3, :3] @ np.array([[1, 0.4, 0], [0, 1, -0.3], [0, 0, 1]])
save("sheared", voxels("i2"), sheared)
save("neither", voxels("i2"), affine("RAS"), s=0)
for name in list(files):
    expect(name, canonical(name)[0])
save("series", voxels("i2", (3, 4, 5, 3)), affine("LAS"), end=".nii.gz")
expect("series", canonical("series", 2)[0], modalities={"v": {"frame": 2}})

for shape, spacing in [((6, 5, 4), None), (None, (2.0, 1.5, 1.0)), ((4, 6, 8), (2.0, 1.5, 1.0)), ((1, 1, 1), None)]:
    for name in ["ras_i16", "psr_f32", "oblique_qform", "scaled_i16"]:
        expect(name, resampled(name, shape, spacing), shape=shape, spacing=spacing)
data, _, _ = canonical("scaled_i16")
low, high = -2000.0, 1500.0
clipped = np.clip(data, low, high)
expect("scaled_i16", clipped, modalities={"v": {"window": [low, high]}})
expect(
    "scaled_i16",
    (clipped - clipped.mean()) / clipped.std(),
    modalities={"v": {"window": [low, high], "normalize": "z-score"}},
)
# Masks come from the nearest voxel.
mask = rng.integers(0, 4, (5, 6, 7), dtype="u1")
save("classes", mask, affine("LPS"), end=".nii.gz")
for shape, spacing in [((6, 5, 4), None), ((9, 8, 7), (2.1, 1.3, 1.1))]:
    expected = resampled("classes", shape, spacing, order=0)
    expect("classes", expected, shape=shape, spacing=spacing, modalities={"v": {"kind": "mask"}})

(OUT / "values.json").write_text(json.dumps(read).replace('{"file"', '\n{"file"') + "\n")
print(len(files), "files,", len(read), "readings")
