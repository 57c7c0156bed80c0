"""Posterior draws from a sedflow release or catalog: needs numpy and zstandard, and no sedflow."""
import sqlite3, struct, sys, zlib
import numpy as np, zstandard

def decode(blob):
    """Name -> draws of every column of one packed posterior (schema/posterior-codec.md)."""
    size, n, n_columns, _ = struct.unpack_from("<IIHH", blob, 4)
    if blob[:4] != b"SDP1" or zlib.crc32(blob[:size]) != 0x2144DF1C:  # that of anything with its own checksum
        raise ValueError("not a posterior of format SDP1, or damaged")
    at, start, bins, draws, left = 32, size, [], {}, 1.0
    for i in range(n_columns):
        name = blob[at + 1 : at + 1 + blob[at]].decode()
        at += 1 + blob[at]
        role, kind, is_sorted, _, a, b, top, p0, p1, w0, w1, bias, length, crc = struct.unpack_from("<4B3I2B2hi2I", blob, at)
        at, start, part = at + 34, start + length, blob[start : start + length]
        if zlib.crc32(part) != crc:
            raise ValueError(f"column {name} is damaged")
        planes = (top.bit_length() + 7) // 8
        plain = zstandard.ZstdDecompressor().decompress(part, max_output_size=planes * n) if length else b""
        raw = np.frombuffer(plain, "u1").astype("i8").reshape(-1, n)
        q = sum((raw[k] << 8 * k for k in range(len(raw))), np.zeros(n, "i8"))
        guess = sum(w * bins[p] for p, w in ((p0, w0), (p1, w1)) if p < 255)
        q = (np.cumsum(q) if is_sorted else q + bias + (guess >> 10)) & (256**planes - 1)
        bins.append(q)
        if kind == 0:
            low, high = struct.unpack("<2f", struct.pack("<2I", a, b))
            place = (np.arange(1, n + 1) * ((2 * i + 1) * 0x9E3779B9 % 2**32) % 2**32 + 0.5) / 2**32 - 0.5
            x = abs((q + place) * ((high - low) / max(top, 1)))
            x = low + np.minimum(x, 2 * (high - low) - x)
        else:
            bits = ((q + a << b) & 0xFFFFFFFF).astype("u4")
            x = np.where(bits >> 31, bits ^ 0x80000000, ~bits).view("f4")
        x, left = (x * left, left * (1 - x)) if role == 1 else (left, 1.0) if role == 2 else (x, 1.0)
        draws[name] = np.float32(x)
    return draws

if __name__ == "__main__":
    for name, samples in sqlite3.connect(sys.argv[1]).execute("SELECT object_id, samples FROM posterior JOIN galaxy USING (galaxy_id)"):
        if samples:
            print(name, {key: round(float(np.median(x)), 4) for key, x in decode(samples).items()})
