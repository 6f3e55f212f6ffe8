"""ConvHVAE's order of channels and its gates, and the share of convolutions in a training step.

    python benchmarks/convolutions.py --data ../shared/data

The library keeps the channels of a pixel side by side, and keeps the gate of a gated convolution
for its gradient. It is compared with PyTorch's `glu`, whose gradient computes the gate anew, and
with `glu` on a plane of memory for each channel. All three are the same network, and they take
turns, `--rounds` times. A training step has 500 rows of dynamic MNIST, with in-batch exemplars, in
bfloat16 where the processor has it and in float32. 1000 codes are decoded in float32, as scores
need. The share of the convolutions, forward and backward, comes from PyTorch's profiler, for our
network.
"""

from __future__ import annotations

import argparse
import statistics
from pathlib import Path

import torch
from _images import LAYERS, N_COMPONENTS, Images, Training, make_schedule, new_model
from _machine import describe, markdown_table, seconds
from torch.nn import functional as F
from torch.profiler import ProfilerActivity, profile

from sklearn_exemplar_vae.engine.devices import choose_autocast
from sklearn_exemplar_vae.engine.networks.convolutional import (
    ConvolutionalNetwork,
    GatedConvolution,
)
from sklearn_exemplar_vae.engine.training.loop import train
from sklearn_exemplar_vae.engine.training.rows import TrainingRows

BATCH_SIZE, N_STEPS, N_DECODED, N_IMAGES = 500, 3, 1000, 64


class PlainGate(GatedConvolution):
    """A gated convolution with PyTorch's gate."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        outputs = F.conv2d(images, self.weight, self.bias, stride=self.stride, padding=self.padding)
        return F.glu(outputs.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class PlanesGate(GatedConvolution):
    """The same, of planes of memory."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        outputs = F.conv2d(images, self.weight, self.bias, stride=self.stride, padding=self.padding)
        return F.glu(outputs, dim=1)


class Planes(ConvolutionalNetwork):
    """The same network, a plane of memory for each channel."""

    def of_images(self, layers, rows: torch.Tensor) -> torch.Tensor:
        images = rows.reshape(-1, *self.image_shape)
        outputs = [layers(part).flatten(1) for part in images.split(N_IMAGES)]
        return torch.cat(outputs).view(*rows.shape[:-1], -1)


def use_plain_gates(network: ConvolutionalNetwork, gate: type = PlainGate) -> None:
    """Give the network PyTorch's gates."""
    for module in network.modules():
        if isinstance(module, GatedConvolution):
            module.__class__ = gate


def use_planes(network: ConvolutionalNetwork) -> None:
    """Give the network the other order, and PyTorch's gates."""
    network.__class__ = Planes
    use_plain_gates(network, PlanesGate)


def use_ours(network: ConvolutionalNetwork) -> None:
    """Leave the network as it is."""


VARIANTS = {"ours": use_ours, "`glu`": use_plain_gates, "`glu`, by planes": use_planes}


def build(images: Images, use):
    """Return the model with the variant that ``use`` makes of its network."""
    model = new_model("conv", "exemplar", images, LAYERS, seed=0)
    use(model.network)
    return model


def training(images: Images, n_rows: int, use, dtype, n_calls: int):
    """Return what trains an epoch of the first ``n_rows`` rows, ``n_calls`` times at most."""
    options = Training(batch_size=BATCH_SIZE, learning_rate=1e-3)
    # Batches grow in the second half of the epochs.
    schedule = make_schedule("exemplar, in-batch", options, 2 * n_calls, images)
    schedule = schedule._replace(autocast=dtype)
    rows = TrainingRows(*(part[:n_rows] for part in images.training))
    epochs = train(build(images, use), rows, schedule, torch.Generator().manual_seed(0))
    return lambda: next(epochs)


def decoding(images: Images, use):
    """Return what decodes the codes once."""
    network = build(images, use).network
    codes = torch.randn(N_DECODED, N_COMPONENTS, generator=torch.Generator().manual_seed(0))

    @torch.no_grad()
    def decode():
        network.decode_both(codes, codes)

    return decode


def in_turns(functions, n_rounds: int) -> list[str]:
    """Return median seconds of the first, and of each other's ratio to it, round by round.

    A first round is not measured.
    """
    rounds = [[seconds(function)[0] for function in functions] for _ in range(1 + n_rounds)][1:]
    first, *others = zip(*rounds, strict=True)
    ratios = ([b / a for a, b in zip(first, other, strict=True)] for other in others)
    return [f"{statistics.median(taken):.2f}" for taken in (first, *ratios)]


def share_of_convolutions(function) -> float:
    """Return the share of a call's time that convolutions take."""
    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        function()
    times = {event.key: event.self_cpu_time_total for event in profiler.key_averages()}
    return sum(taken for key, taken in times.items() if "conv" in key) / sum(times.values())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    images = Images("mnist", arguments.data, torch.device("cpu"))
    table = []
    for dtype in dict.fromkeys((choose_autocast("auto", "bernoulli", torch.device("cpu")), None)):
        n_rows, n_calls = N_STEPS * BATCH_SIZE, 2 + arguments.rounds
        epochs = [training(images, n_rows, use, dtype, n_calls) for use in VARIANTS.values()]
        taken, *ratios = in_turns(epochs, arguments.rounds)
        share = share_of_convolutions(epochs[0])
        label = f"{N_STEPS} training steps of {BATCH_SIZE} rows, {dtype or torch.float32}"
        table.append([label, taken, *ratios, f"{100 * share:.0f} %"])
    taken, *ratios = in_turns(
        [decoding(images, use) for use in VARIANTS.values()], arguments.rounds
    )
    table.append([f"decoding {N_DECODED} codes, torch.float32", taken, *ratios, ""])
    ours, *others = VARIANTS
    header = ["", f"{ours}, s", *(f"{other}, times as long" for other in others), "convolutions"]
    print(f"{describe()}\n\n{markdown_table(header, table)}")


if __name__ == "__main__":
    main()
