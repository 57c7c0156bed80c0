"""Makes samples/sdss_1000.fits from the PyPI package kcorrect 5.1.9.

    pip install kcorrect==5.1.9
    python samples/make_sdss_sample.py

Every ninth galaxy of kcorrect/data/test/gst_tests_small.fits with 0.004 <= Z <= 0.2 and measured in all five
bands, 1000 in all, with the original values of the columns needed, and a stellar mass by kcorrect itself.
"""

from pathlib import Path

import kcorrect
import kcorrect.kcorrect
import numpy as np
from astropy.io import fits

source = Path(kcorrect.__file__).parent / "data" / "test" / "gst_tests_small.fits"
table = fits.getdata(source)
good = (table["Z"] >= 0.004) & (table["Z"] <= 0.2)
good &= np.all((table["MODELFLUX_IVAR"] > 0) & np.isfinite(table["MODELFLUX"]), axis=1)
rows = np.flatnonzero(good)[::9][:1000]
assert len(rows) == 1000
sample = table[rows]

# k-correct takes maggies corrected for extinction, in the SDSS system, and puts them on the AB system itself. The
# errors get the floors of the NASA-Sloan Atlas, as the program's layout gives them.
flux = sample["MODELFLUX"].astype(np.float64)
floor = 0.4 * np.log(10) * np.array([0.05, 0.02, 0.02, 0.02, 0.03]) * flux
ivar = 1 / (1 / sample["MODELFLUX_IVAR"].astype(np.float64) + floor**2)
factor = 1e-9 * 10 ** (0.4 * sample["EXTINCTION"].astype(np.float64))
fitter = kcorrect.kcorrect.KcorrectSDSS()  # Planck18
redshift = sample["Z"].astype(np.float64)
coeffs = fitter.fit_coeffs(redshift=redshift, maggies=flux * factor, ivar=ivar / factor**2)
log_mass = np.log10(fitter.derived(redshift=redshift, coeffs=coeffs)["mremain"])

columns = [
    fits.Column("ROWIDX", "J", array=rows),
    fits.Column("RA", "D", "deg", array=sample["RA"]),
    fits.Column("DEC", "D", "deg", array=sample["DEC"]),
    fits.Column("Z", "E", array=sample["Z"]),
    fits.Column("MODELFLUX", "5E", "nanomaggy", array=sample["MODELFLUX"]),
    fits.Column("MODELFLUX_IVAR", "5E", "nanomaggy^-2", array=sample["MODELFLUX_IVAR"]),
    fits.Column("EXTINCTION", "5E", "mag", array=sample["EXTINCTION"]),
    fits.Column("KC5_LOGMASS", "E", "log(solMass)", array=log_mass),
]
hdu = fits.BinTableHDU.from_columns(columns, name="SDSS_SAMPLE")
hdu.header["ORIGIN"] = "PyPI kcorrect 5.1.9, data/test/gst_tests_small.fits (BSD-3)"
hdu.writeto(Path(__file__).parent / "sdss_1000.fits", overwrite=True, checksum=True)
