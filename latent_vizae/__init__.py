"""See and steer the latent space of a pretrained generator.

Example:
    >>> from latent_vizae import LatentMap, fit, load_decoder
    >>> f_d = load_decoder("mnist")
    >>> codes, labels = f_d.examples(label=5, count=20)
    >>> v = fit(codes, decoder=f_d, dim=2)
    >>> LatentMap(v, f_d).grid(shape=(10, 10)).images.shape
    torch.Size([100, 1, 28, 28])
"""

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .certificate import certify
    from .decoder import load_decoder
    from .directions import Directions
    from .discovery import discover_directions
    from .encoding import encode_images
    from .fitting import fit
    from .latent_map import LatentMap
    from .model import VizAE
    from .placing import place_codes, sample_codes

__version__ = version("latent-vizae")
__all__ = [
    "Directions",
    "LatentMap",
    "VizAE",
    "certify",
    "discover_directions",
    "encode_images",
    "fit",
    "load_decoder",
    "place_codes",
    "sample_codes",
]

_HOMES = {
    "Directions": "directions", "discover_directions": "discovery",
    "LatentMap": "latent_map", "VizAE": "model", "certify": "certificate", "encode_images": "encoding",
    "fit": "fitting", "load_decoder": "decoder", "place_codes": "placing", "sample_codes": "placing",
}  # fmt: skip


def __getattr__(name: str) -> Any:
    """Import a public name at its first use: torch takes seconds, and the command line sets its threads before."""
    if name not in _HOMES:
        raise AttributeError(f"module 'latent_vizae' has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f"latent_vizae.{_HOMES[name]}"), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
