"""The kernel that makes a batch on a GPU, in Triton: cut, resized, mirrored and normalised.

Source images are uint8, H x W x 3, each with `border` pixels around it that are no part of it.
Places are counted in whole numbers, so that they are exact.
"""

import triton
import triton.language as tl

# Added to a number from 0 to 2**22, it leaves no room for a fraction: halves go to even numbers.
_TO_WHOLE = tl.constexpr(float(1 << 23))


@triton.jit(do_not_specialize_on_alignment=["rows", "drawn", "light"])
def make_batch(
    images, y, rows, drawn, light, scale, shift, height, width, border, pad, size, inverse,
    BLOCK: tl.constexpr, CUT: tl.constexpr, RESIZED: tl.constexpr, LIT: tl.constexpr,
    LAST: tl.constexpr,
):  # fmt: skip
    """Write squares of `size` x `size` pixels; a program BLOCK numbers of one of them.

    Where they are CUT, `rows` says which image each is cut out of, and `drawn` where: first row and
    column in the image with `pad` pixels around it, and whether to mirror; where RESIZED first row
    and column, height and width of a box in the image, and whether to mirror. Else the images are
    the squares. `inverse` is 1 / (2 size). With LAST channels lie side by side.
    """
    number = tl.program_id(0)
    e = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    pixels = size * size
    inside = e < 3 * pixels
    if LAST:
        c, p = e % 3, e // 3
    else:
        c, p = e // pixels, e % pixels
    row, column = p // size, p % size
    factor = tl.load(scale + c, mask=inside, other=0.0)
    addend = tl.load(shift + c, mask=inside, other=0.0)
    if LIT:
        # 1 / deviation is the scale of pixels in 0..1.
        addend += tl.load(light + number * 3 + c, mask=inside, other=0.0) * (255.0 * factor)
    stride = width + 2 * border
    image = number.to(tl.int64)
    if CUT:
        image = tl.load(rows + number)
    start = images + image * (height + 2 * border) * stride * 3 + (border * stride + border) * 3
    if RESIZED:
        box = drawn + number * 5
        top, left = tl.load(box).to(tl.int32), tl.load(box + 1).to(tl.int32)
        box_height, box_width = tl.load(box + 2).to(tl.int32), tl.load(box + 3).to(tl.int32)
        column = tl.where(tl.load(box + 4) != 0, size - 1 - column, column)
        # Of a pixel's middle in the box, in parts of 2 size; beyond the box its border is repeated.
        unit = 2 * size
        down = tl.maximum((2 * row + 1) * box_height - size, 0)
        down = tl.minimum(down, unit * (box_height - 1))
        right = tl.maximum((2 * column + 1) * box_width - size, 0)
        right = tl.minimum(right, unit * (box_width - 1))
        row, column = down // unit, right // unit
        share = (down - row * unit).to(tl.float32) * inverse
        part = (right - column * unit).to(tl.float32) * inverse
        below = tl.where(row + 1 < box_height, stride * 3, 0)
        beside = tl.where(column + 1 < box_width, 3, 0)
        at = start + ((top + row) * stride + left + column) * 3 + c
        a = tl.load(at, mask=inside, other=0).to(tl.float32)
        b = tl.load(at + beside, mask=inside, other=0).to(tl.float32)
        upper = a + (b - a) * part
        a = tl.load(at + below, mask=inside, other=0).to(tl.float32)
        b = tl.load(at + below + beside, mask=inside, other=0).to(tl.float32)
        lower = a + (b - a) * part
        value = (upper + (lower - upper) * share + _TO_WHOLE) - _TO_WHOLE
    else:
        there = inside
        if CUT:
            place = drawn + number * 3
            column = tl.where(tl.load(place + 2) != 0, size - 1 - column, column)
            row += tl.load(place).to(tl.int32) - pad
            column += tl.load(place + 1).to(tl.int32) - pad
            there = there & (row >= 0) & (row < height) & (column >= 0) & (column < width)
            # Padding is of the mean colour: exactly 0.
            addend = tl.where(there, addend, 0.0)
        value = tl.load(start + (row * stride + column) * 3 + c, mask=there, other=0)
        value = value.to(tl.float32)
    out = y + number.to(tl.int64) * 3 * pixels + e
    tl.store(out, (value * factor + addend).to(y.dtype.element_ty), mask=inside)
