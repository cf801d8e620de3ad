"""The same training in PyTorch, in every form that promised to be fast on a CPU.

Options of all forms: `device` (cpu, or cuda) and `precision` (float32; on cuda also tensorfloat32 and
bfloat16, the latter by autocast).
"""

from contextlib import AbstractContextManager

import families
import torch
from torch import nn
from works import BATCH, CLASSES, WORKS, Work

STEPS = 8


class Layer(nn.Module):
    """A convolution with what goes with it, as `kernelstudy.training.model.CNN` has it."""

    def __init__(self, work: Work, channels: int, out: int, size: int):
        super().__init__()
        self.conv = nn.Conv2d(channels, out, size, work.stride, size // 2, bias=not work.batch_norm)
        self.norm = nn.BatchNorm2d(out) if work.batch_norm else None
        self.pools = work.stride == 1
        self.skips = work.residual and channels == out

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.conv(x)
        y = self.norm(y) if self.norm else y
        y = y + x if self.skips else y
        # before ReLU: the same function, a quarter of the elementwise work
        return torch.relu(nn.functional.max_pool2d(y, 2) if self.pools else y)


def network(work: Work, layout: torch.memory_format) -> nn.Module:
    if work.family != "plain":
        return families.network(work).to(memory_format=layout)
    h, w, channels = work.shape
    layers: list[nn.Module] = []
    for layer in range(work.depth):
        size, out = (work.kernel_size, work.width) if layer == 0 else (3, work.deep_width)
        layers.append(Layer(work, channels, out, size))
        channels = out
        h, w = (h // 2, w // 2) if work.stride == 1 else (-(-h // 2), -(-w // 2))
    dense = nn.Linear(channels * h * w, CLASSES)
    return nn.Sequential(*layers, nn.Flatten(), dense).to(memory_format=layout)


def batch(
    work: Work, layout: torch.memory_format, device: str
) -> tuple[torch.Tensor, torch.Tensor]:
    h, w, c = work.shape
    torch.manual_seed(0)
    images = torch.randn(BATCH, c, h, w).contiguous(memory_format=layout)
    return images.to(device), torch.randint(CLASSES, (BATCH,)).to(device)


def at_precision(options: dict[str, str]) -> AbstractContextManager:
    """What forward passes run under; tensorfloat32 is set for all that follows."""
    precision, device = options.get("precision", "float32"), options.get("device", "cpu")
    torch.backends.cuda.matmul.allow_tf32 = precision == "tensorfloat32"
    torch.backends.cudnn.allow_tf32 = precision == "tensorfloat32"
    return torch.autocast(device, torch.bfloat16, enabled=precision == "bfloat16")


def finish(device: str) -> None:
    """Wait for the device."""
    if device == "cuda":
        torch.cuda.synchronize()


def eager(work: str, options: dict[str, str], *, compiled: bool = False):
    """One network after another: zero_grad, forward, backward, fused Adam."""
    torch.set_num_threads(int(options.get("threads", 2)))
    channels_last = options.get("layout", "channels_last") == "channels_last"
    layout = torch.channels_last if channels_last else torch.contiguous_format
    device, lower = options.get("device", "cpu"), at_precision(options)
    model, (images, labels) = network(WORKS[work], layout), batch(WORKS[work], layout, device)
    model.to(device)
    optimizer = torch.optim.Adam(model.parameters(), fused=True)
    loss = nn.CrossEntropyLoss()

    def forward(x, y):
        with lower:
            return loss(model(x), y)

    if compiled:
        forward = torch.compile(forward)

    def burst() -> int:
        for _ in range(STEPS):
            optimizer.zero_grad(set_to_none=True)
            forward(images, labels).backward()
            optimizer.step()
        finish(device)
        return STEPS * BATCH

    return burst


def vmapped(work: str, options: dict[str, str]):
    """`nets` networks (8) at once by torch.func: vmap over grad, and Adam on the stacked parameters."""
    torch.set_num_threads(int(options.get("threads", 2)))
    nets, device, lower = (
        int(options.get("nets", 8)),
        options.get("device", "cpu"),
        at_precision(options),
    )
    models = [network(WORKS[work], torch.contiguous_format).to(device) for _ in range(nets)]
    params, buffers = torch.func.stack_module_state(models)
    params = {k: v.detach().requires_grad_() for k, v in params.items()}
    images, labels = batch(WORKS[work], torch.contiguous_format, device)
    base = models[0]

    def loss(p, b):
        with lower:
            logits = torch.func.functional_call(base, (p, b), (images,))
            return nn.functional.cross_entropy(logits, labels)

    gradient = torch.func.vmap(torch.func.grad(loss))
    optimizer = torch.optim.Adam(params.values(), fused=True)

    def burst() -> int:
        for _ in range(2):
            for name, value in gradient(params, buffers).items():
                params[name].grad = value
            optimizer.step()
        finish(device)
        return 2 * nets * BATCH

    return burst


FORMS = {
    "torch-eager": eager,
    "torch-compile": lambda work, options: eager(work, options, compiled=True),
    "torch-vmap": vmapped,
}
