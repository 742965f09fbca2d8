"""When memory runs out."""


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says that there was no memory; torch has a type of its own for GPUs only."""
    import torch

    text = str(error).lower()
    return isinstance(error, (MemoryError, torch.OutOfMemoryError)) or (
        isinstance(error, RuntimeError) and ("can't allocate memory" in text or "not enough memory" in text)
    )
