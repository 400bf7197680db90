from q4engine.errors import Q4Error as Q4Error
from q4engine.llm import Engine as Engine
from q4engine.sampling import SamplerSettings as SamplerSettings

__version__: str
