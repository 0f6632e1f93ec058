"""Normalisation layers and the names by which configs choose them."""

import torch
import torch.distributed as dist
from fvcore.nn.distributed import differentiable_all_reduce
from torch import nn
from torch.nn import functional as F

from detectron2.utils import comm


class FrozenBatchNorm2d(nn.Module):
    """Batch normalisation with fixed statistics and fixed affine parameters.

    All four tensors are buffers, so that nothing of it is trained. Loads the weights of
    ``BatchNorm2d`` and of layers which have only ``weight`` and ``bias``.
    """

    _version = 3

    def __init__(self, num_features, eps=1e-5):
        super().__init__()
        self.num_features = num_features
        self.eps = eps
        self.register_buffer("weight", torch.ones(num_features))
        self.register_buffer("bias", torch.zeros(num_features))
        self.register_buffer("running_mean", torch.zeros(num_features))
        self.register_buffer("running_var", torch.ones(num_features) - eps)
        self.register_buffer("num_batches_tracked", None)

    def forward(self, x):
        if not x.requires_grad:
            return F.batch_norm(
                x, self.running_mean, self.running_var, self.weight, self.bias, False, eps=self.eps
            )
        # With gradients an affine map needs much less memory than F.batch_norm, which would also
        # compute the gradients of weight and bias.
        scale = self.weight * (self.running_var + self.eps).rsqrt()
        bias = self.bias - self.running_mean * scale
        return x * scale.reshape(1, -1, 1, 1).to(x.dtype) + bias.reshape(1, -1, 1, 1).to(x.dtype)

    def _load_from_state_dict(self, state_dict, prefix, local_metadata, *args, **kwargs):
        version = local_metadata.get("version", None)
        if version is None or version < 2:
            # Layouts without statistics: they were folded into weight and bias.
            state_dict.setdefault(prefix + "running_mean", torch.zeros_like(self.running_mean))
            state_dict.setdefault(prefix + "running_var", torch.ones_like(self.running_var))
        super()._load_from_state_dict(state_dict, prefix, local_metadata, *args, **kwargs)

    def __repr__(self):
        return f"FrozenBatchNorm2d(num_features={self.num_features}, eps={self.eps})"

    @classmethod
    def convert_frozen_batchnorm(cls, module):
        """Replaces every ``BatchNorm2d`` and ``SyncBatchNorm`` inside ``module`` by a frozen one.

        Returns:
            nn.Module: a new layer when ``module`` is itself such a layer, else ``module``.
        """
        if isinstance(module, (nn.BatchNorm2d, nn.SyncBatchNorm)):
            frozen = cls(module.num_features, module.eps)
            if module.affine:
                frozen.weight.data = module.weight.data.clone().detach()
                frozen.bias.data = module.bias.data.clone().detach()
            frozen.running_mean.data = module.running_mean.data
            frozen.running_var.data = module.running_var.data
            frozen.num_batches_tracked = module.num_batches_tracked
            return frozen
        for name, child in module.named_children():
            converted = cls.convert_frozen_batchnorm(child)
            if converted is not child:
                module.add_module(name, converted)
        return module


class NaiveSyncBatchNorm(nn.BatchNorm2d):
    """Batch normalisation over all processes, by plain all-reduce: works on CPUs too.

    Args:
        stats_mode: ``""`` gives every process the same weight, ``"N"`` weighs by batch size, so
            that batch sizes may differ and be 0.
    """

    def __init__(self, *args, stats_mode="", **kwargs):
        super().__init__(*args, **kwargs)
        assert stats_mode in ("", "N"), stats_mode
        self._stats_mode = stats_mode

    def forward(self, input):
        if comm.get_world_size() == 1 or not self.training:
            return super().forward(input)
        batch_size, channels = input.shape[:2]
        dtype, input = input.dtype, input.float()
        if batch_size:
            moments = torch.cat([input.mean((0, 2, 3)), input.square().mean((0, 2, 3))])
        else:  # nothing to count, but keep the graph, for the all-reduce of the backward pass
            moments = input.new_zeros(2 * channels) + input.sum()
        share = 1.0 / dist.get_world_size()
        momentum = self.momentum
        if self._stats_mode == "N":
            total = differentiable_all_reduce(input.new_tensor([float(batch_size)]))
            share = batch_size / total.clamp(min=1)
            momentum = self.momentum * float(total > 0)
        else:
            assert batch_size > 0, "NaiveSyncBatchNorm needs stats_mode='N' for an empty batch."
        mean, mean_square = differentiable_all_reduce(moments * share).split(channels)
        variance = mean_square - mean.square()
        self.running_mean += momentum * (mean.detach() - self.running_mean)
        self.running_var += momentum * (variance.detach() - self.running_var)
        self.num_batches_tracked += 1
        scale = self.weight * (variance + self.eps).rsqrt()
        bias = self.bias - mean * scale
        return (input * scale.reshape(1, -1, 1, 1) + bias.reshape(1, -1, 1, 1)).to(dtype)


class LayerNorm(nn.Module):
    """Normalises the channels of an (N, C, H, W) tensor at every position by itself."""

    def __init__(self, normalized_shape, eps=1e-6):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(normalized_shape))
        self.bias = nn.Parameter(torch.zeros(normalized_shape))
        self.eps = eps
        self.normalized_shape = (normalized_shape,)

    def forward(self, x):
        channels_last = x.permute(0, 2, 3, 1)
        out = F.layer_norm(channels_last, self.normalized_shape, self.weight, self.bias, self.eps)
        return out.permute(0, 3, 1, 2)


_NORMS = {
    "BN": nn.BatchNorm2d,
    "SyncBN": nn.SyncBatchNorm,
    "FrozenBN": FrozenBatchNorm2d,
    "GN": lambda channels: nn.GroupNorm(32, channels),
    "nnSyncBN": nn.SyncBatchNorm,
    "naiveSyncBN": NaiveSyncBatchNorm,
    "naiveSyncBN_N": lambda channels: NaiveSyncBatchNorm(channels, stats_mode="N"),
    "LN": LayerNorm,
}


def get_norm(norm, out_channels):
    """Builds a normalisation layer.

    Args:
        norm (str or callable or None): ``"BN"``, ``"SyncBN"``, ``"FrozenBN"``, ``"GN"`` (32
            groups), ``"nnSyncBN"``, ``"naiveSyncBN"``, ``"naiveSyncBN_N"`` or ``"LN"``; or a
            callable that takes the number of channels.
        out_channels (int): number of channels.

    Returns:
        nn.Module or None: None for ``""`` and None.

    Raises:
        KeyError: an unknown name.
    """
    if norm is None or norm == "":
        return None
    return (_NORMS[norm] if isinstance(norm, str) else norm)(out_channels)
