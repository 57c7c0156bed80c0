"""Reads exports in a folder with ArviZ, qp, hats and lsdb.

python3 heavy.py FOLDER
"""

import sys
import warnings
from pathlib import Path

folder = Path(sys.argv[1])
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # what the packages say of each other while they are loaded
    import arviz
    import hats
    import lsdb
    import numpy as np
    import qp
    import xarray
    from astropy.io import fits
    from astropy.table import Table
    from hats.io.skymap import read_skymap, skymap_coverage
    from hats.io.validation import is_valid_catalog, is_valid_collection

warnings.simplefilter("error")
reference = Table.read(folder / "a.fits")
for name, names in {
    "cigale": ["id", "bayes.log_mstar", "bayes.log_mstar_err", "best.log_mstar"],
    "bagpipes": ["log_mstar_16", "log_mstar_50", "log_mstar_84", "log_evidence", "chisq_phot", "n_bands"],
    "desi": ["OBJECT_ID", "LOG_MSTAR_Q50", "RA_DEG", "REDSHIFT"],
}.items():
    table = Table.read(folder / f"{name}.fits")
    assert set(names) <= set(table.colnames) and len(table) == len(reference), name
assert Table.read(folder / "d.vot")["log_mstar"].ndim == 2
assert Table.read(folder / "d.ecsv")["log_mstar"].ndim == 2
with fits.open(folder / "d.fits", checksum=True) as hdus:
    hdus.verify("exception")
print("astropy: vectors, checksums and other programs' names as they should be")

tree = xarray.open_datatree(folder / "a.zarr", engine="zarr")
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # InferenceData announces its own future
    data = arviz.InferenceData.from_datatree(tree)
    assert {"chain", "draw", "galaxy"} <= set(data.posterior.sizes)
    some = data.posterior.isel(galaxy=slice(0, 3))
    summary = arviz.summary(some, var_names=["log_mstar"])
medians = data.posterior.log_mstar.median(("chain", "draw")).values
expected = np.ma.filled(np.ma.asarray(reference["log_mstar_q50"][: len(medians)]), np.nan)
assert np.nanmax(np.abs(medians - expected)) < 0.01
assert list(data.posterior.galaxy.values) == list(reference["object_id"][: len(medians)])
print("arviz: groups", ", ".join(data.groups()), "and medians as in the summaries")

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    ensemble = qp.read(str(folder / "qp" / "log_mstar.hdf5"))
    median = ensemble.ppf(0.5).ravel()
by_id = dict(zip(reference["object_id"], reference["log_mstar_q50"]))
expected = np.array([by_id[name] for name in ensemble.ancil["object_id"]])
assert np.max(np.abs(median - expected)) < 0.01
print("qp:", ensemble.npdf, "distributions, medians as in the summaries")

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    assert is_valid_catalog(folder / "hats", strict=True)
    catalog = lsdb.open_catalog(folder / "hats")
    frame = catalog.compute()
    assert len(frame) == len(reference) and frame.index.is_monotonic_increasing is not None
    assert set(frame["object_id"]) == set(reference["object_id"])
    assert is_valid_collection(folder / "collection", strict=True)
    collection = lsdb.open_catalog(folder / "collection")
    assert collection.margin is not None
    frame = collection.compute()
    draws = frame["log_mstar"].iloc[0]
    assert draws is None or len(draws) > 100
    sky = read_skymap(catalog.hc_structure, None)
    assert sky.sum() == len(reference) and len(sky) == 12 * 4 ** catalog.hc_structure.catalog_info.skymap_order
    assert read_skymap(catalog.hc_structure, 2).sum() == len(reference)
    assert 0 < skymap_coverage(catalog.hc_structure) < 0.01
    matched = collection.crossmatch(catalog, radius_arcsec=1, suffixes=("_a", "_b")).compute()
    assert len(matched) >= len(frame)
print("hats, lsdb: catalog and collection are valid, opened and matched with each other")
