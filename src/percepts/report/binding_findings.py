"""What the binding numbers say: every symptom found, not found or undecidable, with what to try."""

from __future__ import annotations

from dataclasses import dataclass

from percepts.report.binding import USUAL_SCALE, BindingNumbers
from percepts.report.svg import short

UNDECIDED, ONE_SLOT, SEVERAL = 0.5, 0.98, 0.6
IN_PIECES, EMPTY, BY_COLOUR = 1.5, 0.5, 0.05
STARVED, APART = 0.95, 0.5


@dataclass(frozen=True)
class Finding:
    """One symptom.

    Attributes:
        name: short, an anchor.
        title: what is looked for, as a question.
        found: whether it is there; None where these images cannot tell.
        evidence: a sentence with the numbers.
        tries: what to do about it, most promising first.
    """

    name: str
    title: str
    found: bool | None
    evidence: str
    tries: tuple[str, ...]


def binding_findings(numbers: BindingNumbers) -> list[Finding]:
    """All symptoms, in the order in which to look for them."""
    return [
        empty(numbers),
        one_slot(numbers),
        undecided(numbers),
        in_pieces(numbers),
        by_colour(numbers),
        wrong_scale(numbers),
        starved(numbers),
        masks_apart(numbers),
    ]


def empty(numbers: BindingNumbers) -> Finding:
    """The slots carry nothing: their KL together is below half a nat."""
    return Finding(
        "empty",
        "Do the slots carry nothing?",
        numbers.kl < EMPTY,
        f"All slots together carry {short(numbers.kl)} nats an image; below {EMPTY} every image gets the same slots.",
        (
            "Lower β, or warm it up from 0.",
            "Check that the reconstruction is summed over pixels, and only the batch is averaged.",
            "Check that images are in [0, 1] and not all alike.",
        ),
    )


def one_slot(numbers: BindingNumbers) -> Finding:
    """One slot has nearly the whole image, or there are far fewer slots than things to see."""
    fewer = numbers.visible is not None and numbers.visible >= 1.5 and numbers.active < SEVERAL * numbers.visible
    few = fewer and numbers.entropy <= UNDECIDED  # Undecided masks leave no slot present: another symptom.
    seen = "" if numbers.visible is None else f" for {short(numbers.visible, 2)} visible entities"
    found: bool | None = numbers.largest >= ONE_SLOT or few
    evidence = (
        f"The largest slot has {numbers.largest:.0%} of the image; {short(numbers.active, 2)} slots are present{seen}."
    )
    if numbers.slots < 2:
        found, evidence = None, "The model has one slot: there is nothing to take apart."
    elif numbers.visible is not None and numbers.visible < 1.5:
        found, evidence = None, f"{evidence} These images show one entity only."
    return Finding(
        "one-slot",
        "Does one slot take all?",
        found,
        evidence,
        (
            "Lower the pixels' σ: where it is large, taking apart buys no likelihood.",
            "Give a slot less capacity (fewer latents, fewer decoder channels), so that one cannot draw a whole scene.",
            "Lower β: every further slot costs its own KL.",
            "Start with even masks (MONet: even_start), or try other seeds: the same settings can go either way.",
        ),
    )


def undecided(numbers: BindingNumbers) -> Finding:
    """The decoder does not carve: masks stay soft all over the image."""
    return Finding(
        "undecided",
        "Do the masks stay undecided?",
        numbers.entropy > UNDECIDED if numbers.slots > 1 else None,
        f"The masks' entropy is {numbers.entropy:.0%} of its largest, ln {numbers.slots}; it should fall in training."
        if numbers.slots > 1
        else "One slot has nothing to decide.",
        (
            "Train longer: masks can stay undecided for long and then part.",
            "Lower the pixels' σ, or raise the learning rate until the entropy begins to fall.",
            "MONet: recon = 'weighted' makes undecided masks cost something.",
            "IODINE: give it more steps of inference; look whether the entropy falls from step to step.",
        ),
    )


def in_pieces(numbers: BindingNumbers) -> Finding:
    """Entities are cut up: several slots hold a tenth or more of the same one."""
    if numbers.pieces is None:
        return Finding(
            "pieces",
            "Are objects or the background in pieces?",
            None,
            "Only data that know their objects can tell; the pictures above show it.",
            _PIECES,
        )
    return Finding(
        "pieces",
        "Are objects or the background in pieces?",
        numbers.pieces > IN_PIECES if numbers.slots > 1 else None,
        f"Slots that hold a tenth or more of a true entity: {short(numbers.pieces, 2)} on average; 1 is right.",
        _PIECES,
    )


_PIECES = (
    "Raise the pixels' σ: where it is small, the last shade of colour is worth a slot of its own.",
    "Use fewer slots, or raise β so that an unnecessary slot costs more.",
    "MONet: raise γ, so that masks have to be such as the decoder can draw.",
    "Train longer at a lower learning rate, and try other seeds: a background split early stays split.",
)


def by_colour(numbers: BindingNumbers) -> Finding:
    """Slots are colours: they agree with the pixels' colours better than with the objects."""
    tries = (
        "Use scenes where colours do not give the objects away: same-coloured objects, textures, light and shade.",
        "Raise the pixels' σ and give slots more capacity for shape: more latents, a larger decoder.",
        "MONet: raise γ, so that a mask has to be a shape that the decoder knows.",
        "Compare with the colour baseline before believing a high score on flat colours.",
    )
    title = "Do slots group by colour?"
    if numbers.colour is None or numbers.slots < 2:
        return Finding("colour", title, None, "The colours of these images cannot be compared with the slots.", tries)
    said = f"Slots agree with the pixels' colours to {short(numbers.colour, 2)} (adjusted Rand index)"
    if numbers.model is None or numbers.colour_oracle is None:
        return Finding("colour", title, None, f"{said}; without true objects that may be right or wrong.", tries)
    alone = short(numbers.colour_oracle, 2)
    said += f", with the objects to {short(numbers.model, 2)}; colours alone find objects to {alone}."
    if numbers.colour_oracle > 1 - BY_COLOUR:
        return Finding(
            "colour", title, None, f"{said} Where colours give the objects away, nothing tells them apart.", tries
        )
    return Finding("colour", title, numbers.colour > max(numbers.model + BY_COLOUR, 0.5), said, tries)


def wrong_scale(numbers: BindingNumbers) -> Finding:
    """The error is far from σ, or σ is larger than all contrast."""
    scale = numbers.scale or USUAL_SCALE
    error, contrast = short(numbers.error, 2), short(numbers.contrast, 2)
    said = f"Reconstructions miss by {error} (root mean square), images vary by {contrast}"
    whose = "the likelihood's σ is" if numbers.scale is not None else "the model does not say its σ; usual is"
    too_small, too_large = numbers.error > 3 * scale, numbers.error < scale / 8 or numbers.contrast < scale
    tries = (
        "σ too small (error ≫ σ): raise it, or give slots more capacity; masks otherwise part by colour.",
        "σ too large (error ≪ σ, or σ above the images' own variation): lower it; it sees no small objects.",
        "Images must be in [0, 1], and the likelihood summed over pixels and channels.",
    )
    found = too_small or too_large if numbers.scale is not None else None
    return Finding("scale", "Is σ too small or too large?", found,
                   f"{said}; {whose} {short(scale, 2)}.", tries)  # fmt: skip


def starved(numbers: BindingNumbers) -> Finding:
    """One slot gets nearly all of the gradient."""
    tries = (
        "MONet: even_start, or recon = 'weighted', which teaches every slot in proportion to its mask.",
        "Lower the learning rate in the first steps; with many slots the late ones start with very little.",
        "If the taught slot is the background, its likelihood is too hard: lower its weight by a larger σ for it.",
    )
    title = "Is only one slot taught?"
    if numbers.gradient is None or numbers.slots < 2:
        return Finding("gradient", title, None, "This model's slots cannot be drawn one by one with a gradient.", tries)
    most = max(range(numbers.slots), key=lambda slot: numbers.gradient[slot])  # type: ignore[index]
    idle = sum(part < 0.01 for part in numbers.gradient)
    return Finding(
        "gradient",
        title,
        numbers.gradient[most] > STARVED,
        f"Slot {most} gets {numbers.gradient[most]:.0%} of the likelihood's gradient; "
        f"{idle} of {numbers.slots} slots get less than 1 %.",
        tries,
    )


def masks_apart(numbers: BindingNumbers) -> Finding:
    """Masks as decoded are not those that were inferred."""
    tries = (
        "Raise γ, the weight of the masks' KL.",
        "Train longer: the decoder learns masks after the attention has settled.",
        "More latents or a larger decoder, where shapes are intricate; blurred edges alone are usual and harmless.",
    )
    title = "Do decoded masks differ from the inferred ones?"
    if numbers.disagreement is None:
        return Finding("masks", title, None, "This model infers no other masks than those that it decodes.", tries)
    rest = max(1 - numbers.largest, 0.02)
    return Finding(
        "masks",
        title,
        numbers.disagreement > APART * rest,
        f"They differ on {numbers.disagreement:.1%} of the image, where all slots but the largest have {rest:.1%}.",
        tries,
    )
