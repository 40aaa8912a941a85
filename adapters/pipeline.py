"""A pipeline of 🤗 diffusers as a decoder: one of the inputs of its call is the code, all others are frozen.

A decoder makes the same image of a code each time, alone and in a batch. So every code of a batch has the same initial
noise, and a random generator of its own, in the same state, for what a scheduler adds later.
"""

from __future__ import annotations

import copy
import inspect
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from latent_vizae.adapters.pipeline_classes import DENOISING_STEPS, Call, Embeddings, Recipe, recipe_of
from latent_vizae.adapters.pipeline_encoders import encode_pictures, encode_words, has_image_encoder
from latent_vizae.decoders.contract import evaluating, why_not_finite
from latent_vizae.inputs.checks import as_whole
from latent_vizae.inputs.surroundings import own_surroundings

__all__ = ["PipelineDecoder"]

SAME = {torch.float32: 1e-3, torch.float16: 2e-2, torch.bfloat16: 5e-2}
"""Root mean square differences of two images of one code that rounding explains."""


class PipelineDecoder:
    """A pipeline as a decoder: codes (B, *latent_shape) -> images (B, C, H, W) in [0, 1].

    The pipeline stays as it is: its scheduler, its settings, its weights and their modes. A safety checker that it has
    makes images black that it does not let pass.

    Args:
        pipe: a pipeline of a class in `pipeline_classes.RECIPES`.
        code: which input of its call is the code: "noise", "prompt_embeds", "pooled_prompt_embeds", "image_embeds" or
            "latents", as its class allows; by default the first of those. Several with + between them are one flat
            code: "prompt_embeds+pooled_prompt_embeds" is all that a prompt says to Stable Diffusion XL.
        prompt: the words that are frozen where the code is something else.
        negative_prompt: what to keep away from, where there is guidance.
        steps: of denoising; by default those of the pipeline's call; for DDIM and DDPM 50, or as many as the
            scheduler has, where those are fewer.
        guidance: guidance scale; by default that of the pipeline's call.
        seed: of the frozen noise: that of ``generator=torch.Generator().manual_seed(seed)`` in a call of the pipeline.
        image_size: side in pixels, or (height, width); by default what the pipeline was made for.
        label: class of a class-conditional network; by default 0.
        inputs: frozen inputs by their names in the pipeline's call, (1, ...), instead of what is made of prompt, seed
            and encoders: for a pipeline without a text encoder, or for noise of one's own.

    Attributes:
        kind: name of the pipeline's class.
        latent_shape: shape of one code.
        image_shape: (C, H, W).
        device: of codes and images.
        source: the string for `load_decoder`, or None.
        options: the keywords for it.

    Raises:
        TypeError: an argument of a wrong type.
        ValueError: a class that is not in the table, a kind of code that it does not take, an encoder that is
            missing, a size that it cannot make; or a code's image is not finite, or another one each time.
    """

    source: str | None = None

    def __init__(
        self,
        pipe: Any,
        code: str | None = None,
        *,
        prompt: str | None = None,
        negative_prompt: str | None = None,
        steps: int | None = None,
        guidance: float | None = None,
        seed: int = 0,
        image_size: int | tuple[int, int] | list[int] | None = None,
        label: int | None = None,
        inputs: dict[str, Tensor] | None = None,
    ) -> None:
        self.kind, self._recipe = recipe_of(pipe)
        self._pipe = _own_copy(pipe)
        self._lock = threading.RLock()  # a scheduler counts its steps
        self._modules = [part for part in self._pipe.components.values() if isinstance(part, nn.Module)]
        self.dtype, self.device = self._pipe.dtype, self._pipe._execution_device
        self._kinds = _kinds(code, self.kind, self._recipe)
        self.code = "+".join(self._kinds)
        self._call = _call(self._pipe, self._recipe, steps, guidance, image_size, label)
        self._seed = as_whole(seed, "seed")
        words = {"prompt": prompt, "negative_prompt": negative_prompt}
        for name, said in words.items():
            if not isinstance(said, str | None):
                raise TypeError(f"{name} is a string, got {type(said).__name__}. Many prompts are codes: encode_text.")
        given: dict[str, Any] = {**words, "steps": steps, "guidance": guidance, "label": label}
        self.options: dict[str, Any] = {"code": self.code, "seed": self._seed}
        self.options |= {name: value for name, value in given.items() if value is not None}
        self._frozen = self._freeze(prompt, negative_prompt, inputs or {})
        self._names = [self._recipe.kinds[kind] for kind in self._kinds]
        shapes = [tuple(self._frozen[name].shape[1:]) for name in self._names]
        self.latent_shape = shapes[0] if len(shapes) == 1 else (sum(map(_size_of, shapes)),)
        self._shapes = shapes
        self._probe()
        height, width = self.image_shape[1:]
        self.options["image_size"] = height if height == width else [height, width]

    def _freeze(self, prompt: str | None, negative: str | None, given: dict[str, Tensor]) -> Embeddings:
        """All inputs of the call, batches of one."""
        recipe, pipe, call = self._recipe, self._pipe, self._call
        with evaluating_all(self._modules), torch.no_grad():
            frozen = {name: tensor for name, tensor in recipe.others(pipe, call).items() if name not in given}
            if recipe.text is not None:
                frozen |= self._words(prompt, negative, given)
            for kind in self._kinds:
                if recipe.kinds[kind] not in frozen | given and kind != "noise":
                    raise ValueError(
                        f"{kind} is a code of a {self.kind} with an IP-Adapter, and none is loaded: pass ip_adapter=, "
                        "or call pipe.load_ip_adapter(...) of a pipeline in hand first."
                    )
            shape = recipe.noise(pipe, call.height, call.width)
            generator = torch.Generator().manual_seed(self._seed)
            noise = torch.randn(1, *shape, generator=generator, dtype=self.dtype)
            self._later = generator.get_state()
            frozen["latents"] = pipe._pack_latents(noise, *noise.shape) if self.kind == "FluxPipeline" else noise
        for name, tensor in given.items():
            self._check_input(name, tensor, frozen)
        return {name: self._at_home(tensor) for name, tensor in (frozen | given).items()}

    def _words(self, prompt: str | None, negative: str | None, given: dict[str, Tensor]) -> Embeddings:
        """Embeddings of the prompt and of the negative one, where they are not given."""
        recipe, made = self._recipe, {}
        if not any(name in given for name in ("prompt_embeds", "pooled_prompt_embeds")):
            made = encode_words(self._pipe, recipe, [prompt or ""])
        opposite: Embeddings = {}
        if recipe.negative and self._call.guidance > 1 and not set(given) & set(recipe.negative.values()):
            zeros = negative is None and getattr(self._pipe.config, "force_zeros_for_empty_prompt", False)
            found = made if zeros and made else encode_words(self._pipe, recipe, [negative or ""])
            opposite = {recipe.negative[name]: tensor for name, tensor in found.items()}
            opposite = {name: torch.zeros_like(tensor) for name, tensor in opposite.items()} if zeros else opposite
        return made | opposite

    def _check_input(self, name: str, tensor: Any, frozen: Embeddings) -> None:
        taken = set(inspect.signature(type(self._pipe).__call__).parameters) | set(frozen) | {"latents"}
        if not isinstance(tensor, Tensor) or tensor.dim() < 2 or len(tensor) != 1 or name not in taken:
            got = tuple(tensor.shape) if isinstance(tensor, Tensor) else type(tensor).__name__
            raise ValueError(f"inputs are tensors (1, ...) by names of the {self.kind}'s call; got {name}: {got}.")
        if name in frozen and frozen[name].shape != tensor.shape:
            raise ValueError(f"{name} of this {self.kind} is {tuple(frozen[name].shape)}, got {tuple(tensor.shape)}.")

    def _at_home(self, tensor: Tensor) -> Tensor:
        tensor = tensor.detach().to(self.device)
        return tensor.to(self.dtype) if tensor.is_floating_point() else tensor

    @torch.no_grad()
    def _probe(self) -> None:
        """Measure the shape of an image, and whether a code has one image: it is decoded twice."""
        code = torch.cat([self._frozen[name].float().flatten(1) for name in self._names], 1)
        what = f"{self._call.height} x {self._call.width} pixels"
        try:
            images = self(code.repeat(2, 1).unflatten(1, self.latent_shape))
        except _NotFiniteError:
            raise
        except Exception as error:
            raise ValueError(
                f"{self.kind} does not work on {what} with code={self.code!r} ({type(error).__name__}: "
                f"{str(error)[:300]})."
            ) from error
        self.image_shape = tuple(images.shape[1:])
        if self.image_shape[1:] != (self._call.height, self._call.width):
            raise ValueError(
                f"This {self.kind} makes images of {self.image_shape[1]} x {self.image_shape[2]} pixels where {what} "
                f"were asked for: pass image_size={list(self.image_shape[1:])}, or another that it can make."
            )
        apart = (images[0] - images[1]).square().mean().sqrt().item()
        if apart > SAME.get(self.dtype, 1e-3):
            scheduler = type(getattr(self._pipe, "scheduler", None)).__name__
            raise ValueError(
                f"This {self.kind} makes two images of one code, {apart:.2g} apart (root mean square): something in "
                f"it draws noise that the seed does not reach. Give it another scheduler than {scheduler}, such as "
                "DDIMScheduler.from_config(pipe.scheduler.config), and pass it as pipe=."
            )

    @own_surroundings()
    def __call__(self, codes: Tensor) -> Tensor:
        """Codes (B, *latent_shape) of any float type to images (B, C, H, W) float32 in [0, 1].

        Raises:
            ValueError: codes of another shape, or images with NaN or infinity.
        """
        if tuple(codes.shape[1:]) != self.latent_shape or len(codes) == 0:
            raise ValueError(
                f"A code of this {self.kind} is its {self.code}, (B, *{self.latent_shape}), got {tuple(codes.shape)}."
            )
        size = 1 if self._recipe.one_by_one(self._pipe) else len(codes)
        with torch.set_grad_enabled(torch.is_grad_enabled() and codes.requires_grad), self._lock:
            images = torch.cat([self._images(batch) for batch in codes.split(size)])
        if not images.detach().isfinite().all():
            why = next(filter(None, map(why_not_finite, self._modules)), "")
            hint = " Or a vae= that was made for float16." if "float16" in why else ""
            raise _NotFiniteError(f"{self.kind} makes NaN or infinity. {why}{hint}".rstrip())
        return images.clamp(0, 1)

    def _images(self, codes: Tensor) -> Tensor:
        """Images of a batch, whose codes go in one call."""
        recipe, call, count = self._recipe, self._call, len(codes)
        inputs: dict[str, Any] = {
            name: tensor.expand(count, *tensor.shape[1:]) for name, tensor in self._frozen.items()
        }
        parts = codes.flatten(1).split([_size_of(shape) for shape in self._shapes], 1)
        for name, shape, part in zip(self._names, self._shapes, parts, strict=True):
            inputs[name] = self._at_home_with_gradients(part.unflatten(1, shape))
        inputs = recipe.prepare(self._pipe, call, inputs)
        with evaluating_all(self._modules):
            if recipe.run is not None:
                made = recipe.run(self._pipe, call, inputs)
            else:
                generators = [torch.Generator() for _ in range(count)]
                for generator in generators:
                    generator.set_state(self._later)
                of_class = type(self._pipe).__call__
                function: Callable[..., Any] = getattr(of_class, "__wrapped__", of_class)  # it is under no_grad
                made = function(
                    self._pipe, generator=generators, num_inference_steps=call.steps, output_type="pt",
                    return_dict=False, **recipe.call(self._pipe, call), **inputs,
                )  # fmt: skip
        images: Tensor = made[0] if isinstance(made, tuple) else made
        images = images.float()
        return images if recipe.unit_range else (images + 1) / 2

    def _at_home_with_gradients(self, codes: Tensor) -> Tensor:
        return codes.to(self.device, self.dtype)

    @property
    def sample(self) -> Callable[..., Tensor]:
        """``sample(count, seed)``: codes (count, *latent_shape) from N(0, 1). It exists for noise only."""
        if self._kinds != ["noise"]:
            raise AttributeError(f"{self.code} has no prior that is known; encode_text(...) makes codes of words.")
        return self._draw

    @own_surroundings()
    def _draw(self, count: int, seed: int = 0) -> Tensor:
        generator = torch.Generator().manual_seed(as_whole(seed, "seed"))
        return torch.randn(as_whole(count, "count", 1), *self.latent_shape, generator=generator).to(self.device)

    @torch.no_grad()
    @own_surroundings()
    def encode_text(self, texts: Sequence[str]) -> Tensor:
        """Words to codes, by the pipeline's text encoders.

        Args:
            texts: one prompt each.

        Returns:
            (k, *latent_shape) float32: the embeddings that the pipeline itself makes of each prompt.

        Raises:
            TypeError: something else than strings.
            ValueError: no texts, a code that is no embedding of words, or no text encoder.
        """
        texts = [texts] if isinstance(texts, str) else list(texts)
        if not all(isinstance(text, str) for text in texts):
            raise TypeError("encode_text takes strings, one prompt each.")
        if not texts:
            raise ValueError("encode_text takes at least one prompt.")
        if any("prompt_embeds" not in kind for kind in self._kinds):
            kinds = [kind for kind in self._recipe.kinds if "prompt_embeds" in kind]
            allowed = f"load it with code={'+'.join(kinds)!r}" if kinds else "it takes none of words"
            raise ValueError(f"The code of this {self.kind} is its {self.code}, not an embedding of words: {allowed}.")
        with self._lock, evaluating_all(self._modules):
            parts = [encode_words(self._pipe, self._recipe, texts[i : i + 16]) for i in range(0, len(texts), 16)]
        rows = torch.cat([torch.cat([part[name] for part in parts]).float().flatten(1) for name in self._names], 1)
        shaped: Tensor = rows.unflatten(1, self.latent_shape)
        return shaped

    @property
    def encode(self) -> Callable[[Tensor], Tensor]:
        """Images (B, 3, H, W) in [0, 1] to codes. The attribute exists for image_embeds, with an image encoder."""
        if self._kinds != ["image_embeds"] or not has_image_encoder(self._pipe):
            raise AttributeError(
                f"This {self.kind} has no image encoder for {self.code}: load one with it (image_encoder=), and "
                "code='image_embeds'."
            )
        return self._encode

    @torch.no_grad()
    @own_surroundings()
    def _encode(self, images: Tensor) -> Tensor:
        with self._lock, evaluating_all(self._modules):
            codes = torch.cat([encode_pictures(self._pipe, batch, self.latent_shape) for batch in images.split(16)])
        return codes.float()

    def state_dict(self) -> dict[str, Tensor]:
        """All weights of the pipeline, by component, for those who tell decoders apart."""
        parts = {name: part for name, part in self._pipe.components.items() if isinstance(part, nn.Module)}
        return {f"{name}.{key}": value for name, part in parts.items() for key, value in part.state_dict().items()}

    def __deepcopy__(self, memo: Any) -> PipelineDecoder:
        return self  # it does not change, and its lock cannot be copied

    def __repr__(self) -> str:
        return f"PipelineDecoder({self.kind}, code={self.code!r}, latent_shape={self.latent_shape})"


class _NotFiniteError(ValueError):
    """Images with NaN or infinity."""


@contextmanager
def evaluating_all(modules: list[nn.Module]) -> Iterator[None]:
    """Evaluation mode of all modules of a pipeline, as `evaluating` has it for one."""
    with ExitStack() as stack:
        for module in modules:
            stack.enter_context(evaluating(module))
        yield


def _own_copy(pipe: Any) -> Any:
    """The same components in a pipeline of our own, with a scheduler of our own: calls change both."""
    own = copy.copy(pipe)
    scheduler = getattr(pipe, "scheduler", None)
    if scheduler is not None:
        own.scheduler = type(scheduler).from_config(scheduler.config)
        if recipe_of(pipe)[0] == "DDPMPipeline" and type(scheduler).__name__ == "DDPMScheduler":
            import diffusers

            ddim: Any = diffusers.DDIMScheduler  # DDPM's adds noise at each step
            own.scheduler = ddim.from_config(scheduler.config)
    own.set_progress_bar_config(disable=True)
    return own


def _kinds(code: Any, kind: str, recipe: Recipe) -> list[str]:
    """The kinds of code that were asked for.

    Raises:
        ValueError: one that this class does not take.
    """
    asked = [next(iter(recipe.kinds))] if code is None else str(code).split("+")
    odd = [name for name in asked if name not in recipe.kinds]
    if odd or len(set(asked)) < len(asked):
        hint = " The latents of its autoencoder: load_decoder('diffusers:...')." if "latents" in odd else ""
        raise ValueError(
            f"A code of {kind} is {' or '.join(recipe.kinds)}, or several with + between them; got code={code!r}."
            f"{hint}"
        )
    return asked


def _call(
    pipe: Any, recipe: Recipe, steps: int | None, guidance: float | None, image_size: Any, label: int | None
) -> Call:
    defaults = inspect.signature(type(pipe).__call__).parameters
    usual = defaults["num_inference_steps"].default
    if recipe.run is not None:
        usual = min(DENOISING_STEPS, getattr(pipe.scheduler.config, "num_train_timesteps", DENOISING_STEPS))
    scale = defaults["guidance_scale"].default if "guidance_scale" in defaults else 1.0
    if guidance is not None and (isinstance(guidance, bool) or not isinstance(guidance, int | float)):
        raise TypeError(f"guidance is a number, got {guidance!r}.")
    if guidance is not None and "guidance_scale" not in defaults:
        raise ValueError(f"{type(pipe).__name__} has no guidance, got guidance={guidance}.")
    sizes = image_size if isinstance(image_size, list | tuple) else [image_size or recipe.side(pipe)] * 2
    if len(sizes) != 2:
        raise ValueError(f"image_size is a side or (height, width), got {image_size!r}.")
    height, width = (as_whole(size, "a size in image_size", 1) for size in sizes)
    classes = getattr(getattr(getattr(pipe, "unet", None), "config", None), "num_class_embeds", None)
    if label is not None and (classes is None or not 0 <= as_whole(label, "label") < classes):
        has = "is not class-conditional" if classes is None else f"has classes 0 to {classes - 1}"
        raise ValueError(f"This {type(pipe).__name__} {has}, got label={label}.")
    count = usual if steps is None else as_whole(steps, "steps", 1)
    return Call(height, width, count, float(scale if guidance is None else guidance), label)


def _size_of(shape: tuple[int, ...]) -> int:
    return torch.Size(shape).numel()
