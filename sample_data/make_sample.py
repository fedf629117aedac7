"""Make the sample: an invented abdomen as a NIfTI volume with labels, and the same volume as a DICOM series.

The anatomy is described in scanner coordinates (RAS+ mm: x to the right, y to the front, z to the head) and sampled on
a tilted grid; the seed fixes every voxel.
"""

from __future__ import annotations

import gzip
import sys
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import DeflatedExplicitVRLittleEndian, MRImageStorage, generate_uid
from scipy import fft, ndimage
from scipy.spatial.transform import Rotation

Field = NDArray[np.float64]
Mask = NDArray[np.bool_]
Triple = tuple[float, float, float]

SEED = 2025
SHAPE = (96, 80, 32)
SPACING_MM = (2.9, 2.9, 6.0)
POINTS_PER_VOXEL = (2, 2, 3)
TILT_DEG = (8.0, -3.0, 4.0)
CENTRE_MM = (2.0, -3.0, 25.0)
NOISE = 13.0

LIVER, KIDNEY, LESION = 1, 2, 3


def voxel_affine() -> Field:
    """Return the (4, 4) affine from (i, j, k) to RAS+ mm; i grows to the left, j to the back, k to the head."""
    affine = np.eye(4)
    rotation = Rotation.from_euler("xyz", TILT_DEG, degrees=True).as_matrix()
    affine[:3, :3] = rotation @ np.diag(np.array([-1, -1, 1]) * SPACING_MM)
    affine[:3, 3] = CENTRE_MM - affine[:3, :3] @ (np.array(SHAPE) - 1) / 2
    return affine


@dataclass(frozen=True)
class Space:
    """Points at which the anatomy is evaluated, several in each voxel for the partial volume effect."""

    positions_mm: Field  # (3, I, J, K)
    rng: np.random.Generator

    @classmethod
    def of_voxels(cls, rng: np.random.Generator) -> Space:
        """Return the points of the whole grid."""
        steps = np.array(POINTS_PER_VOXEL)
        points = np.indices(np.array(SHAPE) * steps, dtype=float)
        voxels = (points + 0.5) / steps[:, None, None, None] - 0.5
        affine = voxel_affine()
        positions = np.tensordot(affine[:3, :3], voxels, axes=1) + affine[:3, 3, None, None, None]
        return cls(positions, rng)

    def noise(self, wavelength_mm: float) -> Field:
        """Return smooth random values of mean 0 and standard deviation 1."""
        points_mm = np.array(SPACING_MM) / POINTS_PER_VOXEL
        shape = self.positions_mm.shape[1:]
        spectrum = fft.rfftn(self.rng.standard_normal(shape))
        spectrum = ndimage.fourier_gaussian(spectrum, wavelength_mm / 3 / points_mm, n=shape[-1])
        smooth = fft.irfftn(spectrum, shape)
        return (smooth - smooth.mean()) / smooth.std()

    def warped(self, wavelength_mm: float, shift_mm: float) -> Space:
        """Return the points moved at random, so that what is drawn on them has uneven borders."""
        shifts = np.stack([shift_mm * self.noise(wavelength_mm) for _ in range(3)])
        return Space(self.positions_mm + shifts, self.rng)

    def ellipsoid(self, centre_mm: Triple, radii_mm: Triple) -> Mask:
        """Return which points lie inside an ellipsoid along the body axes."""
        offset = (self.positions_mm - np.reshape(centre_mm, (3, 1, 1, 1))) / np.reshape(radii_mm, (3, 1, 1, 1))
        return (offset**2).sum(axis=0) < 1

    def tube(self, centre_mm: tuple[float, float], radii_mm: tuple[float, float]) -> Mask:
        """Return which points lie inside an elliptic cylinder from foot to head."""
        return self.ellipsoid((*centre_mm, 0.0), (*radii_mm, 1e6))


def average_in_voxels(field: NDArray[np.generic]) -> Field:
    """Return the mean over the points of each voxel."""
    split = [number for pair in zip(SHAPE, POINTS_PER_VOXEL, strict=True) for number in pair]
    return field.reshape(split).mean(axis=(1, 3, 5))


class Anatomy:
    """Brightness and class value of every point; what is drawn later covers what was drawn before."""

    def __init__(self, space: Space) -> None:
        self.texture = 0.06 * space.noise(14.0) + 0.05 * space.noise(30.0)
        self.brightness = np.full(space.positions_mm.shape[1:], 10.0)
        self.labels = np.zeros(self.brightness.shape, dtype=np.uint8)

    def draw(self, region: Mask, brightness: float, label: int = 0) -> None:
        """Fill a region with one textured tissue."""
        self.brightness[region] = (brightness * (1 + self.texture))[region]
        self.labels[region] = label


def draw_abdomen(space: Space) -> Anatomy:
    """Draw body wall, spine, bowel and organs; spleen, bowel and muscle are about as bright as what is labelled."""
    body = space.warped(110.0, 4.0)
    anatomy = Anatomy(space)
    anatomy.draw(body.tube((0, 0), (126, 97)), 530)
    anatomy.draw(body.warped(40.0, 1.5).tube((0, 1), (113, 84)), 250)
    cavity = body.tube((0, 5), (103, 71))
    anatomy.draw(cavity, 480)

    organs = body.warped(50.0, 4.0).warped(20.0, 1.5)
    draw_lungs(anatomy, organs, cavity)
    draw_spine(anatomy, organs)
    draw_bowel(anatomy, organs, cavity)
    draw_liver(anatomy, organs, cavity)
    draw_kidneys(anatomy, organs)
    return anatomy


def draw_lungs(anatomy: Anatomy, space: Space, cavity: Mask) -> None:
    """Draw the lower ends of both lungs."""
    for side, z in ((1, 150.0), (-1, 142.0)):
        anatomy.draw(space.ellipsoid((side * 58, -8, z), (50, 58, 58)) & cavity, 60)


def draw_spine(anatomy: Anatomy, space: Space) -> None:
    """Draw vertebrae with discs, the spinal canal, muscles on both sides and the great vessels in front."""
    for side in (-1, 1):
        anatomy.draw(space.tube((side * 40, -68), (33, 22)), 260)
        anatomy.draw(space.tube((side * 30, -46), (14, 15)), 280)
    spine = space.tube((0, -50), (23, 19))
    anatomy.draw(spine, 390)
    anatomy.draw(spine & (np.cos(space.positions_mm[2] * 2 * np.pi / 34) > 0.75), 250)
    anatomy.draw(space.tube((0, -76), (13, 11)), 330)
    anatomy.draw(space.tube((0, -75), (8, 7)), 170)
    anatomy.draw(space.tube((-9, -22), (10, 10)), 420)
    anatomy.draw(space.tube((17, -22), (12, 9)), 360)


def draw_bowel(anatomy: Anatomy, space: Space, cavity: Mask) -> None:
    """Draw winding loops with a wall in the lower front, the stomach and the spleen."""
    region = cavity & (space.positions_mm[1] > -14) & (space.positions_mm[2] < 45)
    winding = space.noise(36.0)
    anatomy.draw(region & (winding > 0.05), 390)
    anatomy.draw(region & (winding > 0.45), 290)
    anatomy.draw(region & (winding > 1.3), 440)
    anatomy.draw(space.ellipsoid((-42, 32, 55), (42, 27, 34)) & cavity, 400)
    anatomy.draw(space.ellipsoid((-42, 32, 55), (37, 22, 29)) & cavity, 240)
    anatomy.draw(space.ellipsoid((-84, -20, 45), (25, 40, 46)) & cavity, 345)


def draw_liver(anatomy: Anatomy, space: Space, cavity: Mask) -> None:
    """Draw a right and a left lobe with vessels, the gallbladder, and a lesion in the right lobe."""
    lobes = space.ellipsoid((58, 8, 32), (56, 66, 76)) | space.ellipsoid((5, 42, 55), (55, 28, 36))
    spared = space.tube((0, -45), (31, 36)) | space.ellipsoid((56, -48, -18), (30, 25, 52))
    liver = lobes & cavity & ~spared
    anatomy.draw(liver, 385, LIVER)
    # Where two smooth random fields are both near zero there are winding lines: vessels.
    anatomy.draw(liver & (np.hypot(space.noise(70.0), space.noise(70.0)) < 0.17), 470, LIVER)
    anatomy.draw(space.ellipsoid((30, 42, -4), (13, 15, 28)), 220)
    lesion = space.warped(16.0, 2.0).ellipsoid((72, 6, 38), (20, 17, 21)) & liver
    anatomy.draw(lesion, 300, LESION)
    anatomy.draw(lesion & space.ellipsoid((74, 8, 40), (8, 7, 8)), 245, LESION)


def draw_kidneys(anatomy: Anatomy, space: Space) -> None:
    """Draw two kidneys with a bright cortex, darker pyramids and the fat of the sinus, which is not labelled."""
    for side, z in ((1, -22.0), (-1, -2.0)):
        kidney = space.ellipsoid((side * 57, -44, z), (25, 21, 46))
        sinus = space.ellipsoid((side * 42, -36, z), (15, 9, 19))
        anatomy.draw(kidney & ~sinus, 420, KIDNEY)
        pyramids = space.ellipsoid((side * 55, -43, z), (16, 13, 36)) & (space.noise(20.0) > 0)
        anatomy.draw(pyramids & kidney & ~sinus, 330, KIDNEY)


def scan(anatomy: Anatomy, space: Space) -> NDArray[np.int16]:
    """Return the voxels of a magnitude image: mean over the voxel, uneven coil sensitivity, Rician noise."""
    sensitivity = np.exp(0.14 * space.noise(260.0))
    signal = average_in_voxels(anatomy.brightness * sensitivity)
    real, imaginary = NOISE * space.rng.standard_normal((2, *SHAPE))
    return np.rint(np.hypot(signal + real, imaginary)).astype(np.int16)


def majority_labels(labels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the class that fills most of each voxel."""
    shares = [average_in_voxels(labels == value) for value in (0, LIVER, KIDNEY, LESION)]
    return np.argmax(shares, axis=0).astype(np.uint8)


def make_phantom() -> tuple[NDArray[np.int16], NDArray[np.uint8]]:
    """Return the voxels and the labels of the sample, (I, J, K)."""
    space = Space.of_voxels(np.random.default_rng(SEED))
    anatomy = draw_abdomen(space)
    return scan(anatomy, space), majority_labels(anatomy.labels)


def write_nifti(path: Path, array: NDArray[np.integer]) -> None:
    """Write a NIfTI file; without a time stamp, so that equal arrays give equal files."""
    image = nib.Nifti1Image(array, voxel_affine())
    image.header.set_xyzt_units("mm")
    image.set_sform(voxel_affine(), code=1)
    image.set_qform(voxel_affine(), code=1)
    path.write_bytes(gzip.compress(image.to_bytes(), mtime=0))


def write_dicom_series(folder: Path, array: NDArray[np.int16]) -> None:
    """Write one MR file for each k; the file names say nothing about the position, as in many exports."""
    folder.mkdir(exist_ok=True)
    names = np.random.default_rng(SEED).permutation(array.shape[2])
    for k, name in enumerate(names):
        slice_dataset(array[:, :, k].T, k).save_as(folder / f"IM{name:04d}.dcm", enforce_file_format=True)


def slice_dataset(pixels: NDArray[np.int16], k: int) -> Dataset:
    """Return one slice, (rows J, columns I), as a data set of an invented patient."""
    ras_to_lps = np.array([-1, -1, 1])
    affine = voxel_affine()
    columns_lps, rows_lps = (ras_to_lps * affine[:3, axis] / SPACING_MM[axis] for axis in (0, 1))
    position_lps = ras_to_lps * (affine[:3, 3] + k * affine[:3, 2])

    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = MRImageStorage
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID = uid(f"slice {k}")
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = uid("study"), uid("series")
    dataset.FrameOfReferenceUID = uid("frame of reference")
    dataset.PatientName, dataset.PatientID = "Phantom^Invented", "PHANTOM"
    dataset.PatientBirthDate = dataset.PatientSex = ""
    dataset.StudyID, dataset.StudyDate, dataset.StudyTime, dataset.AccessionNumber = "1", "20250101", "120000", ""
    dataset.ReferringPhysicianName = ""
    dataset.Manufacturer, dataset.Modality, dataset.ImageType = "none (phantom)", "MR", ["DERIVED", "SECONDARY"]
    dataset.ScanningSequence, dataset.SequenceVariant, dataset.ScanOptions = "RM", "NONE", ""
    dataset.MRAcquisitionType, dataset.EchoTime, dataset.EchoTrainLength = "2D", None, None
    dataset.SeriesNumber, dataset.InstanceNumber, dataset.PatientPosition = 1, k + 1, "HFS"
    dataset.PositionReferenceIndicator = ""
    dataset.ImageOrientationPatient = [f"{cosine:.12f}" for cosine in (*columns_lps, *rows_lps)]
    dataset.ImagePositionPatient = [f"{coordinate:.10f}" for coordinate in position_lps]
    dataset.PixelSpacing = [SPACING_MM[1], SPACING_MM[0]]
    dataset.SliceThickness = dataset.SpacingBetweenSlices = SPACING_MM[2]
    dataset.set_pixel_data(pixels, "MONOCHROME2", bits_stored=16, generate_instance_uid=False)
    return dataset


def uid(what: str) -> str:
    """Return an identifier that depends on nothing but its purpose in this sample."""
    return generate_uid(entropy_srcs=["napari-knowsam phantom", what])


def main(folder: Path) -> None:
    """Write all files of the sample into a folder."""
    image, labels = make_phantom()
    write_nifti(folder / "phantom.nii.gz", image)
    write_nifti(folder / "phantom_labels.nii.gz", labels)
    write_dicom_series(folder / "phantom_dicom", image)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)
