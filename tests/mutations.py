"""Files damaged as accidents and forgers do it."""

import random

NUMBERS = [b"\xff" * 8, b"\0" * 8, *(value.to_bytes(8, "little") for value in (2**31, 2**40, 2**62))]


def mutated(whole: bytes, rng: random.Random, start: int) -> bytearray:
    data = bytearray(whole)
    # Most of the damage goes where the structure is told: the table at the beginning.
    stop = min(len(data), 5000) if rng.random() < 0.7 else len(data)
    for _ in range(rng.choice([1, 1, 1, 2, 4, 16])):
        place = rng.randrange(start, stop)
        how = rng.random()
        if how < 0.5:
            data[place] ^= 1 << rng.randrange(8)
        elif how < 0.8:
            data[place] = rng.choice(b'\0\xff\x7f0129"[]{},-.e')
        else:
            data[place : place + 8] = rng.choice(NUMBERS)
    if rng.random() < 0.1:
        del data[rng.randrange(start, len(data)) :]
    return data
