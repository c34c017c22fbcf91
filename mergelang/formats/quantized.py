"""Whether a checkpoint holds packed codes instead of weights, told from its names, dtypes and config."""

from __future__ import annotations

from collections.abc import Mapping

from mergelang.catalog import TensorInfo
from mergelang.formats.damage import damaged

# Endings that only quantizers write (GPTQ, AWQ, compressed-tensors, DeepSeek's fp8 blocks, bitsandbytes).
SURE_MARKS = (".qweight", ".weight_packed", ".weight_scale_inv", ".SCB", ".weight.absmax")
# Endings that mean codes only when the config says that the model is quantized (mxfp4, plain fp8 scales, HQQ).
CONFIG_MARKS = (*SURE_MARKS, ".weight_scale", "_blocks", "_scales", ".weight.quant_map", ".W_q", ".scales", ".qzeros")


def refuse_quantized(path: str, tensors: Mapping[str, TensorInfo], config: Mapping[str, object] | None) -> None:
    """Raise `quantized-checkpoint` if a tensor of the checkpoint at `path` holds codes or the scales of codes."""
    method = quantization(config)
    marks = SURE_MARKS if method is None else CONFIG_MARKS
    coded = next((name for name in tensors if name.endswith(marks)), None)
    if coded is None:
        return
    message = (
        f'This checkpoint is quantized{f" ({method})" if method else ""}: "{coded}" holds codes or their scales, '
        "which mean nothing when they are averaged. A merge needs the weights themselves."
    )
    raise damaged("quantized-checkpoint", message, path, coded, "use the model as it was before it was quantized")


def quantization(config: Mapping[str, object] | None) -> str | None:
    """The name of the quantization that the config (or its text part) speaks of, or None."""
    for part in (config, (config or {}).get("text_config")):
        if isinstance(part, Mapping) and isinstance(part.get("quantization_config"), Mapping):
            return str(part["quantization_config"].get("quant_method", "quantization_config"))
    return None
