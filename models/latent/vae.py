"""Variational autoencoder of trajectories.

Two multilayer perceptrons, an encoder to the posterior N(m(x), s(x)^2) of the latent vector and a decoder to the mean of the
trajectory, trained to maximize the evidence lower bound

    log p(x) >= E_z[log N(x; decode(z), sigma^2)] - KL(N(m, s^2) || N(0, 1)),    z ~ N(m(x), s(x)^2).

With 900-128-128-2 and sigma = 0.1 this is the latent space of the published process-trajectory optimization.

Sources: Kingma and Welling 2013, 10.48550/arXiv.1312.6114; Valleti, Vasudevan, Ziatdinov and Kalinin, Digital Discovery 1, 689 (2022),
10.1039/D2DD00065B.
"""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from ..errors import NotFittedError, ParameterError
from .base import Array, LatentModel, Progress
from .decoder import Decoder
from .network import ACTIVATIONS, Activation, VAENetwork
from .training import Schedule, TrainingPlan, elbo_terms, log_normalizer, train


class VAE(LatentModel):
    """Nonlinear latent model with a standard normal prior.

    The defaults were chosen by measurement on the published 7,500 trajectories of 900 steps; they take about 1,700 steps of the
    optimizer. With far fewer trajectories raise `epochs` or lower `batch_size` accordingly.

    Args:
        n_latent: Latent dimensions d, at least 1.
        hidden: Widths of the encoder's hidden layers; the decoder mirrors them.
        sigma: Standard deviation of the decoder's Gaussian likelihood, in units of the (scaled) trajectory. A larger one gives a
            smoother latent space and coarser trajectories.
        activation: Of the hidden layers.
        epochs: Passes over the data, at least 1. The learning-rate schedule spans them.
        batch_size: Trajectories per step.
        learning_rate: Peak learning rate of Adam.
        schedule: "one_cycle" rises and falls over all epochs; "constant" suits early stopping.
        kl_weight: Weight of the Kullback-Leibler term (1: the evidence lower bound; more: a beta-VAE).
        kl_warmup: Epochs over which that weight rises linearly to its value.
        patience: Stop after so many epochs without a better loss on validation data, and keep the best weights. None: never.
        validation_fraction: Share of the data set aside for that, only used with `patience`; 0 watches the training loss.
        scaling: "none", or "range" to map each channel's smallest and largest training value to -1 and 1 before all else.
        least_squares_finish: Whether the decoder's last layer is solved for exactly after the last epoch.
    """

    kind: ClassVar[str] = "vae"

    def __init__(
        self,
        n_latent: int = 2,
        hidden: tuple[int, ...] = (128, 128),
        sigma: float = 0.1,
        activation: Activation = "tanh",
        epochs: int = 30,
        batch_size: int = 128,
        learning_rate: float = 1e-2,
        schedule: Schedule = "one_cycle",
        kl_weight: float = 1.0,
        kl_warmup: int = 0,
        patience: int | None = None,
        validation_fraction: float = 0.1,
        scaling: Literal["none", "range"] = "none",
        least_squares_finish: bool = True,
    ) -> None:
        self.n_latent = n_latent
        self.hidden = hidden
        self.sigma = sigma
        self.activation = activation
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.schedule = schedule
        self.kl_weight = kl_weight
        self.kl_warmup = kl_warmup
        self.patience = patience
        self.validation_fraction = validation_fraction
        self.scaling = scaling
        self.least_squares_finish = least_squares_finish
        self._check()

    def encode_distribution(self, X: ArrayLike) -> tuple[Array, Array]:
        """Mean (n, d) and standard deviation (n, d) of the posterior of z for trajectories (n, T) or (n, T, C).

        Raises:
            NotFittedError, TrajectoryShapeError, NonFiniteError: As `encode`.
        """
        rows = self.checked_trajectories(X)
        with torch.no_grad():
            mean, std = self._trained().encode(torch.from_numpy(self._scaled(rows)))
        return mean.numpy(), std.numpy()

    def negative_elbo(self, X: ArrayLike, seed: int = 0) -> float:
        """Negative evidence lower bound per sample, in the scaled units that the model trains in.

        The Kullback-Leibler weight is 1, the Gaussian log-density is complete and summed over all steps and channels, one posterior
        sample is drawn per trajectory, and the mean over the trajectories is returned.

        Args:
            X: Trajectories (n, T) or (n, T, C).
            seed: Of the posterior samples.
        """
        rows = torch.from_numpy(self._scaled(self.checked_trajectories(X)))
        with torch.no_grad():
            misfit, divergence = elbo_terms(self._trained(), rows, self.sigma, torch.Generator().manual_seed(seed))
        return float(misfit) + float(divergence) + log_normalizer(rows.shape[1], self.sigma)

    @property
    def decoder(self) -> Decoder:
        """`decode`, with its hidden values in the open."""
        network = self._trained()
        layers = [(layer.weight.numpy(), layer.bias.numpy()) for layer in network.decoder]  # type: ignore[operator]
        weight, bias = network.output.weight.numpy().T * self._scale, network.output.bias.numpy() * self._scale + self._offset
        return Decoder(self.decode, layers, self.activation, weight, bias)

    @property
    def training_curve(self) -> Array | None:
        """Negative ELBO per sample of each epoch (epochs,), while training; None before."""
        curve: Array | None = getattr(self, "_curve", None)
        return None if curve is None else curve.copy()

    # --- what LatentModel asks for --------------------------------------------------------------------------------------------

    def _fit(self, rows: Array, shape: tuple[int, ...], seed: int, progress: Progress | None) -> None:
        self._check()  # set_params may have changed the parameters since __init__
        self._offset, self._scale = self._scaling_of(rows, shape)
        data = torch.from_numpy(self._scaled(rows)).float()
        generator = torch.Generator().manual_seed(seed)
        network = VAENetwork(data.shape[1], self.n_latent, self.hidden, self.activation, generator, data.mean(dim=0))
        plan = TrainingPlan(
            sigma=self.sigma,
            epochs=self.epochs,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            schedule=self.schedule,
            kl_weight=self.kl_weight,
            kl_warmup=self.kl_warmup,
            patience=self.patience,
            validation_fraction=self.validation_fraction,
            least_squares_finish=self.least_squares_finish,
        )
        self._curve = np.array(train(network, data, plan, generator, progress))
        self._keep(network)

    def _encode(self, rows: Array) -> Array:
        with torch.no_grad():
            mean, _ = self._trained().encode(torch.from_numpy(self._scaled(rows)))
        codes: Array = mean.numpy()
        return codes

    def _decode(self, codes: Array) -> Array:
        with torch.no_grad():
            scaled = self._trained().decode(torch.from_numpy(codes)).numpy()
        rows: Array = scaled * self._scale + self._offset
        return rows

    def _state(self) -> Mapping[str, NDArray[Any]]:
        # float32 is what was trained; the float64 copy in use was widened from it without loss
        weights = {f"network.{name}": tensor.float().numpy() for name, tensor in self._trained().state_dict().items()}
        return {**weights, "offset": self._offset, "scale": self._scale, "training_curve": self._curve}

    def _restore(self, arrays: Mapping[str, NDArray[Any]], shape: tuple[int, ...]) -> None:
        width = int(np.prod(shape))
        network = VAENetwork(width, self.n_latent, self.hidden, self.activation)
        network.load_state_dict({name: torch.from_numpy(arrays[f"network.{name}"].copy()) for name in network.state_dict()})
        self._offset, self._scale = (np.array(arrays[name], dtype=np.float64).reshape(width) for name in ("offset", "scale"))
        self._curve = np.array(arrays["training_curve"], dtype=np.float64)
        self._keep(network)

    # --- private --------------------------------------------------------------------------------------------------------------

    def _keep(self, network: VAENetwork) -> None:
        """Use the trained network in float64: then a code decodes alike, to rounding, alone or in any batch."""
        self._network = network.double().requires_grad_(False).eval()

    def _trained(self) -> VAENetwork:
        network: VAENetwork | None = getattr(self, "_network", None)
        if network is None:
            raise NotFittedError("this VAE has not been trained; call fit(X) or load a saved one")
        return network

    def _scaled(self, rows: Array) -> Array:
        scaled: Array = (rows - self._offset) / self._scale
        return scaled

    def _scaling_of(self, rows: Array, shape: tuple[int, ...]) -> tuple[Array, Array]:
        """Offset and scale (T * C,) such that (x - offset) / scale is what the network sees."""
        width = rows.shape[1]
        if self.scaling == "none":
            return np.zeros(width), np.ones(width)
        n_channels = shape[1] if len(shape) == 2 else 1
        values = rows.reshape(-1, n_channels)
        low, high = values.min(axis=0), values.max(axis=0)
        half = (high - low) / 2
        half[half == 0] = 1.0  # a constant channel is only centred
        n_steps = width // n_channels
        return np.tile((high + low) / 2, n_steps), np.tile(half, n_steps)

    def _check(self) -> None:
        """Refuse parameters outside their ranges, by name."""
        rules = (
            ("n_latent", self.n_latent >= 1, "at least 1"),
            ("hidden", all(width >= 1 for width in self.hidden), "widths of at least 1"),
            ("sigma", 0 < self.sigma < np.inf, "above 0"),
            ("activation", self.activation in ACTIVATIONS, f"one of {', '.join(ACTIVATIONS)}"),
            ("epochs", self.epochs >= 1, "at least 1"),
            ("batch_size", self.batch_size >= 1, "at least 1"),
            ("learning_rate", 0 < self.learning_rate < np.inf, "above 0"),
            ("schedule", self.schedule in ("one_cycle", "constant"), "one_cycle or constant"),
            ("kl_weight", 0 <= self.kl_weight < np.inf, "at least 0"),
            ("kl_warmup", self.kl_warmup >= 0, "at least 0"),
            ("patience", self.patience is None or self.patience >= 1, "None or at least 1"),
            ("validation_fraction", 0 <= self.validation_fraction < 1, "at least 0 and below 1"),
            ("scaling", self.scaling in ("none", "range"), "none or range"),
        )
        for name, is_fine, wanted in rules:
            if not is_fine:
                raise ParameterError(f"{name} of the VAE is {getattr(self, name)!r}; it must be {wanted}")
