"""The same training in PyTorch, in every form that promised to be fast on a CPU."""

import torch
from torch import nn
from works import BATCH, CLASSES, DEEP_WIDTH, WORKS

STEPS = 8


def network(work: str, layout: torch.memory_format) -> nn.Module:
    (h, w, c), size, width = WORKS[work]
    return nn.Sequential(
        nn.Conv2d(c, width, size, padding=size // 2),
        nn.MaxPool2d(2),  # before ReLU: the same function, a quarter of the elementwise work
        nn.ReLU(),
        nn.Conv2d(width, DEEP_WIDTH, 3, padding=1),
        nn.MaxPool2d(2),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(DEEP_WIDTH * (h // 4) * (w // 4), CLASSES),
    ).to(memory_format=layout)


def batch(work: str, layout: torch.memory_format) -> tuple[torch.Tensor, torch.Tensor]:
    (h, w, c), _, _ = WORKS[work]
    torch.manual_seed(0)
    images = torch.randn(BATCH, c, h, w).contiguous(memory_format=layout)
    return images, torch.randint(CLASSES, (BATCH,))


def eager(work: str, options: dict[str, str], *, compiled: bool = False):
    """One network after another: zero_grad, forward, backward, fused Adam."""
    torch.set_num_threads(int(options.get("threads", 2)))
    channels_last = options.get("layout", "channels_last") == "channels_last"
    layout = torch.channels_last if channels_last else torch.contiguous_format
    model, (images, labels) = network(work, layout), batch(work, layout)
    optimizer = torch.optim.Adam(model.parameters(), fused=True)
    loss = nn.CrossEntropyLoss()

    def forward(x, y):
        return loss(model(x), y)

    if compiled:
        forward = torch.compile(forward)

    def burst() -> int:
        for _ in range(STEPS):
            optimizer.zero_grad(set_to_none=True)
            forward(images, labels).backward()
            optimizer.step()
        return STEPS * BATCH

    return burst


def vmapped(work: str, options: dict[str, str]):
    """Eight networks at once by torch.func: vmap over grad, and Adam on the stacked parameters."""
    torch.set_num_threads(2)
    nets = 8
    models = [network(work, torch.contiguous_format) for _ in range(nets)]
    params, buffers = torch.func.stack_module_state(models)
    params = {k: v.detach().requires_grad_() for k, v in params.items()}
    images, labels = batch(work, torch.contiguous_format)
    base = models[0]

    def loss(p, b):
        logits = torch.func.functional_call(base, (p, b), (images,))
        return nn.functional.cross_entropy(logits, labels)

    gradient = torch.func.vmap(torch.func.grad(loss))
    optimizer = torch.optim.Adam(params.values(), fused=True)

    def burst() -> int:
        for _ in range(2):
            for name, value in gradient(params, buffers).items():
                params[name].grad = value
            optimizer.step()
        return 2 * nets * BATCH

    return burst


FORMS = {
    "torch-eager": eager,
    "torch-compile": lambda work, options: eager(work, options, compiled=True),
    "torch-vmap": vmapped,
}
