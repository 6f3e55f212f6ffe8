"""ConvHVAE's order of channels, and how near its training is to what convolutions allow.

    python benchmarks/convolutions.py --data ../shared/data

The library keeps the channels of a pixel side by side. The other order, a plane for each channel,
is PyTorch's own; it is the same network with other memory, and the two take turns, `--rounds`
times. Trained are steps of 500 rows of dynamic MNIST, the exemplars those of the batch, in bfloat16
where the processor has it and in float32; decoded are 1000 codes in float32, as scores need.

"Convolutions alone" is what a step cannot go below: each convolution of the network by itself,
forward and backward, 64 images over and over, times the images that a step gives it. Rows pass both
encoders as drawn and the upper one again as exemplars. Gates, dense layers, losses and the
optimiser are not in it.
"""

from __future__ import annotations

import argparse
import statistics
from pathlib import Path

import torch
from _machine import describe, markdown_table, seconds
from density import LAYERS, N_COMPONENTS, Images, make_schedule, new_model
from torch.nn import functional as F

from sklearn_exemplar_vae._plan import WEIGHT_DECAY
from sklearn_exemplar_vae.engine.devices import choose_autocast
from sklearn_exemplar_vae.engine.networks.convolutional import (
    DECODER_LAYERS,
    LOWER_LAYERS,
    UPPER_LAYERS,
    ConvolutionalNetwork,
    GatedConvolution,
)
from sklearn_exemplar_vae.engine.training import train
from sklearn_exemplar_vae.engine.training_rows import TrainingRows

BATCH_SIZE, N_STEPS, N_DECODED, N_IMAGES, SIDE = 500, 3, 1000, 64, 28
STEPS_OF_AN_EPOCH = 50_000 // BATCH_SIZE
# How often a step's rows pass these layers.
PASSES = ((UPPER_LAYERS, 2), (LOWER_LAYERS, 1), (DECODER_LAYERS, 1))


class PlanesGate(GatedConvolution):
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        outputs = F.conv2d(images, self.weight, self.bias, stride=self.stride, padding=self.padding)
        return F.glu(outputs, dim=1)


class Planes(ConvolutionalNetwork):
    """The same network, a plane of memory for each channel."""

    def of_images(self, layers, rows: torch.Tensor) -> torch.Tensor:
        images = rows.reshape(-1, *self.image_shape)
        outputs = [layers(part).flatten(1) for part in images.split(N_IMAGES)]
        return torch.cat(outputs).view(*rows.shape[:-1], -1)


def keep_planes(network: ConvolutionalNetwork) -> None:
    """Give the network the other order."""
    network.__class__ = Planes
    for module in network.modules():
        if isinstance(module, GatedConvolution):
            module.__class__ = PlanesGate


def build(images: Images, by_planes: bool):
    model = new_model("conv", "exemplar", images, LAYERS, seed=0)
    if by_planes:
        keep_planes(model.network)
    return model


def in_turns(ours, other, n_rounds: int) -> tuple[float, float, float]:
    """Median seconds of both and of the ratio of a round, after one unmeasured round."""
    taken = [(seconds(ours)[0], seconds(other)[0]) for _ in range(1 + n_rounds)][1:]
    ratio = statistics.median(theirs / own for own, theirs in taken)
    return *map(statistics.median, zip(*taken, strict=True)), ratio


def training(images: Images, by_planes: bool, dtype, n_epochs: int):
    """A function that trains ``N_STEPS`` steps."""
    arguments = argparse.Namespace(
        batch_size=BATCH_SIZE,
        learning_rate=1e-3,
        kl_warmup=3,
        bound_samples=1,
        weight_decay=WEIGHT_DECAY,
    )
    schedule = make_schedule("exemplar, in-batch", arguments, n_epochs, images)
    schedule = schedule._replace(autocast=dtype)
    generator = torch.Generator().manual_seed(0)
    epochs = train(build(images, by_planes), images.training, schedule, generator)
    return lambda: next(epochs)


def decoding(images: Images, by_planes: bool):
    network = build(images, by_planes).network
    codes = torch.randn(N_DECODED, N_COMPONENTS, generator=torch.Generator().manual_seed(0))

    @torch.no_grad()
    def decode():
        network.render(codes, codes)

    return decode


def convolutions_alone(dtype: torch.dtype, n_rounds: int) -> float:
    """Seconds of a training step's convolutions, by themselves."""
    total = 0.0
    for layers, n_passes in PASSES:
        n_inputs, side = 1, SIDE
        for place, (n_outputs, size, stride) in enumerate(layers):

            def new(*shape):
                tensor = torch.randn(shape, dtype=dtype)
                return tensor.contiguous(memory_format=torch.channels_last)

            # Nothing is propagated to the rows themselves, but to what the decoder starts from.
            to_inputs = place > 0 or layers is DECODER_LAYERS
            rows = new(N_IMAGES, n_inputs, side, side).requires_grad_(to_inputs)
            weight = new(2 * n_outputs, n_inputs, size, size).requires_grad_()
            bias = torch.zeros(2 * n_outputs, dtype=dtype, requires_grad=True)
            side = -(-side // stride)
            gradient = new(N_IMAGES, 2 * n_outputs, side, side)

            def both(rows=rows, weight=weight, bias=bias, stride=stride, gradient=gradient):
                outputs = F.conv2d(rows, weight, bias, stride, weight.shape[-1] // 2)
                wanted = [tensor for tensor in (rows, weight, bias) if tensor.requires_grad]
                torch.autograd.grad(outputs, wanted, gradient)

            taken = statistics.median([seconds(both)[0] for _ in range(3 + 10 * n_rounds)][3:])
            total += n_passes * taken * BATCH_SIZE / N_IMAGES
            n_inputs = n_outputs
    return total


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    images = Images("mnist", arguments.data, torch.device("cpu"))
    images.training = TrainingRows(*(part[: N_STEPS * BATCH_SIZE] for part in images.training))
    table = []
    for dtype in dict.fromkeys((choose_autocast("auto", "bernoulli", torch.device("cpu")), None)):
        both = (training(images, p, dtype, 2 + arguments.rounds) for p in (False, True))
        ours, planes, ratio = in_turns(*both, arguments.rounds)
        alone = convolutions_alone(dtype or torch.float32, arguments.rounds)
        table.append(
            [
                f"a training step of {BATCH_SIZE} rows, {dtype or torch.float32}",
                f"{ours / N_STEPS:.2f}",
                f"{planes / N_STEPS:.2f}",
                f"{ratio:.2f}",
                f"{alone:.2f}",
                f"{STEPS_OF_AN_EPOCH * ours / N_STEPS:.0f}, {STEPS_OF_AN_EPOCH * alone:.0f}",
            ]
        )
    ours, planes, ratio = in_turns(
        decoding(images, False), decoding(images, True), arguments.rounds
    )
    decoded = f"decoding {N_DECODED} codes, torch.float32"
    table.append([decoded, f"{ours:.2f}", f"{planes:.2f}", f"{ratio:.2f}", "", ""])
    header = [
        "seconds of",
        "channels side by side",
        "by planes",
        "ratio",
        "convolutions alone",
        "an epoch of 50000 rows, and its convolutions alone",
    ]
    print(f"{describe()}\n\n{markdown_table(header, table)}")


if __name__ == "__main__":
    main()
