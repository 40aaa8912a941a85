"""See and steer the latent space of a pretrained generator.

Example:
    >>> from latent_vizae import LatentMap, fit, load_decoder
    >>> f_d = load_decoder("mnist")
    >>> codes, labels = f_d.examples(label=5, count=20)
    >>> v = fit(codes, decoder=f_d, dim=2)
    >>> LatentMap(v, f_d).grid(shape=(10, 10)).images.shape
    torch.Size([100, 1, 28, 28])
"""

from importlib.metadata import version

from .certificate import certify
from .decoder import load_decoder
from .encoding import encode_images
from .fitting import fit
from .latent_map import LatentMap
from .model import VizAE

__version__ = version("latent-vizae")
__all__ = ["LatentMap", "VizAE", "certify", "encode_images", "fit", "load_decoder"]
