"""The encoder: a trunk that sees the signals, and the layer that makes the embedding."""

from __future__ import annotations

from collections.abc import Mapping

import torch.nn.functional as F
from torch import Tensor, nn

MAX_EMBEDDING_DIM = 65_536


class Encoder(nn.Module):
    """ECG signals [b, lead, sample] in millivolts to embeddings [b, dim].

    Parameters
    ----------
    trunk : nn.Module
        [b, lead, sample] -> [b, trunk_dim].
    trunk_dim : int
        Features that leave the trunk.
    embedding_dim : int
        Size of the embedding.
    normalised : bool
        Scale each embedding to length 1.
    receptive_field : int
        Samples of a signal that one of the trunk's features sees, before they are pooled over time.
    architecture : mapping
        What the trunk's tensors hang on, by config field: two trunks with the same values hold the same tensors.
    pooled : bool
        Whether the trunk's features are the embedding where both have one size, as in `pclr`.

    Attributes
    ----------
    trunk : nn.Module
        What pretraining teaches; it moves between embedding sizes.
    embedding : nn.Module
        The last layer: linear, or nothing at all where the features are the embedding.
    """

    def __init__(
        self,
        trunk: nn.Module,
        trunk_dim: int,
        embedding_dim: int,
        *,
        normalised: bool,
        receptive_field: int,
        architecture: Mapping[str, object],
        pooled: bool = False,
    ) -> None:
        super().__init__()
        self.trunk = trunk
        self.embedding = nn.Identity() if pooled and trunk_dim == embedding_dim else _linear(trunk_dim, embedding_dim)
        self.embedding_dim = embedding_dim
        self.normalised = normalised
        self.receptive_field = receptive_field
        self.architecture = dict(architecture)

    def forward(self, signals: Tensor) -> Tensor:
        """Embed signals [b, lead, sample] as [b, dim].

        Raises
        ------
        ValueError
            The signals are not [b, lead, sample] with the trunk's number of leads.
        """
        embeddings: Tensor = self.embedding(self.trunk(signals))
        return F.normalize(embeddings, dim=-1) if self.normalised else embeddings


def _linear(trunk_dim: int, embedding_dim: int) -> nn.Linear:
    layer = nn.Linear(trunk_dim, embedding_dim)
    # He's rule with the gain of a layer that no ReLU follows: the embedding keeps the scale of the features.
    nn.init.kaiming_normal_(layer.weight, nonlinearity="linear")
    nn.init.zeros_(layer.bias)
    return layer
