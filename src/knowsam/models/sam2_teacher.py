"""SAM-2 as a teacher (Ravi et al., "SAM 2: Segment Anything in Images and Videos", 2024, arXiv 2408.00714).

The networks are those of the package transformers, which is imported only where such a teacher is wanted. Images are
segmented one by one: the memory of the video model is not used.
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import functional as F

from knowsam.errors import CheckpointError
from knowsam.models.network_folder import DescribedWeights, import_transformers, load_network
from knowsam.models.prompted_teacher import Embedding, PromptedTeacher
from knowsam.models.sam_prompting import MOST_LOGIT

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from knowsam.config import TeacherConfig

LEAST_SIDE_PX = 256
"""Images are enlarged until their longer side has so many pixels: an embedding has one place for 16 x 16 of them, and
SAM-2 has seen images of 1024 px. Not measured, since no official weights were at hand."""

_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def read_sam2(folder: Path) -> DescribedWeights:
    """Read the image part of a SAM-2 from a folder of Hugging Face, be it one for images or for videos.

    Raises
    ------
    CheckpointError, ConfigError
        See `load_network`.
    """
    network = load_network(folder, "Sam2Model")
    return DescribedWeights(network.state_dict(), json.loads(network.config.to_json_string(use_diff=False)))


class Sam2Teacher(PromptedTeacher):
    """SAM-2 of the package transformers, pretrained; sees an enlarged image where the plane is small.

    What `trunk` gives are the outputs of all finished stages of the encoder, and of the block it ends with, in one row.
    """

    pixel_mean: Tensor
    pixel_std: Tensor

    def _build(self, config: TeacherConfig, weights: Mapping[str, Tensor] | None) -> tuple[str, tuple[str, ...]]:
        if not isinstance(weights, DescribedWeights):
            raise CheckpointError(
                "SAM-2 was given no weights with a description, but is not trained from scratch. Give its folder, with "
                "config.json and model.safetensors, by --teacher FOLDER."
            )
        transformers = import_transformers()
        self._description = json.dumps(weights.description, sort_keys=True)
        self.network: Any = transformers.Sam2Model(transformers.Sam2Config.from_dict(dict(weights.description)))
        self.network.load_state_dict(weights)
        # Which of several masks is the most stable would change from step to step.
        self.network.mask_decoder.dynamic_multimask_via_stability = False
        self.register_buffer("pixel_mean", torch.tensor(_MEAN).view(-1, 1, 1), persistent=False)
        self.register_buffer("pixel_std", torch.tensor(_STD).view(-1, 1, 1), persistent=False)
        self._size = enlarged(self.plane, self._step_px())
        return "SAM-2", ()

    @property
    def _encoder(self) -> Any:
        return self.network.vision_encoder.backbone

    def _step_px(self) -> int:
        """Return what the sides of an image must be a multiple of, for its windows and the levels of the pyramid."""
        stride = _only(self._encoder.config.patch_stride)
        return stride * math.lcm(self._encoder.pos_embed_window.shape[-1], 2 ** (len(self._encoder.stage_ends) - 1))

    def _blocks(self) -> list[tuple[Any, int]]:
        return [(block, block.dim_out) for block in self._encoder.blocks]

    def _no_point(self) -> Tensor:
        token: Tensor = self.network.prompt_encoder.not_a_point_embed.weight[0]
        return token

    @property
    def mask_size(self) -> tuple[int, int]:
        """Height and width of the small masks, a quarter of those of the image that the network sees."""
        return self._size[0] // 4, self._size[1] // 4

    def trunk(self, x: Tensor) -> Tensor:
        """Map images (B, 3, H, W) in [0, 1] to rows (B, N)."""
        x = F.interpolate(x, size=self._size, mode="bilinear", align_corners=False)
        tokens = self._encoder.patch_embed((x - self.pixel_mean) / self.pixel_std)
        tokens = tokens + self._positions(tokens.shape[1], tokens.shape[2])
        outputs = self._through(range(self.frozen_blocks), [tokens])
        return torch.cat([output.flatten(1) for output in outputs], dim=1)

    def _positions(self, height: int, width: int) -> Tensor:
        """Return the positions (1, h, w, E): coarse ones interpolated, and those within each window."""
        encoder = self._encoder
        window = encoder.pos_embed_window
        coarse = F.interpolate(encoder.pos_embed, size=(height, width), mode="bicubic")
        fine = window.tile(1, 1, height // window.shape[-2], width // window.shape[-1])
        positions: Tensor = coarse + fine
        return positions.permute(0, 2, 3, 1)

    def _through(self, indices: range, outputs: list[Tensor]) -> list[Tensor]:
        """Let the last of some outputs pass blocks; it is replaced unless it is that of a whole stage."""
        for index in indices:
            tokens = self._encoder.blocks[index](outputs[-1])
            if index == 0 or index - 1 not in self._encoder.stage_ends:
                outputs = outputs[:-1]
            outputs = [*outputs, tokens]
        return outputs

    def _shapes(self) -> list[tuple[int, int, int]]:
        """Return the shapes (h, w, E) of what `trunk` puts into a row."""
        encoder = self._encoder
        stride = _only(encoder.config.patch_stride)
        height, width, channels = self._size[0] // stride, self._size[1] // stride, encoder.config.hidden_size
        shapes = [(height, width, channels)]
        for index, block in enumerate(encoder.blocks[: self.frozen_blocks]):
            if block.query_stride:
                height, width = height // _only(block.query_stride), width // _only(block.query_stride)
            if index == 0 or index - 1 not in encoder.stage_ends:
                shapes = shapes[:-1]
            shapes = [*shapes, (height, width, block.dim_out)]
        return shapes

    def embed(self, tokens: Tensor) -> Embedding:
        """Map rows (B, N) of `trunk` to embeddings (B, E, h, w), with features at twice and four times their size."""
        shapes = self._shapes()
        parts = tokens.split([math.prod(shape) for shape in shapes], dim=1)
        outputs = [part.unflatten(1, shape) for part, shape in zip(parts, shapes, strict=True)]
        stages = self._through(range(self.frozen_blocks, len(self._encoder.blocks)), outputs)
        pyramid, _ = self.network.vision_encoder.neck(tuple(stages))
        finest, finer, image = reversed(pyramid[-3:])
        decoder = self.network.mask_decoder
        image = image + self.network.no_memory_embedding.view(1, -1, 1, 1)
        return Embedding(image, (decoder.conv_s0(finest), decoder.conv_s1(finer)))

    def draw(self, embedding: Embedding, sparse: Tensor | None, masks: Tensor | None) -> Tensor:
        """Draw one mask (N, 1, 4h, 4w) for each of N embeddings."""
        image = embedding.image
        if sparse is None:
            sparse = image.new_zeros(len(image), 0, image.shape[1])
        found, *_ = self.network.mask_decoder(
            image_embeddings=image,
            image_positional_embeddings=self._places(image),
            sparse_prompt_embeddings=sparse[:, None],
            dense_prompt_embeddings=self._mask_prompts(masks),
            multimask_output=False,
            high_resolution_features=list(embedding.finer),
        )
        one_each: Tensor = found[:, 0]
        return one_each

    def _places(self, image: Tensor) -> Tensor:
        """Return the positions (N, E, h, w) that the mask decoder sees; the package has those of one size only."""
        height, width = image.shape[-2:]
        row, column = ((torch.arange(n, device=image.device) + 0.5) / n for n in (height, width))
        grid = torch.stack([column.expand(height, -1), row[:, None].expand(-1, width)], dim=-1)
        places: Tensor = self.network.shared_image_embedding(grid)
        return places.permute(2, 0, 1).expand(len(image), -1, -1, -1)

    def _mask_prompts(self, masks: Tensor | None) -> Tensor:
        encoder = self.network.prompt_encoder
        if masks is None:
            nothing: Tensor = encoder.no_mask_embed.weight.view(1, -1, 1, 1)
            return nothing
        seen = F.interpolate(masks, size=self.mask_size, mode="bilinear", align_corners=False)
        dense: Tensor = encoder.mask_embed(seen.clamp(-MOST_LOGIT, MOST_LOGIT))
        return dense

    def frozen_state(self) -> dict[str, Tensor]:
        """Return all that `trunk` depends on, by name."""
        encoder = self._encoder
        parts = ("patch_embed.", "pos_embed", *(f"blocks.{index}." for index in range(self.frozen_blocks)))
        state = {name: tensor for name, tensor in encoder.state_dict().items() if name.startswith(parts)}
        described = torch.tensor(list(self._description.encode()), dtype=torch.uint8)
        return state | {"description": described, "pixel_mean": self.pixel_mean, "pixel_std": self.pixel_std}


def _only(sides: int | list[int]) -> int:
    """Return the side of a square that transformers gives as one number or as two."""
    return sides if isinstance(sides, int) else sides[0]


def enlarged(plane: tuple[int, int], step_px: int) -> tuple[int, int]:
    """Return the size of the image that the network sees of a plane: not smaller, and a multiple of the step."""
    factor = max(LEAST_SIDE_PX / max(plane), 1.0)
    height, width = (step_px * math.ceil(side * factor / step_px) for side in plane)
    return height, width
