"""Parameter counts are the published ones, at the default configurations."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import bench

BLUR_KERNEL = 3 * 9 * 9  # of deblurring, frozen: the papers count it for DEQ4IP and LUSER-SW
# norms of convolutions are determined on images of this size: no parameters, and far quicker
QUICK = {"spectral_size": 3}


def counts(name: str, **config: Any) -> tuple[int, int]:
    """All, and trainable."""
    parameters = list(bench.create_method(name, **config).parameters())
    return sum(p.numel() for p in parameters), sum(p.numel() for p in parameters if p.requires_grad)


@pytest.mark.parametrize(
    ("name", "published"),
    [
        ("de-prox", (556_033, 557_185, 558_580 - BLUR_KERNEL)),
        ("luser-sw", (93_954, 95_107, 96_503 - BLUR_KERNEL)),
        ("luser-dw", (751_625, 760_849, 770_073)),
    ],
)
def test_counts_for_ct_mri_and_deblurring(name: str, published: tuple[int, ...]) -> None:
    for channels, count in enumerate(published, start=1):
        # without norms of convolutions, which take time to determine and have no parameters
        assert counts(name, channels=channels, spectral_norm=None) == (count, count)


@pytest.mark.parametrize("name", ["de-grad", "de-prox", "de-admm"])
def test_a_fixed_eta_is_counted_and_not_trained(name: str) -> None:
    assert counts(name, channels=2, eta_trainable=False, **QUICK) == (557_185, 557_184)


@pytest.mark.parametrize(
    ("name", "config", "count"),
    [
        ("modl", {"variant": "original"}, 113_413),
        ("modl", {"variant": "reciprocal"}, 113_155),
        ("mol", {}, 113_155),
        ("mol-sn", QUICK, 113_155),
        ("mol-lr", {}, 113_155),
        ("mnm-mol", {}, 113_155),
    ],
)
def test_counts_of_modl_and_mol(name: str, config: dict[str, Any], count: int) -> None:
    """With λ."""
    assert counts(name, **config) == (count, count)
    assert counts(name, lam_trainable=False, **config) == (count, count - 1)


def test_count_of_mcnet() -> None:
    """A denoiser on luma, and β; the backbone is not trained."""
    method = bench.create_method("mcnet", channels=1, backbone={"method": "srcnn"}, **QUICK)
    own = [p for n, p in method.named_parameters() if not n.startswith("backbone.")]
    assert sum(p.numel() for p in method.network.parameters()) == 148_608
    assert sum(p.numel() for p in own) == 148_609
    assert [p.requires_grad for p in method.parameters()].count(True) == len(own)
    assert method.beta.shape == torch.Size([])
