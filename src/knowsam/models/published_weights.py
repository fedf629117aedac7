"""The table of published weights: files of SAM and MobileSAM, folders of SAM-2 and EdgeTAM on the Hugging Face hub."""

from __future__ import annotations

import os
from dataclasses import dataclass

from knowsam.errors import CheckpointError

LICENCE = "Apache 2.0"
"""Of all of them."""

FOLDER_FILES = ("config.json", "model.safetensors")
"""What a folder of the hub holds, as far as it is needed."""

_META = "https://dl.fbaipublicfiles.com/segment_anything"
_HUB = "https://huggingface.co"
_SAM = "https://github.com/facebookresearch/segment-anything"


@dataclass(frozen=True)
class PublishedFile:
    """A file by its address, in a revision that does not change, and its checksum."""

    url: str
    sha256: str

    @property
    def name(self) -> str:
        """Name of the file."""
        return self.url.rpartition("/")[2]

    @property
    def address(self) -> str:
        """Where to ask for it: at the hub, or at the mirror of it that ``HF_ENDPOINT`` names.

        Raises
        ------
        CheckpointError
            If that is no address of a server.
        """
        mirror = os.environ.get("HF_ENDPOINT", "").rstrip("/")
        if not mirror or not self.url.startswith(_HUB):
            return self.url
        if not mirror.startswith(("https://", "http://")):
            raise CheckpointError(
                f"The environment variable HF_ENDPOINT is {mirror}, but an address such as https://{mirror} was "
                "expected. Correct it, or unset it to download from the hub itself."
            )
        return self.url.replace(_HUB, mirror, 1)


@dataclass(frozen=True)
class OfficialWeights:
    """Published weights of one network.

    Parameters
    ----------
    name : in words.
    variant : of the teacher, as in `TeacherConfig`.
    files : one file, or those of a folder.
    source : page that says more of them.
    megabytes : size of the download. parameters_m : in millions.
    memory_gib : that the networks take beside the rest of a training; while the file is read, twice as much.
    seconds_a_slice : for its frozen blocks, once for each slice of 96 x 96 px: CPU time of one core
        (`benchmarks/official_sams.py`).
    extra : of this package, which installs what the network needs; empty where nothing is missing.
    """

    name: str
    variant: str
    files: tuple[PublishedFile, ...]
    source: str
    megabytes: int
    parameters_m: int
    memory_gib: float
    seconds_a_slice: float
    extra: str = ""

    @property
    def is_folder(self) -> bool:
        """Whether they are a folder of several files."""
        return len(self.files) > 1


def _sam(file: str, sha256: str) -> tuple[PublishedFile, ...]:
    return (PublishedFile(f"{_META}/{file}", sha256),)


def _folder(repository: str, revision: str, *checksums: str) -> tuple[PublishedFile, ...]:
    """Return the files of a folder of the hub, with the checksum of each."""
    base = f"{_HUB}/{repository}/resolve/{revision}"
    return tuple(PublishedFile(f"{base}/{name}", sha256) for name, sha256 in zip(FOLDER_FILES, checksums, strict=True))


OFFICIAL = {
    "vit_b": OfficialWeights(
        "SAM ViT-B",
        "vit_b",
        _sam("sam_vit_b_01ec64.pth", "ec2df62732614e57411cdcf32a23ffdf28910380d03139ee0f4fcbe91eb8c912"),
        _SAM,
        *(375, 94, 0.4, 0.2),
    ),
    "vit_l": OfficialWeights(
        "SAM ViT-L",
        "vit_l",
        _sam("sam_vit_l_0b3195.pth", "3adcc4315b642a4d2101128f611684e8734c41232a17c648ed1693702a49a622"),
        _SAM,
        *(1250, 312, 1.2, 0.9),
    ),
    "vit_h": OfficialWeights(
        "SAM ViT-H",
        "vit_h",
        _sam("sam_vit_h_4b8939.pth", "a7bf3b02f3ebf1267aba913ff637d9a2d5c33d3173bb679e46d9f338c26f262e"),
        _SAM,
        *(2565, 641, 2.4, 1.6),
    ),
    "mobile_sam": OfficialWeights(
        "MobileSAM",
        "mobile_sam",
        (
            PublishedFile(
                "https://raw.githubusercontent.com/ChaoningZhang/MobileSAM/"
                "f706ad9c4eb7f219c00d9050e46328518ffb65d2/weights/mobile_sam.pt",
                "6dbb90523a35330fedd7f1d3dfc66f995213d81b29a5ca8108dbcdd4e37d6c2f",
            ),
        ),
        "https://github.com/ChaoningZhang/MobileSAM",
        *(41, 10, 0.1, 0.1),
    ),
    "sam2.1-hiera-tiny": OfficialWeights(
        "SAM 2.1 tiny",
        "sam2",
        _folder(
            "facebook/sam2.1-hiera-tiny",
            "de431c4043854a71d8101e17995dfe596bf101a5",
            "860aff9751b139d83a4ad7df1e5535416fded533e0ead02625edbefcb9953cce",
            "48c14467e5cf9e51870511feb72c89688e82dd74523142c0538b663e193ac2a7",
        ),
        f"{_HUB}/facebook/sam2.1-hiera-tiny",
        *(156, 39, 0.3, 0.3, "sam2"),
    ),
    "sam2.1-hiera-small": OfficialWeights(
        "SAM 2.1 small",
        "sam2",
        _folder(
            "facebook/sam2.1-hiera-small",
            "ee5bba1d82bb8749febdf90f45e84b687142ba03",
            "97ff9f65b76d107acda4247885f0a5555d0048850ae3c5f97183df289aaecde9",
            "0a4067b11ce1e23d5229203f11c718a823060d15a4b23fa2372a7d4b77cbbc60",
        ),
        f"{_HUB}/facebook/sam2.1-hiera-small",
        *(184, 46, 0.4, 0.4, "sam2"),
    ),
    "sam2.1-hiera-base-plus": OfficialWeights(
        "SAM 2.1 base plus",
        "sam2",
        _folder(
            "facebook/sam2.1-hiera-base-plus",
            "b7320756a13354e7530a63935656d35b2f91a290",
            "8e24a93b6a40d4dad86eaec383ce7b4044f37ec6360136460f5ff2ce55f87390",
            "2012733a0de5d03efd1bba550a2847c4551be9ef2e0d497c83074df66189f780",
        ),
        f"{_HUB}/facebook/sam2.1-hiera-base-plus",
        *(323, 81, 0.5, 0.7, "sam2"),
    ),
    "sam2.1-hiera-large": OfficialWeights(
        "SAM 2.1 large",
        "sam2",
        _folder(
            "facebook/sam2.1-hiera-large",
            "665f8e2ad61cf5f53d65644ff27c8ee525124610",
            "00446988cf4d617118d2d347eabe2c46aebed744628facdd540508be30b69ec3",
            "dc407dce21301fd94abb395c5099b4f2c455fdc8a8f261ac3d0ea6d4cd197230",
        ),
        f"{_HUB}/facebook/sam2.1-hiera-large",
        *(898, 224, 1.0, 1.4, "sam2"),
    ),
    "edgetam": OfficialWeights(
        "EdgeTAM",
        "edgetam",
        _folder(
            "yonigozlan/EdgeTAM-hf",
            "c266ce53b3fc00f0f495b583f6a116c4e57f53bb",
            "0827d003132f67efc496928f4fe5dd4125fcac518950c4eabe1d1f85e245c82a",
            "8858f8e4757b0b96dab8763f296ecffd845efbbbf698f64163cfa20a63d5fff4",
        ),
        f"{_HUB}/yonigozlan/EdgeTAM-hf",
        *(56, 14, 0.3, 0.1, "edgetam"),
    ),
}
"""By the name that people give. Checksums of MobileSAM and the hub are those that public projects recorded."""

ALIASES = {"sam2": "sam2.1-hiera-tiny"}
"""Shorter names."""
