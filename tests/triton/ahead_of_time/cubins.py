"""What a kernel's machine code says of its parameters and its stack, read from the ELF file itself.

Sections .nv.info and .nv.info.<kernel> are lists of attributes: a byte of format, a byte of
attribute, two bytes of value or of length, and for format 4 that many bytes. Attribute 0x17, one a
parameter: its index, ordinal, offset and, from bit 18 on, size (the tool cuobjdump prints them as
EIATTR_KPARAM_INFO). Attribute 0x11, one a function: its number and the bytes of its frame
(EIATTR_FRAME_SIZE), where registers are spilled to.
"""

import struct

_INFO = ".nv.info"
_KPARAM_INFO, _FRAME_SIZE = 0x17, 0x11
_HEADER = struct.Struct("<40xQ10xHHH")  # of sections: where, size, count, names
_SECTION = struct.Struct("<I20xQQ24x")  # name, offset, size


def parameters(image, function):
    """[(offset, size)] in the order of the kernel's signature."""
    found = {}
    for of, attribute, value in attributes(image):
        if (of, attribute) == (function, _KPARAM_INFO):
            _, ordinal, offset, packed = struct.unpack("<IHHI", value)
            found[ordinal] = offset, packed >> 18
    if not found:
        raise ValueError(f"no parameters of {function}")
    return [found[i] for i in sorted(found)]


def stack(image):
    """The most bytes of stack that a thread takes."""
    frames = [
        struct.unpack("<II", value)[1]
        for of, attribute, value in attributes(image)
        if (of, attribute) == ("", _FRAME_SIZE)
    ]
    if not frames:
        raise ValueError("no frame sizes")
    return max(frames)


def attributes(image):
    """(kernel, attribute, value) of those that have a length; "" for those of the whole file."""
    start, size, count, names = _HEADER.unpack_from(image)
    sections = [_SECTION.unpack_from(image, start + size * i) for i in range(count)]
    for name, offset, length in sections:
        at = sections[names][1] + name
        section = image[at : image.index(b"\0", at)].decode()
        if section == _INFO or section.startswith(f"{_INFO}."):
            of = section.removeprefix(_INFO).removeprefix(".")
            for attribute, value in _attributes(image[offset : offset + length]):
                yield of, attribute, value


def _attributes(info):
    at = 0
    while at < len(info):
        form, attribute, length = struct.unpack_from("<BBH", info, at)
        at += 4
        if form == 4:
            yield attribute, info[at : at + length]
            at += length
