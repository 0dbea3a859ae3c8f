"""The two small networks of a variational autoencoder.

    encoder  x (n, T C) -> tanh layers -> mean (n, d), softplus -> standard deviation (n, d)
    decoder  z (n, d)   -> tanh layers -> mean of x (n, T C)

Initial weights come from an explicit generator (uniform within 1/sqrt(fan-in), as `torch.nn.Linear` draws them from the global one),
so that building a network neither reads nor moves the global random state. The nonzero biases matter: with zero biases all units of
the decoder's first layer switch at z = 0, and training ends markedly higher. The last bias is the mean trajectory of the data, which
the net would otherwise spend its first epochs on.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Final, Literal, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import skip_init

Activation: TypeAlias = Literal["tanh", "relu", "softplus", "gelu"]

ACTIVATIONS: Final[dict[str, Callable[[Tensor], Tensor]]] = {
    "tanh": torch.tanh,
    "relu": functional.relu,
    "softplus": functional.softplus,
    "gelu": functional.gelu,
}

STD_FLOOR: Final = 1e-6
"""Added to the encoder's standard deviation: softplus underflows to zero, and the loss takes its logarithm."""


class VAENetwork(nn.Module):
    """Encoder and decoder.

    Args:
        n_inputs: Values in one trajectory, T * C.
        n_latent: Latent dimensions d.
        hidden: Widths of the hidden layers; the decoder uses them in reverse order.
        activation: Name of the hidden layers' activation.
        generator: Source of the initial weights; None leaves them uninitialized, to be loaded.
        mean: Mean trajectory (T * C,), the decoder's first guess.
    """

    def __init__(
        self,
        n_inputs: int,
        n_latent: int,
        hidden: Sequence[int],
        activation: str,
        generator: torch.Generator | None = None,
        mean: Tensor | None = None,
    ) -> None:
        super().__init__()
        self.n_latent = n_latent
        self._activate = ACTIVATIONS[activation]
        widths = [n_inputs, *hidden]
        self.encoder = nn.ModuleList(_linear(a, b, generator) for a, b in pairwise(widths))
        self.head = _linear(widths[-1], 2 * n_latent, generator)
        self.decoder = nn.ModuleList(_linear(a, b, generator) for a, b in pairwise([n_latent, *reversed(hidden)]))
        self.output = _linear(widths[1] if hidden else n_latent, n_inputs, generator)
        if mean is not None:
            with torch.no_grad():
                self.output.bias.copy_(mean)

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation (n, d) of the posterior of z for each row of x."""
        for layer in self.encoder:
            x = self._activate(layer(x))
        mean, raw = self.head(x).split(self.n_latent, dim=1)
        return mean, functional.softplus(raw) + STD_FLOOR

    def decode(self, z: Tensor) -> Tensor:
        """Mean (n, T * C) of the trajectory for each row of z."""
        rows: Tensor = self.output(self.features(z))
        return rows

    def features(self, z: Tensor) -> Tensor:
        """What the decoder's last, linear layer is given for each row of z."""
        for layer in self.decoder:
            z = self._activate(layer(z))
        return z


def _linear(n_in: int, n_out: int, generator: torch.Generator | None) -> nn.Linear:
    layer: nn.Linear = skip_init(nn.Linear, n_in, n_out)  # type: ignore[no-untyped-call]
    if generator is not None:
        bound = n_in**-0.5
        with torch.no_grad():
            layer.weight.uniform_(-bound, bound, generator=generator)
            layer.bias.uniform_(-bound, bound, generator=generator)
    return layer
