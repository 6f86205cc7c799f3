"""Every format becomes the RGB pixels that went in; damaged files never become pixels."""

import io
import struct
import zlib

import numpy as np
import pytest
import simplejpeg
from archives import bmp32, encode, picture
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from pycls.datasets.sources.decode import decode_image, fit_image
from pycls.errors import ConfigError, DataError

COLOURED = ["jpeg", "jpeg_progressive", "jpeg_cmyk", "png", "png_alpha", "bmp", "bmp32"]
GREY = ["jpeg_grey", "png_grey16"]
LOSSLESS = ["png", "png_alpha", "png_grey16", "bmp", "bmp32"]


def decode_or_none(data):
    try:
        return decode_image(data, "file")
    except DataError:
        return None


def grey_of(pixels):
    return np.repeat(np.asarray(Image.fromarray(pixels).convert("L"))[..., None], 3, axis=2)


@pytest.mark.parametrize("kind", COLOURED + GREY + ["png_palette"])
@pytest.mark.parametrize("shape", [(24, 32), (17, 9), (1, 1)])
def test_pixels_come_back_from_every_format(kind, shape):
    pixels = picture(3, *shape)
    image = decode_image(encode(pixels, kind), "file")
    assert image.dtype == np.uint8
    expected = grey_of(pixels) if kind in GREY else pixels
    tolerance = 0 if kind in LOSSLESS else 8 if kind == "png_palette" else 3
    assert np.abs(image.astype(int) - expected).mean() <= tolerance


@pytest.mark.parametrize("kind", ["jpeg", "jpeg_grey", "jpeg_progressive", "jpeg_cmyk"])
def test_jpegs_decode_as_pillow_decodes_them(kind):
    data = encode(picture(4, 61, 83), kind)
    expected = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    np.testing.assert_array_equal(decode_image(data, "file"), expected)


def test_cmyk_of_every_marking_decodes_as_pillow_decodes_it():
    data = bytearray(encode(picture(4, 61, 83), "jpeg_cmyk"))
    marker = data.index(b"\xff\xee")
    unmarked = data[:marker] + data[marker + 16 :]
    # The colour transform in Adobe's marker: 2 says YCCK.
    data[data.index(b"Adobe") + 11] = 2
    for kind in (bytes(data), bytes(unmarked)):
        expected = np.asarray(Image.open(io.BytesIO(kind)).convert("RGB"))
        np.testing.assert_array_equal(decode_image(kind, "file"), expected)


def test_a_jpeg_of_rgb_components():
    file = io.BytesIO()
    Image.fromarray(picture(2)).save(file, "JPEG", quality=98, subsampling=0, keep_rgb=True)
    assert np.abs(decode_image(file.getvalue(), "file").astype(int) - picture(2)).mean() < 1


def test_a_jpeg_of_unusual_subsampling():
    data = bytearray(encode(picture(4, 64, 64)))
    frame = data.index(b"\xff\xc0")
    data[frame + 11], data[frame + 14] = 0x22, 0x21
    with pytest.raises(ValueError, match="subsampling"):
        simplejpeg.decode_jpeg_header(data)
    expected = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    np.testing.assert_array_equal(decode_image(bytes(data), "file"), expected)
    half = bytes(data[: len(data) // 2])
    assert decode_or_none(half) is None
    assert decode_or_none(half + bytes(len(half))) is None


def test_the_content_tells_the_format_not_the_name():
    pixels = picture(6)
    np.testing.assert_array_equal(decode_image(encode(pixels, "png"), "n02105855.JPEG"), pixels)


@pytest.mark.parametrize("alpha", [0, 255])
def test_alpha_is_ignored(alpha):
    pixels = picture(7)
    np.testing.assert_array_equal(decode_image(bmp32(pixels, alpha), "file"), pixels)


def test_the_exif_orientation_is_ignored():
    image = Image.fromarray(picture(8))
    exif = Image.Exif()
    exif[0x0112] = 6
    plain, turned = io.BytesIO(), io.BytesIO()
    image.save(plain, "JPEG")
    image.save(turned, "JPEG", exif=exif)
    np.testing.assert_array_equal(
        decode_image(turned.getvalue(), "file"), decode_image(plain.getvalue(), "file")
    )


@pytest.mark.parametrize("kind", COLOURED + GREY + ["png_palette"])
def test_a_file_cut_anywhere_is_refused_or_whole(kind):
    data = encode(picture(9, 18, 22), kind)
    whole = decode_image(data, "file")
    for length in range(len(data)):
        image = decode_or_none(data[:length])
        assert image is None or np.array_equal(image, whole), length
    assert decode_or_none(data[: len(data) // 2]) is None


@settings(max_examples=60)
@given(
    seed=st.integers(0, 9),
    kind=st.sampled_from(["jpeg", "jpeg_grey", "jpeg_progressive", "jpeg_cmyk"]),
    quality=st.sampled_from([20, 75, 98]),
    share=st.floats(0, 1, exclude_max=True),
    tail=st.sampled_from([b"", bytes(1), bytes(5000), b"\xff" * 20, b"\xff\xd9"]),
)
def test_a_cut_jpeg_is_refused_whatever_follows_it(seed, kind, quality, share, tail):
    image = Image.fromarray(picture(seed, 90, 70))
    image = image.convert({"jpeg_grey": "L", "jpeg_cmyk": "CMYK"}.get(kind, "RGB"))
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality, progressive=kind == "jpeg_progressive")
    data = file.getvalue()
    whole = decode_image(data, "file")
    first_scan = data.index(b"\xff\xda")
    last_scan = data.rindex(b"\xff\xda")
    # Within the last 8 bytes of a scan the missing bits may be padding.
    cut = first_scan + int(share * (len(data) - 8 - first_scan))
    if kind == "jpeg_progressive" and tail == b"\xff\xd9":
        # Ended in good order between two scans, it is a whole, coarser image.
        cut = max(cut, last_scan + 12)
    found = decode_or_none(data[:cut] + tail)
    assert found is None or np.array_equal(found, whole)


def test_bytes_between_image_and_end_are_no_damage():
    data = encode(picture(10, 60, 60))
    padded = data[:-2] + bytes(range(1, 200)) * 3 + data[-2:]
    np.testing.assert_array_equal(decode_image(padded, "file"), decode_image(data, "file"))
    np.testing.assert_array_equal(decode_image(data + b"more", "f"), decode_image(data, "f"))


@settings(max_examples=300)
@given(
    kind=st.sampled_from(COLOURED + GREY + ["png_palette"]),
    changes=st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), min_size=1),
)
def test_changed_bytes_give_pixels_or_a_named_error(kind, changes):
    data = bytearray(encode(picture(11, 12, 14), kind))
    for place, value in changes:
        data[place % len(data)] = value
    try:
        image = decode_image(bytes(data), "some/file.jpg")
    except DataError as error:
        message = str(error)
        image = None
    if image is None:
        assert message.startswith("some/file.jpg: ")
    else:
        assert image.dtype == np.uint8
        assert image.shape[2:] == (3,)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "empty"),
        (b"<html></html>", "no image of a known format"),
        (b"GIF89a", "no image of a known format"),
        (b"\xff\xd8\xff", "damaged"),
    ],
)
def test_what_is_no_image_is_named(data, message):
    with pytest.raises(DataError, match=rf"train/1\.jpg: .*{message}"):
        decode_image(data, "train/1.jpg")


def png_that_claims(width, height):
    def chunk(kind, body):
        checked = kind + body
        return struct.pack(">I", len(body)) + checked + struct.pack(">I", zlib.crc32(checked))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b""))


def jpeg_that_claims(width, height):
    data = bytearray(encode(picture(0)))
    frame = data.index(b"\xff\xc0")
    data[frame + 5 : frame + 9] = struct.pack(">HH", height, width)
    return bytes(data)


@pytest.mark.parametrize("make", [png_that_claims, jpeg_that_claims])
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_images_that_would_fill_the_memory_are_refused(make):
    with pytest.raises(DataError, match=r"bomb: .*(65,000 x 65,000|decompression bomb)"):
        decode_image(make(65_000, 65_000), "bomb")
    with pytest.raises(DataError, match="12,000 x 9,000 pixels"):
        decode_image(make(12_000, 9_000), "bomb")


@pytest.mark.parametrize("aspect", ["crop", "squash", "pad"])
@pytest.mark.parametrize("shape", [(40, 60), (60, 40), (33, 33), (5, 7), (1, 200)])
@pytest.mark.parametrize("size", [1, 16, 33, 64])
def test_any_image_fits(shape, size, aspect):
    image = fit_image(picture(1, *shape), size, aspect)
    assert image.shape == (size, size, 3)
    assert image.dtype == np.uint8


def test_an_image_of_the_size_is_untouched():
    image = picture(1, 16, 16)
    assert all(fit_image(image, 16, aspect) is image for aspect in ("crop", "squash", "pad"))
    wide = picture(1, 16, 23)
    assert fit_image(wide, None, "crop") is wide
    np.testing.assert_array_equal(fit_image(wide, 16, "crop"), wide[:, 3:19])


def halves(height, width):
    """Return an image with a white left half and a black right half."""
    image = np.zeros((height, width, 3), np.uint8)
    image[:, : width // 2] = 255
    return image


def test_what_becomes_of_the_aspect():
    wide = halves(20, 60)
    wide[:, :15] = wide[:, -15:] = 99
    cropped = fit_image(wide, 10, "crop")
    assert 99 not in cropped
    np.testing.assert_array_equal(cropped[:, 0], 255)
    np.testing.assert_array_equal(cropped[:, -1], 0)
    squashed = fit_image(wide, 10, "squash")
    assert (squashed[:, 0] == 99).all()
    assert (squashed[:, -1] == 99).all()
    padded = fit_image(np.full((20, 60, 3), 200, np.uint8), 30, "pad")
    assert (padded[10:20] == 200).all()
    assert not padded[:10].any()
    assert not padded[20:].any()


def test_shrinking_is_antialiased():
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::2] = 255
    small = fit_image(stripes, 8, "squash")
    assert abs(small[:, 1:-1].astype(int) - 127).max() < 20


@pytest.mark.parametrize(
    ("size", "aspect", "message"),
    [(0, "crop", "size 0"), (8, "stretch", "aspect 'stretch': expected one of crop, squash, pad")],
)
def test_wrong_options_are_refused(size, aspect, message):
    with pytest.raises(ConfigError, match=message):
        fit_image(picture(1), size, aspect)
