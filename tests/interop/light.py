"""Reads exports of `sedflow export` in a folder with astropy, h5py, numpy, pyarrow and DuckDB, as far as they are there.

python3 light.py FOLDER
"""

import importlib
import sys
import warnings
from pathlib import Path

warnings.simplefilter("error")
# astropy knows no logarithms among units, though the standards of FITS and VO units do.
warnings.filterwarnings("ignore", message=".*'log' is not a recognized function.*")
folder = Path(sys.argv[1])
asked, absent = [], []


def package(name):
    """The package, or nothing, and its name among those that are absent."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            module = importlib.import_module(name)
        except ImportError:
            absent.append(name)
            return None
    asked.append(name)
    return module


def same(a, b):
    assert len(a) == len(b) and all(x == y or (x != x and y != y) for x, y in zip(a, b)), (a[:3], b[:3])


reference = None
if package("astropy.table"):
    from astropy.io import fits
    from astropy.table import Table

    for name in ["a.fits", "a.vot", "a.ecsv"]:
        table = Table.read(folder / name)
        if name != "a.fits":  # of which astropy passes over TCOMM
            for column in table.colnames:
                assert table[column].description, (name, column)
        assert str(table["flux_njy_r"].unit) == "nJy", name
        assert str(table["ra_deg"].unit) == "deg", name
        median = table["log_mstar_q50"].filled(float("nan")) if hasattr(table["log_mstar_q50"], "filled") else table["log_mstar_q50"]
        if reference is None:
            reference = list(median)
        same(list(median), reference)
    with fits.open(folder / "a.fits", checksum=True) as hdus:
        hdus.verify("exception")
        header = hdus[1].header
        n = header["TFIELDS"]
        assert all(header.get(f"TCOMM{i}") and header.get(f"TUCD{i}") for i in range(1, n + 1) if header[f"TTYPE{i}"] != "KC5_LOGMASS")
        ucds = [header[key] for key in header if key.startswith("TUCD")]
        assert "pos.eq.ra;meta.main" in ucds and header["TUNIT3"] == "deg", ucds[:4]
        assert hdus[1].data["log_mstar_q50"].dtype.kind == "f"
    draws = Table.read(folder / "d.fits")
    assert draws["log_mstar"].ndim == 2, draws["log_mstar"].shape

if package("numpy"):
    import numpy

    with numpy.load(folder / "a.npz") as arrays:
        if reference is not None:
            same(list(arrays["log_mstar_q50"]), reference)
        assert arrays["object_id"].dtype.kind == "U"

if package("h5py"):
    import h5py

    with h5py.File(folder / "a.h5") as file:
        keys = "log_mstar log_sfr_1gyr log_Z_MW beta1 beta2 beta3 beta4 fburst tburst log_gamma1 log_gamma2 tau_bc tau_ism n_dust"
        n = file["NSAID"].shape[0]
        for key in keys.split():
            assert file[key].shape[0] == n and file[key].ndim == 2, key
        assert file["sedflow"].dtype == bool
        assert file["mag_r"].shape == file["sigma_r"].shape == (n,)

if package("pyarrow.parquet"):
    import pyarrow.parquet

    table = pyarrow.parquet.read_table(folder / "a.parquet")
    if reference is not None:
        found = [float("nan") if x is None else x for x in table["log_mstar_q50"].to_pylist()]
        same(found, reference)
    metadata = pyarrow.parquet.read_metadata(folder / "a.parquet").metadata
    assert metadata[b"IVOA.VOTable-Parquet.version"] == b"1.0"
    assert b"<FIELD" in metadata[b"IVOA.VOTable-Parquet.content"]
    draws = pyarrow.parquet.read_table(folder / "d.parquet")
    lists = draws["log_mstar"].to_pylist()
    assert {len(x) for x in lists if x is not None} == {draws["n_draws"].to_pylist()[0]}

if package("pandas"):
    import pandas

    frame = pandas.read_csv(folder / "a.csv")
    if reference is not None:
        same(list(frame["log_mstar_q50"]), reference)

if package("duckdb"):
    import duckdb

    sql = f"SELECT count(*), avg(log_mstar_q50) FROM '{folder / 'a.parquet'}'"
    n, mean = duckdb.sql(sql).fetchall()[0]
    assert n > 0 and mean is not None
    sql = f"SELECT list_avg(log_mstar) FROM '{folder / 'd.parquet'}' WHERE n_draws > 0"
    assert len(duckdb.sql(sql).fetchall()) > 0

print("read by", ", ".join(asked) or "nothing", *([f"; absent: {', '.join(absent)}"] if absent else []))
