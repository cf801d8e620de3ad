"""The built-in network of a run in words."""

from kernelstudy.config.study import Model

_FIRST = {
    "conv": "{k} x {k} convolution",
    "depthwise": "depthwise {k} x {k} convolution, each colour by its own kernels",
    "patchify": "convolution of {k} x {k} patches that do not overlap",
    "dense": "dense layer from the whole image to maps of half its size",
}
_STAGES = {
    "vgg": "stages of 3 x 3 convolutions and a max-pool",
    "resnet": "stages of one basic residual block, of which all but the first halve the image",
    "convnext": "stages of one ConvNeXt block, of which all but the first halve the image",
}


def network_words(model: Model) -> str:
    """'The network: a 3 x 3 convolution of 16 kernels, ...', and how its other layers start."""
    first = _FIRST[model.first].format(k=model.kernel_size)
    stride = f" with a stride of {model.first_stride}" if model.first_stride > 1 else ""
    what = "maps" if model.first == "dense" else "kernels"
    more = model.depth - 1
    after = []
    if model.family != "plain" and more:
        wide = f"{model.width}" if more == 1 else f"{model.width}, then {model.deep_width}"
        after = [f"{more} {_STAGES[model.family]} ({wide} channels)"]
    elif more:
        layers = "a 3 x 3 convolution" if more == 1 else f"{more} 3 x 3 convolutions"
        after = [f"{layers} to {model.deep_width} channels"]
    halving = {1: "a 2 x 2 max-pool after each", 2: "halved by strides"}
    parts = [
        f"a {first} of {model.width} {what}{stride}",
        *after,
        *([halving[model.stride]] if model.family == "plain" else []),
        *(["shortcuts where channels agree"] if model.residual else []),
        f"{model.activation[:40]} as activation",  # of a run from elsewhere it may be any text
        *(["batch norm"] if model.batch_norm else []),
        *(["layer norm"] if model.family == "convnext" else []),
        *(["the mean over pixels"] if model.family in ("resnet", "convnext") else []),
        "one dense layer to the classes",
    ]
    start = "Where an arm does not say otherwise, layers after the first start from LeCun's normal distribution"
    scaled = ", the dense layer's scaled for its width" if model.parametrization == "mup" else ""
    return f"The network: {', '.join(parts)}. {start}{scaled}, biases from 0."
