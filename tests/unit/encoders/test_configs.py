"""The union of encoders as a config file names them, and what was written before there was more than one."""

import re

import pytest
from pydantic import TypeAdapter

from hemometric.config import Config, decode, fingerprint
from hemometric.encoders import EncoderConfig, ResNet1dConfig
from hemometric.errors import UsageError


class Holder(Config):
    encoder: EncoderConfig = ResNet1dConfig()


def test_without_a_kind_it_is_the_first_encoder():
    assert decode(Holder, {"encoder": {"embedding_dim": 7}}).encoder == ResNet1dConfig(embedding_dim=7)
    assert decode(Holder, {}, ["encoder.kind=pclr"]).encoder.embedding_dim == 320
    assert decode(Holder, {}, ["encoder.embedding_dim=7"]).encoder == ResNet1dConfig(embedding_dim=7)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"kind": "pcrl"}, "encoder has unknown kind 'pcrl'; did you mean 'pclr'"),
        ({"kind": 3}, "'encoder.kind': input should be 'resnet1d', found 3"),
        ({"kind": "pclr", "widths": [4]}, "unknown field 'encoder.widths'"),
        ({"kind": "transformer", "dpeth": 4}, "unknown field 'encoder.dpeth'; did you mean 'depth'"),
        ({"kind": "transformer", "width": 10}, "width 10 must be even and divide by num_heads 6"),
        ({"kind": "transformer", "width": 4096, "depth": 64, "num_heads": 8}, "take a smaller width or depth"),
        ({"kind": "xresnet1d101", "width": 1}, "'encoder.width'"),
        (7, "field 'encoder': input should be an object, found 7"),
    ],
)
def test_what_no_encoder_is_is_refused_by_name(data, message):
    with pytest.raises(UsageError, match=re.escape(message)):
        decode(Holder, {"encoder": data})


def test_encoders_that_were_hashed_before_the_catalogue_keep_their_hash():
    """As the first version gave them; every run and model that is out there holds one."""
    assert fingerprint(ResNet1dConfig()) == "a48e3e59ead11f4c"
    assert fingerprint(Holder()) == "663548a4640ad03b"
    assert fingerprint(ResNet1dConfig(block="bottleneck")) != fingerprint(ResNet1dConfig())


def test_a_description_without_the_new_fields_is_read():
    old = {"kind": "resnet1d", "blocks": [1], "widths": [4], "stem_kernel": 5, "kernel": 3}
    config = TypeAdapter(EncoderConfig).validate_json(str(old).replace("'", '"'))
    assert config == ResNet1dConfig(blocks=(1,), widths=(4,), stem_kernel=5, kernel=3)
    assert (config.block, config.outer_kernel) == ("basic", 1)
