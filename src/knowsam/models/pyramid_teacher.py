"""What the teachers of SAM-2's kind have in common: an encoder of several stages, and a mask decoder that sees them.

The networks are those of the package transformers, which is imported only where such a teacher is wanted. Images are
segmented one by one: the memory of the video models is not used.
"""

from __future__ import annotations

import json
import math
from abc import abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from knowsam.errors import CheckpointError
from knowsam.models.network_folder import DescribedWeights, import_transformers, load_network
from knowsam.models.prompted_teacher import Embedding, PromptedTeacher, enlarged
from knowsam.models.sam_prompting import MOST_LOGIT, NO_POINT

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from knowsam.config import TeacherConfig

LEAST_SIDE_PX = 256
"""Images are enlarged until their longer side has so many pixels: an embedding has one place for 16 x 16 of them, and
SAM-2 has seen images of 1024 px. Not measured, since no official weights were at hand."""

_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class PyramidTeacher(PromptedTeacher):
    """A pretrained network with an encoder of stages, each at half the resolution of the one before.

    The encoder is a sequence of steps. What `trunk` gives are the outputs of all its finished stages and of the step it
    ends with, in one row. A network sees an enlarged image where the plane is small.

    Attributes
    ----------
    title : of the network, in words. network_class : its class in transformers.
    """

    title: ClassVar[str]
    network_class: ClassVar[str]
    pixel_mean: Tensor
    pixel_std: Tensor

    @classmethod
    def require_packages(cls) -> None:
        """Make sure that transformers is there."""
        import_transformers()

    @classmethod
    def read(cls, folder: Path) -> DescribedWeights:
        """Read the image part of such a network from a folder of Hugging Face, be it one for images or for videos.

        Raises
        ------
        CheckpointError, ConfigError
            See `load_network`.
        """
        network = load_network(folder, cls.network_class)
        return DescribedWeights(network.state_dict(), json.loads(network.config.to_json_string(use_diff=False)))

    def _build(self, config: TeacherConfig, weights: Mapping[str, Tensor] | None) -> tuple[str, tuple[str, ...]]:
        if not isinstance(weights, DescribedWeights):
            raise CheckpointError(
                f"{self.title} was given no weights with a description, but is not trained from scratch. Give its "
                "folder, with config.json and model.safetensors, by --teacher FOLDER."
            )
        self._description = json.dumps(weights.description, sort_keys=True)
        network_class = getattr(import_transformers(), self.network_class)
        self.network: Any = network_class(network_class.config_class.from_dict(dict(weights.description)))
        self.network.load_state_dict(weights)
        # Which of several masks is the most stable would change from step to step.
        self.network.mask_decoder.dynamic_multimask_via_stability = False
        self.register_buffer("pixel_mean", torch.tensor(_MEAN).view(-1, 1, 1), persistent=False)
        self.register_buffer("pixel_std", torch.tensor(_STD).view(-1, 1, 1), persistent=False)
        self._size = enlarged(self.plane, self._multiple_px(), LEAST_SIDE_PX)
        return self.title, ()

    # What the encoder of a network has to bring, besides `_blocks`.

    @abstractmethod
    def _multiple_px(self) -> int:
        """Return what the sides of an image must be a multiple of."""

    @abstractmethod
    def _steps(self) -> tuple[dict[str, nn.Module], set[int]]:
        """Return all steps by their names in the encoder, and the indices of those that end a stage."""

    @abstractmethod
    def _frozen_steps(self) -> int:
        """Return how many steps are before the first block that learns."""

    @abstractmethod
    def _first(self, images: Tensor) -> Tensor:
        """Map normalised images (B, 3, H, W) to what the first step gets."""

    @abstractmethod
    def _first_parts(self) -> tuple[str, ...]:
        """Return the beginnings of the names of all tensors of the encoder that `_first` depends on."""

    @abstractmethod
    def _shapes(self) -> list[tuple[int, int, int]]:
        """Return the shapes, without the batch, of what `trunk` puts into a row."""

    def _tokens(self, output: Tensor) -> Tensor:
        """Map the output of a stage to tokens (B, h, w, E)."""
        return output

    # What is the same for all.

    @property
    def _encoder(self) -> Any:
        return self.network.vision_encoder.backbone

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
        first = self._first((x - self.pixel_mean) / self.pixel_std)
        outputs = self._through(0, self._frozen_steps(), [first])
        return torch.cat([output.flatten(1) for output in outputs], dim=1)

    def _through(self, start: int, end: int | None, outputs: list[Tensor]) -> list[Tensor]:
        """Let the last of some outputs pass steps; it is replaced unless it is that of a whole stage."""
        steps, ends = self._steps()
        for index, step in list(enumerate(steps.values()))[start:end]:
            kept = outputs if index - 1 in ends else outputs[:-1]
            outputs = [*kept, step(outputs[-1])]
        return outputs

    def embed(self, tokens: Tensor) -> Embedding:
        """Map rows (B, N) of `trunk` to embeddings (B, E, h, w), with features at twice and four times their size."""
        shapes = self._shapes()
        parts = tokens.split([math.prod(shape) for shape in shapes], dim=1)
        outputs = [part.unflatten(1, shape) for part, shape in zip(parts, shapes, strict=True)]
        stages = self._through(self._frozen_steps(), None, outputs)
        pyramid, _ = self.network.vision_encoder.neck(tuple(self._tokens(stage) for stage in stages))
        finest, finer, image = reversed(pyramid[-3:])
        decoder = self.network.mask_decoder
        image = image + self.network.no_memory_embedding.view(1, -1, 1, 1)
        return Embedding(image, (decoder.conv_s0(finest), decoder.conv_s1(finer)))

    def draw(self, embedding: Embedding, sparse: Tensor | None, masks: Tensor | None) -> Tensor:
        """Draw one mask (N, 1, 4h, 4w) for each of N embeddings."""
        return self.answer(embedding, sparse, masks)[0]

    def answer(
        self, embedding: Embedding, sparse: Tensor | None, masks: Tensor | None, known: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Do what `draw` does, and say how good each mask is.

        Parameters
        ----------
        known : (N, 1, 1, 1), 1 where there is a mask prompt, 0 where there is none; by default all are there.

        Returns
        -------
        Logits (N, 1, 4h, 4w), and their predicted quality (N,).
        """
        image = embedding.image
        if sparse is None:
            sparse = image.new_zeros(len(image), 0, image.shape[1])
        found, quality, *_ = self.network.mask_decoder(
            image_embeddings=image,
            image_positional_embeddings=self._places(image),
            sparse_prompt_embeddings=sparse[:, None],
            dense_prompt_embeddings=self._mask_prompts(masks, known),
            multimask_output=False,
            high_resolution_features=list(embedding.finer),
        )
        return found[:, 0], quality[:, 0, 0]

    def point_tokens(self, points: Tensor, kinds: Tensor, plane: tuple[int, int]) -> Tensor:
        """Return prompt tokens (B, P, E) of clicks and corners of boxes; see `sam_prompting.point_tokens`."""
        encoder = self.network.prompt_encoder
        by_kind = torch.cat([encoder.not_a_point_embed.weight, encoder.point_embed.weight])
        place = encoder.shared_embedding((points + 0.5) / points.new_tensor([plane[1], plane[0]]))
        tokens: Tensor = place * (kinds != NO_POINT)[..., None] + by_kind[kinds + 1]
        return tokens

    def embedding_shapes(self) -> list[tuple[int, int, int]]:
        """Return the shapes, without the batch, of an embedding: of the image, and of the finer features."""
        height, width = (side // 4 for side in self.mask_size)
        decoder = self.network.mask_decoder
        return [
            (self._no_point().shape[0], height, width),
            (decoder.conv_s0.out_channels, 4 * height, 4 * width),
            (decoder.conv_s1.out_channels, 2 * height, 2 * width),
        ]

    def _places(self, image: Tensor) -> Tensor:
        """Return the positions (N, E, h, w) that the mask decoder sees; the package has those of one size only."""
        height, width = image.shape[-2:]
        row, column = ((torch.arange(n, device=image.device) + 0.5) / n for n in (height, width))
        grid = torch.stack([column.expand(height, -1), row[:, None].expand(-1, width)], dim=-1)
        places: Tensor = self.network.shared_image_embedding(grid)
        return places.permute(2, 0, 1).expand(len(image), -1, -1, -1)

    def _mask_prompts(self, masks: Tensor | None, known: Tensor | None) -> Tensor:
        encoder = self.network.prompt_encoder
        nothing: Tensor = encoder.no_mask_embed.weight.view(1, -1, 1, 1)
        if masks is None:
            return nothing
        seen = F.interpolate(masks, size=self.mask_size, mode="bilinear", align_corners=False)
        dense: Tensor = encoder.mask_embed(seen.clamp(-MOST_LOGIT, MOST_LOGIT))
        return dense if known is None else torch.where(known > 0, dense, nothing)

    def frozen_state(self) -> dict[str, Tensor]:
        """Return all that `trunk` depends on, by name."""
        steps, _ = self._steps()
        parts = (*self._first_parts(), *(f"{name}." for name in list(steps)[: self._frozen_steps()]))
        state = {name: tensor for name, tensor in self._encoder.state_dict().items() if name.startswith(parts)}
        described = torch.tensor(list(self._description.encode()), dtype=torch.uint8)
        return state | {"description": described, "pixel_mean": self.pixel_mean, "pixel_std": self.pixel_std}
