"""Makes files as other programs write them: a chain of emcee as .npz, an MCMC file of provabgs.

python3 chains.py FOLDER
"""

import sys
from pathlib import Path

import emcee
import h5py
import numpy as np

folder = Path(sys.argv[1])
rng = np.random.default_rng(1)
centre = np.array([10.5, 0.2, 0.3, 0.1, 0.4, 0.1, 3.0, 0.003, 0.002, 0.5, 0.4, -0.3])
width = np.abs(centre) * 0.02


def ln_prob(x):
    return -0.5 * np.sum(((x - centre) / width) ** 2)


sampler = emcee.EnsembleSampler(32, 12, ln_prob)
sampler.run_mcmc(centre + 0.1 * width * rng.standard_normal((32, 12)), 250)
chain = sampler.get_chain()
chain[..., 1:5] /= chain[..., 1:5].sum(axis=-1, keepdims=True)
names = "logmstar beta1_sfh beta2_sfh beta3_sfh beta4_sfh fburst tburst gamma1_zh gamma2_zh dust1 dust2 dust_index"
np.savez_compressed(folder / "emcee.npz", chain=chain, names=np.array(names.split()))
with h5py.File(folder / "provabgs.hdf5", "w") as file:
    file.create_dataset("mcmc_chain0", data=chain)
    file.create_dataset("log_prob0", data=sampler.get_log_prob())
    file.create_dataset("theta_bestfit", data=centre)
    file.create_dataset("redshift", data=0.05)
