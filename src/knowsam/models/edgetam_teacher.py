"""EdgeTAM as a teacher (Zhou et al., "EdgeTAM: On-Device Track Anything Model", CVPR 2025, arXiv 2501.07256).

It is a SAM-2 whose encoder is a small convolutional network, RepViT, of the package timm.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from knowsam.errors import CheckpointError, ConfigError
from knowsam.models.adapters import AdaptedAttention, AdaptedMLP, ChannelAdapter
from knowsam.models.pyramid_teacher import PyramidTeacher

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch import Tensor, nn

    from knowsam.config import TeacherConfig
    from knowsam.models.network_folder import DescribedWeights


class EdgeTamTeacher(PyramidTeacher):
    """EdgeTAM of the package transformers; adapters are behind the token mixers and beside the channel mixers."""

    title = "EdgeTAM"
    network_class = "EdgeTamModel"

    @classmethod
    def require_packages(cls) -> None:
        """Make sure that transformers and timm are there; timm needs the torchvision that belongs to PyTorch."""
        super().require_packages()
        try:
            import timm  # noqa: F401
        except (ImportError, RuntimeError) as error:
            raise ConfigError(
                f"EdgeTAM needs timm, which cannot be imported here ({error}). Install it with "
                'pip install "napari-knowsam[edgetam]", and the torchvision that belongs to your PyTorch.'
            ) from error

    @classmethod
    def read(cls, folder: Path) -> DescribedWeights:
        """Read an EdgeTAM from a folder of Hugging Face.

        Raises
        ------
        CheckpointError, ConfigError
            See `load_network` and `require_packages`.
        """
        cls.require_packages()
        return super().read(folder)

    def _build(self, config: TeacherConfig, weights: Mapping[str, Tensor] | None) -> tuple[str, tuple[str, ...]]:
        built = super()._build(config, weights)
        if not all(hasattr(stage, "downsample") and hasattr(stage, "blocks") for stage in self._stages().values()):
            raise CheckpointError(
                f"The encoder of the EdgeTAM is a {self._encoder.config.architecture}, expected a RepViT. "
                "Give an EdgeTAM with that."
            )
        return built

    def train(self, mode: bool = True) -> Self:
        """Let all but the encoder train: what its normalisation layers have seen is frozen like its weights."""
        super().train(mode)
        self._encoder.eval()
        return self

    def _stages(self) -> dict[str, Any]:
        return {name: child for name, child in self._encoder.timm_model.named_children() if name != "stem"}

    def _multiple_px(self) -> int:
        multiple: int = self._encoder.timm_model.feature_info.reduction()[-1]
        return multiple

    def _blocks(self) -> list[tuple[Any, int]]:
        stages, channels = self._stages().values(), self._encoder.timm_model.feature_info.channels()
        return [(block, width) for stage, width in zip(stages, channels, strict=True) for block in stage.blocks]

    def _add_adapters(self, block: Any, width: int, config: TeacherConfig) -> None:
        behind, beside = (ChannelAdapter(width, config.adapter_ratio) for _ in range(2))
        block.token_mixer = AdaptedAttention(block.token_mixer, behind)
        block.channel_mixer = AdaptedMLP(block.channel_mixer, beside, config.mlp_adapter_scale)

    def _steps(self) -> tuple[dict[str, nn.Module], set[int]]:
        steps, ends = {"timm_model.stem": self._encoder.timm_model.stem}, set()
        for name, stage in self._stages().items():
            steps[f"timm_model.{name}.downsample"] = stage.downsample
            steps |= {f"timm_model.{name}.blocks.{index}": block for index, block in enumerate(stage.blocks)}
            ends.add(len(steps) - 1)
        return steps, ends

    def _frozen_steps(self) -> int:
        steps, blocks = list(self._steps()[0].values()), self._blocks()
        return steps.index(blocks[self.frozen_blocks][0]) if self.frozen_blocks < len(blocks) else len(steps)

    def _first(self, images: Tensor) -> Tensor:
        return images

    def _first_parts(self) -> tuple[str, ...]:
        return ()

    def _shapes(self) -> list[tuple[int, int, int]]:
        info = self._encoder.timm_model.feature_info
        finished = sum(end < self._frozen_steps() for end in self._steps()[1])
        levels = list(zip(info.channels(), info.reduction(), strict=True))[: finished + 1]
        return [(channels, self._size[0] // factor, self._size[1] // factor) for channels, factor in levels]

    def _tokens(self, output: Tensor) -> Tensor:
        return output.permute(0, 2, 3, 1)
