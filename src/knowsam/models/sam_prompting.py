"""SAM's prompts and masks, for a prompt of each of many images at once, on a plane of any size.

The package takes many prompts for one image; this is the same pass, on its own layers, with the single mask only.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from knowsam.models.sam import resized_positions
from knowsam.models.tiny_vit import TinyVit
from knowsam.propagation.registration import gaussian

MOST_LOGIT = 6.0
"""Mask prompts are clipped to it."""

_SMOOTHING_PX = 3.0
_CLICK_PX = 3.0
"""Standard deviation of a click that is drawn into a mask prompt."""

_CLICK_LOGIT = 2 * MOST_LOGIT
"""Logit of a click in a mask prompt, whatever that held there."""

_BOX_MARGIN = 0.1
"""Boxes are out of place by so much of their size, at most."""

NO_POINT, OUTSIDE, INSIDE, TOP_LEFT, BOTTOM_RIGHT = range(-1, 4)
"""Kinds of points: none, a click, a corner of a box."""


class Prompts(NamedTuple):
    """Prompts of each slice.

    Parameters
    ----------
    points : (B, P, 2), column and row in px. kinds : (B, P), see above.
    masks : (B, 1, H, W), logits. has_mask : (B, 1, 1, 1), 1 where there is a mask prompt.
    """

    points: Tensor
    kinds: Tensor
    masks: Tensor
    has_mask: Tensor


def drawn(prompts: Prompts) -> Prompts:
    """Draw boxes and clicks into the mask prompts, for a SAM that has learnt to see them there.

    In the decoder of a small SAM, tokens alone hardly reach the places that they are about.
    """
    if prompts.kinds.shape[1] == 0:
        return prompts
    h, w = prompts.masks.shape[-2:]
    rows = torch.arange(h, device=prompts.masks.device).view(1, 1, h, 1)
    columns = torch.arange(w, device=prompts.masks.device).view(1, 1, 1, w)
    x, y = (prompts.points[..., i, None, None] for i in range(2))
    near = torch.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * _CLICK_PX**2))
    sign = (prompts.kinds == INSIDE).float() - (prompts.kinds == OUTSIDE).float()
    clicks = _CLICK_LOGIT * (sign[..., None, None] * near).sum(dim=1, keepdim=True)
    known = prompts.masks.clamp(-MOST_LOGIT, MOST_LOGIT)
    masks = known - MOST_LOGIT * _outside(prompts, rows, columns) + clicks
    has_point = (prompts.kinds != NO_POINT).any(dim=1).view(-1, 1, 1, 1)
    return prompts._replace(masks=masks, has_mask=torch.maximum(prompts.has_mask, has_point.float()))


def _outside(prompts: Prompts, rows: Tensor, columns: Tensor) -> Tensor:
    """Return (B, 1, H, W), from 0 in the box to 1 as far beyond it as boxes are out of place; 0 without a box."""
    corners = [(prompts.kinds == kind)[..., None].float() for kind in (TOP_LEFT, BOTTOM_RIGHT)]
    (left, top), (right, bottom) = ((prompts.points * is_it).sum(dim=1).unbind(1) for is_it in corners)
    beyond = []
    for places, low, high in ((columns, left, right), (rows, top, bottom)):
        low, high = low.view(-1, 1, 1, 1), high.view(-1, 1, 1, 1)
        margin = (_BOX_MARGIN * (high - low)).clamp_min(1)
        beyond.append(torch.maximum(low - places, places - high).clamp_min(0) / margin)
    has_box = corners[0].amax(dim=1).view(-1, 1, 1, 1)
    return torch.maximum(*torch.broadcast_tensors(*beyond)).clamp_max(1) * has_box


def normalised(sam: Any, images: Tensor) -> Tensor:
    """Return images (B, 3, H, W), in [0, 1], with the mean and variance of those that SAM learnt from."""
    scaled: Tensor = (255 * images - sam.pixel_mean) / sam.pixel_std
    return scaled


def patches(sam: Any, images: Tensor) -> Tensor:
    """Map images (B, 3, H, W), in [0, 1], to the tokens (B, h, w, E) that enter the first block of a ViT."""
    encoder = sam.image_encoder
    tokens: Tensor = encoder.patch_embed(normalised(sam, images))
    return tokens + resized_positions(encoder.pos_embed, (tokens.shape[1], tokens.shape[2]))


def embed(sam: Any, images: Tensor) -> Tensor:
    """Map images (B, 3, H, W), in [0, 1], to embeddings (B, E, h, w)."""
    encoder = sam.image_encoder
    embedding: Tensor
    if isinstance(encoder, TinyVit):
        embedding = encoder(normalised(sam, images))
        return embedding
    tokens = patches(sam, images)
    for block in encoder.blocks:
        tokens = block(tokens)
    embedding = encoder.neck(tokens.permute(0, 3, 1, 2))
    return embedding


def point_tokens(sam: Any, points: Tensor, kinds: Tensor, plane: tuple[int, int]) -> Tensor:
    """Return the prompt tokens (B, P, E) of clicks and of the corners of boxes.

    Parameters
    ----------
    points : (B, P, 2), column and row in px. kinds : (B, P), long.
    plane : (H, W) of the images.
    """
    encoder = sam.prompt_encoder
    by_kind = torch.cat([encoder.not_a_point_embed.weight, *(own.weight for own in encoder.point_embeddings)])
    place: Tensor = encoder.pe_layer.forward_with_coords(points + 0.5, plane)
    return place * (kinds != NO_POINT)[..., None] + by_kind[kinds + 1]


def decode(
    sam: Any,
    embedding: Tensor,
    sparse: Tensor | None = None,
    masks: Tensor | None = None,
    known: Tensor | None = None,
    *,
    corrects: bool,
) -> tuple[Tensor, Tensor]:
    """Run SAM's mask decoder.

    Parameters
    ----------
    embedding : (B, E, h, w), of the images.
    sparse : (B, T, E), prompt tokens, or None for no tokens.
    masks : (B, 1, H, W), mask prompts, logits, or None for no masks.
    known : (B, 1, 1, 1), 1 where there is a mask prompt, 0 where there is none; by default all are there.
    corrects : whether what SAM finds is to be added to the mask prompts.

    Returns
    -------
    Logits (B, 1, 4h, 4w), and their predicted quality (B,).
    """
    decoder = sam.mask_decoder
    b, _, h, w = embedding.shape
    dense, prompts = _mask_prompts(sam, (h, w), masks, known, smooth=corrects)
    tokens = torch.cat([decoder.iou_token.weight, decoder.mask_tokens.weight]).expand(b, -1, -1)
    if sparse is not None:
        tokens = torch.cat([tokens, sparse], dim=1)
    places = sam.prompt_encoder.pe_layer((h, w)).expand(b, -1, -1, -1)
    image = sam.mask_mixer(embedding + dense) if corrects else embedding + dense
    tokens, image = decoder.transformer(image, places, tokens)
    features = decoder.output_upscaling(image.transpose(1, 2).reshape(b, -1, h, w))
    # Token 0 is SAM's quality estimate, token 1 its single mask.
    kernel = decoder.output_hypernetworks_mlps[0](tokens[:, 1])
    logits = torch.einsum("nf,nfhw->nhw", kernel, features)[:, None]
    quality: Tensor = decoder.iou_prediction_head(tokens[:, 0])[:, 0]
    return logits + prompts if corrects and prompts is not None else logits, quality


def _mask_prompts(
    sam: Any, size: tuple[int, int], masks: Tensor | None, known: Tensor | None, *, smooth: bool
) -> tuple[Tensor, Tensor | None]:
    """Return mask prompts as an embedding (B, E, h, w), and as SAM sees them (B, 1, 4h, 4w)."""
    encoder = sam.prompt_encoder
    nothing: Tensor = encoder.no_mask_embed.weight.view(1, -1, 1, 1)
    if masks is None:
        return nothing, None
    size = 4 * size[0], 4 * size[1]
    seen = F.interpolate(masks, size=size, mode="bilinear", align_corners=False).clamp(-MOST_LOGIT, MOST_LOGIT)
    # Nothing in the decoder looks beyond a token, so only a smooth mask tells it how far away an outline is.
    shown = MOST_LOGIT * gaussian(torch.tanh(seen / 2), _SMOOTHING_PX) if smooth else seen
    dense: Tensor = encoder.mask_downscaling(shown)
    if known is None:
        return dense, seen
    return torch.where(known > 0, dense, nothing), seen * known
