//! Tabulated photometry at any redshifts: parts of the table are made when a galaxy first needs them.

use std::collections::{BTreeMap, HashMap};

use rayon::prelude::*;

use super::params::Theta;
use super::photometry::covered;
use super::table::{PhotOptions, PhotTable};
use super::{SedError, SedModel};
use crate::filters::Filter;

/// Tables kept between calls, bytes.
const KEPT_BYTES: usize = 1 << 30;

/// A galaxy to evaluate.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Request {
    pub theta: Theta,
    pub zred: f64,
    pub birth_cloud_age_gyr: f64,
}

/// Where galaxies share a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Part {
    /// A cell of the grid in ln(1 + redshift), by number.
    Cell(u64),
    /// One redshift, by its bits.
    Redshift(u64),
}

/// A [`PhotTable`] without bounds, for galaxies that come in any order.
#[derive(Debug)]
pub struct PhotCache {
    model: SedModel,
    filters: Vec<Filter>,
    options: PhotOptions,
    parts: HashMap<Part, PhotTable>,
}

impl PhotCache {
    pub fn new(model: &SedModel, filters: &[Filter], options: PhotOptions) -> Self {
        Self { model: model.clone(), filters: filters.to_vec(), options, parts: HashMap::new() }
    }

    /// Nanomaggies of many galaxies, `[n][n_bands]`, on all threads.
    ///
    /// Errors with the first galaxy whose redshift or birth-cloud age has no meaning, or at whose
    /// redshift a band is not covered.
    pub fn nanomaggies(&mut self, requests: &[Request]) -> Result<Vec<f64>, SedError> {
        let mut dust = self.options.dust;
        let mut groups: BTreeMap<u64, Vec<usize>> = BTreeMap::new();
        for (i, request) in requests.iter().enumerate() {
            self.model.cosmology().check(request.zred)?;
            let [.., tau_bc, tau_ism, n_dust] = request.theta;
            dust = dust.including(tau_bc, tau_ism, n_dust);
            groups.entry((request.zred.ln_1p() / self.options.cell) as u64).or_default().push(i);
        }
        if dust != self.options.dust {
            self.options.dust = dust;
            self.parts.clear();
        }
        let groups: Vec<(Part, Vec<usize>)> =
            groups.into_iter().flat_map(|(cell, members)| self.split(cell, members, requests)).collect();
        let done: Vec<Done> =
            groups.into_par_iter().map(|group| self.evaluate(group, requests)).collect::<Result<_, _>>()?;
        let n_bands = self.filters.len();
        let mut out = vec![0.0; requests.len() * n_bands];
        if self.parts.values().map(PhotTable::bytes).sum::<usize>() > KEPT_BYTES {
            self.parts.clear();
        }
        for Done { part, table, members, nmgy } in done {
            self.parts.entry(part).or_insert(table);
            for (member, nmgy) in members.into_iter().zip(nmgy.chunks_exact(n_bands.max(1))) {
                out[member * n_bands..][..n_bands].copy_from_slice(nmgy);
            }
        }
        Ok(out)
    }

    /// Galaxies of one redshift get a table of it alone, which is better and cheaper; so do those of a
    /// cell that reaches beyond what the grid covers.
    fn split(&self, cell: u64, members: Vec<usize>, requests: &[Request]) -> Vec<(Part, Vec<usize>)> {
        let mut single: BTreeMap<u64, Vec<usize>> = BTreeMap::new();
        let (_, to) = self.edges(cell);
        let is_covered = self.filters.iter().all(|f| covered(f, &self.model.grid().wave_aa, to).is_ok());
        let first = requests[members[0]].zred;
        if is_covered && members.iter().any(|&i| requests[i].zred != first) {
            return vec![(Part::Cell(cell), members)];
        }
        for i in members {
            single.entry(requests[i].zred.to_bits()).or_default().push(i);
        }
        single.into_iter().map(|(bits, members)| (Part::Redshift(bits), members)).collect()
    }

    fn edges(&self, cell: u64) -> (f64, f64) {
        let edge = |i: u64| (i as f64 * self.options.cell).exp_m1();
        (edge(cell), edge(cell + 1))
    }

    fn evaluate(&self, (part, members): (Part, Vec<usize>), requests: &[Request]) -> Result<Done, SedError> {
        let table = match self.parts.get(&part) {
            Some(table) => table.clone(),
            None => {
                let range = match part {
                    Part::Cell(cell) => self.edges(cell),
                    Part::Redshift(bits) => (f64::from_bits(bits), f64::from_bits(bits)),
                };
                PhotTable::new(&self.model, &self.filters, range, &self.options)?
            }
        };
        let n_bands = self.filters.len();
        let mut nmgy = vec![0.0; members.len() * n_bands];
        let mut by_age: BTreeMap<u64, Vec<usize>> = BTreeMap::new();
        for (slot, &member) in members.iter().enumerate() {
            by_age.entry(requests[member].birth_cloud_age_gyr.to_bits()).or_default().push(slot);
        }
        let (least, most) = table.zred_range();
        for (age, slots) in by_age {
            let table = table.with_birth_cloud_age(f64::from_bits(age))?;
            let of = |slot: &usize| &requests[members[*slot]];
            let thetas: Vec<Theta> = slots.iter().map(|slot| of(slot).theta).collect();
            // The edges of cells come out of exp_m1, the redshifts of galaxies do not.
            let zred: Vec<f64> = slots.iter().map(|slot| of(slot).zred.clamp(least, most)).collect();
            let mut out = vec![0.0; slots.len() * n_bands];
            table.nanomaggies_batch(&thetas, &zred, &mut out)?;
            for (slot, out) in slots.into_iter().zip(out.chunks_exact(n_bands.max(1))) {
                nmgy[slot * n_bands..][..n_bands].copy_from_slice(out);
            }
        }
        Ok(Done { part, table, members, nmgy })
    }
}

/// What one part's galaxies came to.
struct Done {
    part: Part,
    table: PhotTable,
    members: Vec<usize>,
    nmgy: Vec<f64>,
}
