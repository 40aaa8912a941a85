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
    from .bulk.encode import encode_images
    from .bulk.place import place_codes, sample_codes
    from .decoders.load import load_decoder
    from .directions import Directions
    from .directions.discover import discover_directions
    from .fitting.fit import fit
    from .maps.certificate import certify
    from .maps.latent_map import LatentMap
    from .model.vizae import VizAE
    from .sharing.show import show

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
    "show",
]

_HOMES = {
    "Directions": "directions.directions",
    "LatentMap": "maps.latent_map",
    "VizAE": "model.vizae",
    "certify": "maps.certificate",
    "discover_directions": "directions.discover",
    "encode_images": "bulk.encode",
    "fit": "fitting.fit",
    "load_decoder": "decoders.load",
    "place_codes": "bulk.place",
    "sample_codes": "bulk.place",
    "show": "sharing.show",
}


def __getattr__(name: str) -> Any:
    """Import a public name at its first use: torch takes seconds, and the command line sets its threads before."""
    if name not in _HOMES:
        raise AttributeError(f"module 'latent_vizae' has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f"latent_vizae.{_HOMES[name]}"), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
