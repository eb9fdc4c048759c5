"""The encoder: a trunk that sees the signals, and one linear layer that makes the embedding."""

from __future__ import annotations

from collections.abc import Mapping

import torch.nn.functional as F
from torch import Tensor, nn


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
    architecture : mapping
        What the trunk's tensors hang on, by config field: two trunks with the same values hold the same tensors.

    Attributes
    ----------
    trunk : nn.Module
        What pretraining teaches; it moves between embedding sizes.
    embedding : nn.Linear
        The last layer.
    """

    def __init__(
        self,
        trunk: nn.Module,
        trunk_dim: int,
        embedding_dim: int,
        *,
        normalised: bool,
        architecture: Mapping[str, object],
    ) -> None:
        super().__init__()
        self.trunk = trunk
        self.embedding = nn.Linear(trunk_dim, embedding_dim)
        self.embedding_dim = embedding_dim
        self.normalised = normalised
        self.architecture = dict(architecture)
        # He's rule with the gain of a layer that no ReLU follows: the embedding keeps the scale of the features.
        nn.init.kaiming_normal_(self.embedding.weight, nonlinearity="linear")
        nn.init.zeros_(self.embedding.bias)

    def forward(self, signals: Tensor) -> Tensor:
        """Embed signals [b, lead, sample] as [b, dim].

        Raises
        ------
        ValueError
            The signals are not [b, lead, sample] with the trunk's number of leads.
        """
        embeddings: Tensor = self.embedding(self.trunk(signals))
        return F.normalize(embeddings, dim=-1) if self.normalised else embeddings
