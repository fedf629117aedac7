"""What do the published SAMs cost in memory and time? With random weights of their layout, which cost the same.

Each is built in a process of its own. "Memory" is what the process has more after one slice than before the networks
were built, "a slice" the CPU time of the image encoder for one more slice, on one thread. A network that sees a small
plane enlarged is given it as large as it sees it. EdgeTAM needs the extra [edgetam].
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from typing import Any

import torch
from provenance import provenance
from tables import table

from knowsam.models.mobile_sam_teacher import LEAST_SIDE_PX
from knowsam.models.prompted_teacher import enlarged
from knowsam.models.published_weights import OFFICIAL
from knowsam.models.pyramid_teacher import LEAST_SIDE_PX as PYRAMID_SIDE_PX
from knowsam.models.sam import VARIANTS, build_sam
from knowsam.report import peak_memory_mib

_STAGES: dict[str, dict[str, Any]] = {
    "sam2.1-hiera-tiny": {},
    "sam2.1-hiera-small": {"blocks_per_stage": [1, 2, 11, 2], "global_attention_blocks": [7, 10, 13]},
    "sam2.1-hiera-base-plus": {
        **{"hidden_size": 112, "num_attention_heads": 2, "num_attention_heads_per_stage": [2, 4, 8, 16]},
        **{"blocks_per_stage": [2, 3, 16, 3], "embed_dim_per_stage": [112, 224, 448, 896]},
        **{"global_attention_blocks": [12, 16, 20], "window_positional_embedding_background_size": [14, 14]},
    },
    "sam2.1-hiera-large": {
        **{"hidden_size": 144, "num_attention_heads": 2, "num_attention_heads_per_stage": [2, 4, 8, 16]},
        **{"blocks_per_stage": [2, 6, 36, 4], "embed_dim_per_stage": [144, 288, 576, 1152]},
        **{"global_attention_blocks": [23, 33, 43], "window_size_per_stage": [8, 4, 16, 8]},
    },
}
"""In what the encoders of SAM 2.1 differ from the smallest one, as their configurations say."""

_STRIDE_PX = 32
"""What the sides of an image must be a multiple of, for SAM-2 and EdgeTAM."""


def main() -> None:
    """Measure each of them, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=96, help="of the network plane, in px (default: 96)")
    parser.add_argument("--names", nargs="+", choices=OFFICIAL, default=list(OFFICIAL), help="(default: all)")
    parser.add_argument("--only", choices=OFFICIAL, help="measure one, in this process")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.only:
        print(*_measured(options.only, options.side))
        return
    command = [sys.executable, __file__, "--side", str(options.side), "--only"]
    rows = [[name, *subprocess.check_output([*command, name], text=True).split()] for name in options.names]
    header = ["name", "million parameters", "memory GiB", "s a slice"]
    print("\n".join([*provenance("random weights"), table(header, rows)]))


def _measured(name: str, side: int) -> tuple[str, str, str]:
    before = peak_memory_mib("cpu")["main"] or 0.0
    network, encoder, side = _built(name, side)
    network.eval()
    image = torch.rand(1, 3, side, side)
    with torch.no_grad():
        encoder(image)
        started = time.process_time()
        encoder(image)
    seconds = time.process_time() - started
    memory = (peak_memory_mib("cpu")["main"] or 0.0) - before
    parameters = sum(parameter.numel() for parameter in network.parameters()) / 1e6
    return f"{parameters:.0f}", f"{memory / 1024:.1f}", f"{seconds:.2f}"


def _built(name: str, side: int) -> tuple[Any, Any, int]:
    """Return a network, its image encoder, and the side of the images that this sees."""
    if not OFFICIAL[name].is_folder:
        seen = enlarged((side, side), 16, LEAST_SIDE_PX)[0] if VARIANTS[name].is_mobile else side
        sam = build_sam(VARIANTS[name], (seen, seen))
        return sam, sam.image_encoder, seen
    import transformers

    if name == "edgetam":
        backbone = {
            **{"model_type": "timm_wrapper", "architecture": "repvit_m1", "num_classes": 1, "label_names": ["none"]},
            "model_args": {"in_chans": 3, "features_only": True, "out_indices": [0, 1, 2, 3]},
        }
        vision = transformers.EdgeTamVisionConfig(backbone_config=backbone)
        network = transformers.EdgeTamModel(transformers.EdgeTamConfig(vision_config=vision))
    else:
        backbone = transformers.Sam2HieraDetConfig(**_STAGES[name])
        channels = list(reversed(backbone.embed_dim_per_stage))
        vision = transformers.Sam2VisionConfig(backbone_config=backbone, backbone_channel_list=channels)
        network = transformers.Sam2Model(transformers.Sam2Config(vision_config=vision))
    return network, network.vision_encoder, enlarged((side, side), _STRIDE_PX, PYRAMID_SIDE_PX)[0]


if __name__ == "__main__":
    main()
