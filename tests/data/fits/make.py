"""Writes the FITS files of this folder with astropy; `python make.py` repeats them.

Each is small, and holds what the reader must know: every column type, vectors, nulls, scales, unsigned
integers, arrays in the heap, images of every BITPIX, continued strings, gzip.
"""

import gzip
import numpy as np
from astropy.io import fits


def types():
    n = 3
    cols = [
        fits.Column("flag", "L", array=np.array([True, False, True])),
        fits.Column("bits", "11X", array=np.array([[1, 0] * 5 + [1], [0] * 11, [1] * 11], dtype=bool)),
        fits.Column("byte", "B", array=np.array([0, 128, 255], dtype=np.uint8)),
        fits.Column("short", "I", null=-99, array=np.array([-32768, -99, 32767], dtype=np.int16)),
        fits.Column("int", "J", array=np.array([-(2**31), 0, 2**31 - 1], dtype=np.int32), unit="deg"),
        fits.Column("long", "K", array=np.array([-(2**63), 7, 2**63 - 1], dtype=np.int64)),
        fits.Column("float", "E", array=np.array([1.5, np.nan, -np.inf], dtype=np.float32)),
        fits.Column("double", "D", array=np.array([np.pi, -0.0, 1e300])),
        fits.Column("text", "6A", array=np.array(["abc", "", "it's 6"])),
        fits.Column("complex", "C", array=np.array([1 + 2j, 3 - 4j, 0j], dtype=np.complex64)),
        fits.Column("dcomplex", "M", array=np.array([1 + 2j, 3 - 4j, 0j])),
        fits.Column("vector", "5E", array=np.arange(15, dtype=np.float32).reshape(n, 5), unit="nanomaggy"),
        fits.Column("matrix", "6D", dim="(3,2)", array=np.arange(18.0).reshape(n, 2, 3)),
        fits.Column("ubyte_signed", "B", bzero=-128, array=np.array([-128, 0, 127], dtype=np.int8)),
        fits.Column("ushort", "I", bzero=32768, array=np.array([0, 40000, 65535], dtype=np.uint16)),
        fits.Column("uint", "J", bzero=2**31, array=np.array([0, 3000000000, 2**32 - 1], dtype=np.uint32)),
        fits.Column("ulong", "K", bzero=2**63, array=np.array([0, 2**62, 2**63 - 1], dtype=np.uint64)),
        fits.Column("scaled", "I", array=np.array([0, 1, 20], dtype=np.int16)),
        fits.Column("empty", "0E", array=np.zeros((n, 0), dtype=np.float32)),
    ]
    hdu = fits.BinTableHDU.from_columns(cols, name="TYPES")
    hdu.header["LONGTEXT"] = "a text that is longer than one card holds, " * 4 + "with a 'quote' in it"
    hdu.header["TCOMM5"] = "right ascension"
    hdu.header["TUCD5"] = "pos.eq.ra"
    hdu.header["TSCAL18"], hdu.header["TZERO18"] = 0.5, 10.0
    hdu.header.add_history("made with astropy")
    fits.HDUList([fits.PrimaryHDU(), hdu]).writeto("types.fits", overwrite=True)
    with open("types.fits", "rb") as plain, gzip.GzipFile("types.fits.gz", "wb", mtime=0) as out:
        out.write(plain.read())


def heap():
    ragged = np.array([np.array([1.5, 2.5], "f4"), np.array([], "f4"), np.array([3.5, 4.5, 5.5], "f4")], dtype=object)
    wide = np.array([np.array([1, 2, 3], "i4"), np.array([-4], "i4"), np.array([], "i4")], dtype=object)
    cols = [
        fits.Column("id", "J", array=np.array([1, 2, 3])),
        fits.Column("ragged", "PE()", array=ragged),
        fits.Column("wide", "QJ()", array=wide),
        fits.Column("words", "PA()", array=np.array(["one", "", "three"])),
    ]
    fits.BinTableHDU.from_columns(cols, name="HEAP").writeto("heap.fits", overwrite=True)


def images():
    hdus = [fits.PrimaryHDU(np.array([[0, 1, 255], [7, 8, 9]], dtype=np.uint8))]
    for kind in ("i2", "i4", "i8", "f4", "f8"):
        hdus.append(fits.ImageHDU(np.array([[-1, 0, 1], [100, -100, 42]], dtype=kind), name=kind.upper()))
    scaled = fits.ImageHDU(np.array([0, 40000, 65535], dtype=np.uint16), name="U2")
    blank = fits.ImageHDU(np.array([1, -9, 3], dtype=np.int16), name="BLANK")
    blank.header["BLANK"] = -9
    fits.HDUList(hdus + [scaled, blank]).writeto("images.fits", overwrite=True)


types()
heap()
images()
