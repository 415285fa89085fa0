"""DICOM series for host/dataset/tests/dicom.rs, written by pydicom, and their values by the geometry of
PS3.3 C.7.6.2, put along the patient's axes by nibabel: tests/data/datasets/dicom/ and values.json in it.

Run from the repository's root with pydicom 3 and nibabel 5.
"""

import json
import shutil
from pathlib import Path

import nibabel
import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

OUT = Path("tests/data/datasets/dicom")
shutil.rmtree(OUT, ignore_errors=True)
rng = np.random.default_rng(17)
expected = []


def nested(depth):
    """A sequence in a sequence, as reports and private elements have them."""
    item = Dataset()
    item.CodeValue = "x"
    if depth:
        item.ConceptCodeSequence = Sequence([nested(depth - 1)])
        item["ConceptCodeSequence"].is_undefined_length = True
        item.ConceptCodeSequence[0].is_undefined_length_sequence_item = True
    return item


def series(name, syntax, orientation, dtype, step=3.0, n=4, scales=None):
    folder = OUT / name
    folder.mkdir(parents=True)
    rows, columns = 5, 6
    info = np.iinfo(dtype)
    voxels = rng.integers(info.min, info.max, (n, rows, columns), dtype=dtype, endpoint=True)
    along, down = np.array(orientation[:3]), np.array(orientation[3:])
    normal = np.cross(along, down)
    origin, spacing = np.array([-20.5, 14.25, 7.0]), (0.75, 1.25)
    values = np.empty((columns, rows, n))
    for at in range(n):
        slope, intercept = scales[at] if scales else (1, 0)
        made = Dataset()
        made.SOPClassUID = "1.2.840.10008.5.1.4.1.1.2"
        made.SOPInstanceUID = f"1.2.3.{at}"
        made.SeriesInstanceUID = "1.2.3.4"
        made.ConceptCodeSequence = Sequence([nested(5)])
        made.ImagePositionPatient = list(origin + at * step * normal)
        made.ImageOrientationPatient = list(orientation)
        made.SamplesPerPixel, made.PhotometricInterpretation = 1, "MONOCHROME2"
        made.Rows, made.Columns, made.PixelSpacing = rows, columns, list(spacing)
        made.SliceThickness = step
        made.BitsAllocated = made.BitsStored = 8 * np.dtype(dtype).itemsize
        made.HighBit = made.BitsStored - 1
        made.PixelRepresentation = int(np.dtype(dtype).kind == "i")
        made.RescaleSlope, made.RescaleIntercept = slope, intercept
        made.PixelData = voxels[at].tobytes()
        made["PixelData"].VR = "OW"
        made.file_meta = FileMetaDataset()
        made.file_meta.TransferSyntaxUID = syntax
        # Names do not follow places.
        made.save_as(folder / f"IM{(7 * at + 3) % 10:04}", enforce_file_format=True)
        read = pydicom.dcmread(folder / f"IM{(7 * at + 3) % 10:04}")
        pixels = read.pixel_array * float(read.RescaleSlope) + float(read.RescaleIntercept)
        values[:, :, at] = pixels.T
    affine = np.eye(4)
    affine[:3, 0], affine[:3, 1] = along * spacing[1], down * spacing[0]
    affine[:3, 2], affine[:3, 3] = normal * step, origin
    affine = np.diag([-1, -1, 1, 1]) @ affine
    image = nibabel.as_closest_canonical(nibabel.Nifti1Image(values, affine))
    out = np.ascontiguousarray(image.get_fdata().transpose(2, 1, 0)).astype(np.float32)
    expected.append({"series": name, "shape": list(out.shape), "values": [float(v) for v in out.ravel()]})


AXIAL, SAGITTAL, CORONAL = (1, 0, 0, 0, 1, 0), (0, 1, 0, 0, 0, -1), (1, 0, 0, 0, 0, -1)
series("axial", ExplicitVRLittleEndian, AXIAL, "i2", scales=[(0.5, -1024), (0.25, 1), (1, 0), (2, 3)])
series("sagittal", ImplicitVRLittleEndian, SAGITTAL, "u2", step=2.5)
series("coronal", DeflatedExplicitVRLittleEndian, CORONAL, "u1", step=-1.5)
series("one", ExplicitVRLittleEndian, AXIAL, "i2", n=1)
(OUT / "values.json").write_text(json.dumps(expected).replace('{"series"', '\n{"series"') + "\n")
