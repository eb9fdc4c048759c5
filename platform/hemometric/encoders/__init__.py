"""Encoders from prepared ECGs to embeddings, heads from embeddings to labels, and the model folder that keeps both.

Training is alike on any number of ranks: `GlobalBatchNorm1d` takes its statistics over all of them, and
`KeyedDropout` draws its masks by recording. `save` and `load` write and open a model; a `Model` prepares by itself.
"""

from hemometric.encoders.compact import CompactConfig
from hemometric.encoders.configs import EncoderConfig
from hemometric.encoders.description import Description
from hemometric.encoders.dropout import KeyedDropout, dropout_keys
from hemometric.encoders.encoder import MAX_EMBEDDING_DIM, Encoder
from hemometric.encoders.head import Head, HeadConfig
from hemometric.encoders.model import Model
from hemometric.encoders.model_folder import load, save
from hemometric.encoders.norm import GlobalBatchNorm1d, NormKind, build_norm
from hemometric.encoders.pclr import PclrConfig
from hemometric.encoders.projection import MlpProjection, NoProjection, ProjectionConfig
from hemometric.encoders.resnet1d import ResNet1dConfig
from hemometric.encoders.task import Task
from hemometric.encoders.transfer import load_trunk
from hemometric.encoders.transformer import TransformerConfig
from hemometric.encoders.xresnet1d101 import XResNet1d101Config

__all__ = [
    "MAX_EMBEDDING_DIM",
    "CompactConfig",
    "Description",
    "Encoder",
    "EncoderConfig",
    "GlobalBatchNorm1d",
    "Head",
    "HeadConfig",
    "KeyedDropout",
    "MlpProjection",
    "Model",
    "NoProjection",
    "NormKind",
    "PclrConfig",
    "ProjectionConfig",
    "ResNet1dConfig",
    "Task",
    "TransformerConfig",
    "XResNet1d101Config",
    "build_norm",
    "dropout_keys",
    "load",
    "load_trunk",
    "save",
]
