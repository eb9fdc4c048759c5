"""Encoders from prepared ECGs to embeddings, heads from embeddings to labels, and the model folder that keeps both.

Training is alike on any number of ranks: `GlobalBatchNorm1d` takes its statistics over all of them, and
`KeyedDropout` draws its masks by recording. `save` and `load` write and open a model; a `Model` prepares by itself.
"""

from hemometric.encoders.description import Description
from hemometric.encoders.dropout import KeyedDropout, dropout_keys
from hemometric.encoders.encoder import Encoder
from hemometric.encoders.head import Head, HeadConfig
from hemometric.encoders.model import Model
from hemometric.encoders.model_folder import load, save
from hemometric.encoders.norm import GlobalBatchNorm1d, NormKind, build_norm
from hemometric.encoders.resnet1d import MAX_EMBEDDING_DIM, EncoderConfig, ResNet1dConfig
from hemometric.encoders.task import Task
from hemometric.encoders.transfer import load_trunk

__all__ = [
    "MAX_EMBEDDING_DIM",
    "Description",
    "Encoder",
    "EncoderConfig",
    "GlobalBatchNorm1d",
    "Head",
    "HeadConfig",
    "KeyedDropout",
    "Model",
    "NormKind",
    "ResNet1dConfig",
    "Task",
    "build_norm",
    "dropout_keys",
    "load",
    "load_trunk",
    "save",
]
