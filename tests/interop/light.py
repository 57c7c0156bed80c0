"""Reads exports of `sedflow export` in a folder with astropy, h5py, numpy, pyarrow, pandas and DuckDB, warnings being errors.

python3 light.py FOLDER [--all]

Packages that are absent are named at the end; with --all they are an error.
"""

import importlib
import sys
import warnings
import xml.etree.ElementTree
from pathlib import Path

warnings.simplefilter("error")
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
    import astropy.io.votable
    import astropy.units
    from astropy.io import fits
    from astropy.table import QTable, Table

    for name in ["a.fits", "a.vot", "a.ecsv"]:
        table = Table.read(folder / name)
        QTable.read(folder / name)
        if name != "a.fits":  # of which astropy passes over TCOMM
            for column in table.colnames:
                assert table[column].description, (name, column)
        assert str(table["flux_njy_r"].unit) == "nJy", name
        assert str(table["ra_deg"].unit) == "deg", name
        median = table["log_mstar_q50"].filled(float("nan")) if hasattr(table["log_mstar_q50"], "filled") else table["log_mstar_q50"]
        if reference is None:
            reference = list(median)
        same(list(median), reference)
    astropy.io.votable.parse(folder / "a.vot", verify="exception")
    for name in ["a.vot", "a.ecsv"]:
        assert "unit: log(solMass)" in Table.read(folder / name)["log_mstar_q50"].description
    assert Table.read(folder / "a.vot").meta["description"].startswith("Galaxies")
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
    # VOParquet 1.0: the first table of the VOTable in the footer has the columns of the file, in order, of the same types
    types = {"long": "int64", "double": "double", "char": "string", "float": "list<element: float not null>"}
    for name in ["a.parquet", "d.parquet"]:
        metadata = pyarrow.parquet.read_metadata(folder / name).metadata
        assert metadata[b"IVOA.VOTable-Parquet.version"] == b"1.0"
        inside = folder / f"{name}.vot"
        inside.write_bytes(metadata[b"IVOA.VOTable-Parquet.content"])
        root = xml.etree.ElementTree.parse(inside).getroot()
        of = "{http://www.ivoa.net/xml/VOTable/v1.3}"
        fields = [(x.get("name"), types[x.get("datatype")]) for x in root.iter(of + "FIELD")]
        schema = pyarrow.parquet.read_schema(folder / name)
        assert fields == [(x.name, str(x.type)) for x in schema], [(a, b) for a, b in zip(fields, schema) if a[0] != b.name]
        assert not list(root.iter(of + "DATA")) and len(list(root.iter(of + "TABLE"))) == 1
        if "astropy.table" in asked:
            astropy.io.votable.parse(inside, verify="exception")
    if "astropy.table" in asked:
        table = Table.read(folder / "a.parquet", format="parquet.votable")
        assert table["flux_njy_r"].unit == astropy.units.nJy and table["log_mstar_q50"].description
    draws = pyarrow.parquet.read_table(folder / "d.parquet")
    lengths = [0 if x is None else len(x) for x in draws["log_mstar"].to_pylist()]
    assert lengths == [n or 0 for n in draws["n_draws"].to_pylist()] and max(lengths) > 100, lengths

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

assert not absent or "--all" not in sys.argv, f"absent: {absent}"
print("read by", ", ".join(asked) or "nothing", *([f"; absent: {', '.join(absent)}"] if absent else []))
