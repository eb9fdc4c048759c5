"""Embedding on Ray Data actors."""

from __future__ import annotations

from hemometric.runs.embed import EmbedRun, embed
from hemometric.runtime.actors import on_actors


def run(config: EmbedRun) -> list[str]:
    """Embed on ``config.workers`` actors; what is finished is not done again."""
    return embed(config, on_actors(config))
