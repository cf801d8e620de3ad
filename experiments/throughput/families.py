"""The networks with stages of `kernelstudy.training.model.CNN`, as one writes them in PyTorch."""

import torch
from torch import nn
from works import CLASSES, Work


def network(work: Work) -> nn.Module:
    """The first layer, `depth` - 1 stages, the mean over pixels (vgg: all of them) and a dense layer."""
    (h, w, channels), width = work.shape, work.width
    patches = work.first == "patchify"
    step, pad = (work.kernel_size, 0) if patches else (1, work.kernel_size // 2)
    biased = work.family == "convnext"
    parts: list[nn.Module] = [nn.Conv2d(channels, width, work.kernel_size, step, pad, bias=biased)]
    if work.family == "convnext":
        parts.append(LayerNorm(width))
    else:
        parts += [nn.BatchNorm2d(width), nn.ReLU()]
    h, w, channels = h // step, w // step, width
    for number in range(1, work.depth):
        out, halves = width if number == 1 else work.deep_width, number > 1 or work.family == "vgg"
        if work.family == "vgg":
            ins = [channels] if number == 1 else [channels, out]
            parts += [layer for c in ins for layer in normed(c, out)] + [nn.MaxPool2d(2)]
        elif work.family == "resnet":
            parts.append(Residual(channels, out, halves))
        else:
            parts.append(ConvNeXt(channels, out, halves))
        if halves:
            h, w = h // 2, w // 2
        channels = out
    if work.family == "vgg":
        return nn.Sequential(*parts, nn.Flatten(), nn.Linear(h * w * channels, CLASSES))
    return nn.Sequential(*parts, Mean(), nn.Linear(channels, CLASSES))


def normed(channels: int, out: int) -> list[nn.Module]:
    return [nn.Conv2d(channels, out, 3, 1, 1, bias=False), nn.BatchNorm2d(out), nn.ReLU()]


class Mean(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.mean((2, 3))


class LayerNorm(nn.LayerNorm):
    """Over the channels of (N, C, H, W)."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class Residual(nn.Module):
    def __init__(self, channels: int, out: int, halves: bool):
        super().__init__()
        step = 2 if halves else 1
        self.first = nn.Conv2d(channels, out, 3, step, 1, bias=False)
        self.second = nn.Conv2d(out, out, 3, 1, 1, bias=False)
        self.norms = nn.ModuleList([nn.BatchNorm2d(out), nn.BatchNorm2d(out)])
        self.shortcut = nn.Identity()
        if halves or channels != out:
            self.shortcut = nn.Sequential(
                nn.Conv2d(channels, out, 1, step, bias=False), nn.BatchNorm2d(out)
            )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = torch.relu(self.norms[0](self.first(x)))
        return torch.relu(self.norms[1](self.second(y)) + self.shortcut(x))


class ConvNeXt(nn.Module):
    def __init__(self, channels: int, out: int, halves: bool):
        super().__init__()
        self.down = nn.Identity()
        if halves:
            self.down = nn.Sequential(LayerNorm(channels), nn.Conv2d(channels, out, 2, 2))
        self.block = nn.Sequential(
            nn.Conv2d(out, out, 7, 1, 3, groups=out),
            LayerNorm(out),
            nn.Conv2d(out, 4 * out, 1),
            nn.GELU(approximate="tanh"),
            nn.Conv2d(4 * out, out, 1),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.down(x)
        return x + self.block(x)
