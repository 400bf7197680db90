"""How the next token is drawn: settings, the samplers in their order, and grammars that texts keep to."""

from q4engine.sampling.sampler import Sampler
from q4engine.sampling.settings import SamplerSettings

__all__ = ["Sampler", "SamplerSettings"]
