"""What is said of a user's module that cannot be trained as it should, whichever library it is of."""

from __future__ import annotations

from assay.errors import CodeError
from assay.parts.module_networks import first_line


def not_finite(owner: str, *, has_nan: bool) -> CodeError:
    """The error of a module with values that are no numbers."""
    what = "NaN" if has_nan else "infinite values"
    return CodeError(f"{owner} returned {what} for the first batch, with the weights that it begins with")


def backward_failed(owner: str, error: Exception) -> CodeError:
    """The error of a module without gradients, by what its library raised."""
    return CodeError(f"{owner} failed in its backward pass: {type(error).__name__}: {first_line(error)}")


def without_gradient(owner: str) -> CodeError:
    """The error of a module that computes without its parameters."""
    return CodeError(f"{owner}: its values do not depend on its parameters: no gradient reaches them")


def twice_softmax(owner: str, output: str) -> str:
    """The note on a module that ends in the function that its recipe adds."""
    return (
        f"{owner} returns probabilities, and output {output!r} takes another softmax of them, which hardly trains; "
        "leave the softmax out of the module"
    )
