//! The one parameter table, priors as data, and the map between parameters and normal coordinates.
//!
//! Every free parameter goes through its prior's cumulative distribution and then through the
//! inverse normal one; the four SFH weights through three stick-breaking fractions. In these
//! coordinates `u` the prior is a standard normal, a draw can never leave the prior, and a change of
//! prior is a change of this map. Fixed parameters drop out of `u`.

mod batch;
mod density;

use rand::{Rng, RngExt};
use rand_distr::{Distribution, StandardNormal};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::hash::ContentHash;
use crate::special::{beta_cdf_pq, beta_quantile_pq, ln_gamma, norm_cdf, norm_ln_pdf, norm_quantile_pq};

pub use batch::ThetaMap;
pub use density::Density;

/// Parameters of the SED model.
pub const N_PARAM: usize = 12;

/// One row of the parameter table.
#[derive(Debug, Clone, Copy)]
pub struct ParamInfo {
    /// The name in every table and file.
    pub name: &'static str,
    /// For axis labels; a `_` begins a subscript.
    pub symbol: &'static str,
    pub unit: &'static str,
    /// The values for which the SED model is defined (closed interval).
    pub bounds: (f64, f64),
    pub description: &'static str,
}

/// The 12 parameters of the SED model, in the order of every parameter row.
pub const PARAMS: [ParamInfo; N_PARAM] = [
    row("log_mstar", "log M_form", "log(Msun)", (0.0, 20.0), "log10 of the stellar mass formed"),
    row("beta1", "β₁", "", (0.0, 1.0), "weight of the first star-formation-history basis"),
    row("beta2", "β₂", "", (0.0, 1.0), "weight of the second star-formation-history basis"),
    row("beta3", "β₃", "", (0.0, 1.0), "weight of the third star-formation-history basis"),
    row("beta4", "β₄", "", (0.0, 1.0), "weight of the fourth star-formation-history basis"),
    row("fburst", "f_burst", "", (0.0, 1.0), "fraction of the mass formed in the burst"),
    row("tburst", "t_burst", "Gyr", (1e-6, 14.0), "lookback time of the burst"),
    row("log_gamma1", "log γ₁", "", (-12.0, 0.0), "log10 weight of the first metallicity-history basis"),
    row("log_gamma2", "log γ₂", "", (-12.0, 0.0), "log10 weight of the second metallicity-history basis"),
    row("tau_bc", "τ_BC", "", (0.0, 100.0), "optical depth at 5500 A of the birth clouds"),
    row("tau_ism", "τ_ISM", "", (0.0, 100.0), "optical depth at 5500 A of the diffuse medium"),
    row("n_dust", "n_dust", "", (-10.0, 10.0), "slope offset of the diffuse attenuation curve"),
];

const fn row(
    name: &'static str,
    symbol: &'static str,
    unit: &'static str,
    bounds: (f64, f64),
    description: &'static str,
) -> ParamInfo {
    ParamInfo { name, symbol, unit, bounds, description }
}

/// Redshifts for which a prior may be stated.
const ZRED_BOUNDS: (f64, f64) = (0.0, 20.0);
/// Where `beta1..beta4` stand in a parameter row.
pub const BETA: usize = 1;

/// Index of a parameter by name.
pub fn param_index(name: &str) -> Option<usize> {
    PARAMS.iter().position(|info| info.name == name)
}

#[derive(Debug, Error)]
pub enum PriorError {
    #[error("prior of {param}: lower bound {lower} is not below upper bound {upper}")]
    CrossedBounds { param: String, lower: f64, upper: f64 },
    #[error("prior of {param}: {what} is {found}, expected {expected}")]
    Value { param: String, what: &'static str, found: f64, expected: &'static str },
    #[error(
        "prior of {param}: its support {lower}..{upper} reaches outside {}..{}, where the model is defined",
        bounds.0, bounds.1
    )]
    Support { param: String, lower: f64, upper: f64, bounds: (f64, f64) },
    #[error("fixed beta1..beta4 sum to {found}, expected 1")]
    BetaSum { found: f64 },
    #[error("{param} = {value} is outside its prior ({lower}..{upper})")]
    Outside { param: &'static str, value: f64, lower: f64, upper: f64 },
    #[error("not a prior: {0}")]
    Json(#[from] serde_json::Error),
    #[error("every parameter is fixed, so there is nothing to infer")]
    NothingFree,
}

/// The prior of the four SFH weights, which sum to 1.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum BetaPrior {
    /// Density proportional to the product of `beta_i^(alpha_i - 1)`; all ones is flat.
    Dirichlet {
        alpha: [f64; 4],
    },
    Fixed {
        value: [f64; 4],
    },
}

/// A prior as people write it: one entry per parameter, in JSON.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PriorSpec {
    pub log_mstar: Density,
    pub beta: BetaPrior,
    pub fburst: Density,
    pub tburst: Density,
    pub log_gamma1: Density,
    pub log_gamma2: Density,
    pub tau_bc: Density,
    pub tau_ism: Density,
    pub n_dust: Density,
    /// Redshifts of simulated galaxies; a condition of the posterior, not one of its parameters.
    pub zred: Density,
}

impl Default for PriorSpec {
    /// The prior of SEDflow (Hahn & Melchior 2022, table 1), redshift uniform in 0..0.2.
    fn default() -> Self {
        let uniform = |lower, upper| Density::Uniform { lower, upper };
        let log_gamma = uniform(4.5e-5_f64.log10(), 1.5e-2_f64.log10());
        Self {
            log_mstar: uniform(7.0, 12.5),
            beta: BetaPrior::Dirichlet { alpha: [1.0; 4] },
            fburst: uniform(0.0, 1.0),
            tburst: uniform(0.01, 13.27),
            log_gamma1: log_gamma,
            log_gamma2: log_gamma,
            tau_bc: uniform(0.0, 3.0),
            tau_ism: uniform(0.0, 3.0),
            n_dust: uniform(-2.0, 1.0),
            zred: uniform(0.0, 0.2),
        }
    }
}

impl PriorSpec {
    /// Scalar parameters with their place in a parameter row.
    fn scalars(&self) -> [(usize, &Density); 8] {
        [
            (0, &self.log_mstar),
            (5, &self.fburst),
            (6, &self.tburst),
            (7, &self.log_gamma1),
            (8, &self.log_gamma2),
            (9, &self.tau_bc),
            (10, &self.tau_ism),
            (11, &self.n_dust),
        ]
    }

    /// The entry of a scalar parameter or of `zred`, to be changed.
    pub fn scalar_mut(&mut self, name: &str) -> Option<&mut Density> {
        Some(match name {
            "log_mstar" => &mut self.log_mstar,
            "fburst" => &mut self.fburst,
            "tburst" => &mut self.tburst,
            "log_gamma1" => &mut self.log_gamma1,
            "log_gamma2" => &mut self.log_gamma2,
            "tau_bc" => &mut self.tau_bc,
            "tau_ism" => &mut self.tau_ism,
            "n_dust" => &mut self.n_dust,
            "zred" => &mut self.zred,
            _ => return None,
        })
    }
}

/// One free coordinate (or three, for the SFH weights) of the map.
#[derive(Debug, Clone, Copy)]
enum Block {
    Scalar { param: usize, density: Density },
    Dirichlet { alpha: [f64; 4] },
}

/// A checked prior and its map between parameter rows and coordinates.
#[derive(Debug, Clone)]
pub struct Prior {
    spec: PriorSpec,
    /// Free blocks in the order of the parameters.
    blocks: Vec<Block>,
    /// A row with the fixed values filled in, zero elsewhere.
    template: [f64; N_PARAM],
    n_free: usize,
}

impl Default for Prior {
    fn default() -> Self {
        Self::from_checked(PriorSpec::default())
    }
}

impl Prior {
    /// Checks that every density is proper and inside the bounds of the parameter table.
    pub fn new(spec: PriorSpec) -> Result<Self, PriorError> {
        for (param, density) in spec.scalars() {
            density.check(PARAMS[param].name, PARAMS[param].bounds)?;
        }
        spec.zred.check("zred", ZRED_BOUNDS)?;
        match spec.beta {
            BetaPrior::Dirichlet { alpha } => {
                for found in alpha {
                    if !(found.is_finite() && found > 0.0) {
                        let (what, expected) = ("alpha", "a positive number");
                        return Err(PriorError::Value { param: "beta".into(), what, found, expected });
                    }
                }
            }
            BetaPrior::Fixed { value } => {
                for found in value {
                    if !(0.0..=1.0).contains(&found) {
                        let (what, expected) = ("value", "0 to 1");
                        return Err(PriorError::Value { param: "beta".into(), what, found, expected });
                    }
                }
                let found: f64 = value.iter().sum();
                if (found - 1.0).abs() > 1e-9 {
                    return Err(PriorError::BetaSum { found });
                }
            }
        }
        let prior = Self::from_checked(spec);
        if prior.n_free == 0 { Err(PriorError::NothingFree) } else { Ok(prior) }
    }

    fn from_checked(spec: PriorSpec) -> Self {
        let mut blocks = Vec::new();
        let mut template = [0.0; N_PARAM];
        for (param, &density) in spec.scalars() {
            match density {
                Density::Fixed { value } => template[param] = value,
                _ => blocks.push(Block::Scalar { param, density }),
            }
        }
        match spec.beta {
            BetaPrior::Fixed { value } => template[BETA..BETA + 4].copy_from_slice(&value),
            BetaPrior::Dirichlet { alpha } => {
                let after_mass = blocks
                    .iter()
                    .take_while(|block| matches!(block, Block::Scalar { param, .. } if *param < BETA))
                    .count();
                blocks.insert(after_mass, Block::Dirichlet { alpha });
            }
        }
        let n_free = blocks.iter().map(Block::width).sum();
        Self { spec, blocks, template, n_free }
    }

    /// From JSON text, checked.
    pub fn from_json(text: &str) -> Result<Self, PriorError> {
        Self::new(serde_json::from_str(text)?)
    }

    /// Canonical JSON: the same prior always gives the same text.
    pub fn to_json(&self) -> Result<String, PriorError> {
        Ok(serde_json::to_string(&self.spec)?)
    }

    pub fn spec(&self) -> &PriorSpec {
        &self.spec
    }

    /// Content address of the canonical JSON.
    pub fn hash(&self) -> Result<ContentHash, PriorError> {
        Ok(ContentHash::of_bytes(self.to_json()?.as_bytes()))
    }

    /// Number of coordinates of `u`: 11 unless something is fixed.
    pub fn n_free(&self) -> usize {
        self.n_free
    }

    /// Names of the coordinates: the parameter's, or `stick1..stick3` for the SFH weights.
    pub fn free_names(&self) -> Vec<&'static str> {
        let mut names = Vec::with_capacity(self.n_free);
        for block in &self.blocks {
            match block {
                Block::Scalar { param, .. } => names.push(PARAMS[*param].name),
                Block::Dirichlet { .. } => names.extend(["stick1", "stick2", "stick3"]),
            }
        }
        names
    }

    /// True where the parameter has one value only.
    pub fn is_fixed(&self, param: usize) -> bool {
        !self.blocks.iter().any(|block| match block {
            Block::Scalar { param: free, .. } => *free == param,
            Block::Dirichlet { .. } => (BETA..BETA + 4).contains(&param),
        })
    }

    /// Support of one parameter; infinite where the prior is.
    pub fn support(&self, param: usize) -> (f64, f64) {
        for block in &self.blocks {
            match block {
                Block::Scalar { param: free, density } if *free == param => return density.support(),
                Block::Dirichlet { .. } if (BETA..BETA + 4).contains(&param) => return (0.0, 1.0),
                _ => {}
            }
        }
        (self.template[param], self.template[param])
    }

    /// Redshifts the prior allows.
    pub fn zred_support(&self) -> (f64, f64) {
        self.spec.zred.support()
    }

    /// The parameter row at coordinates `u` `[n_free]`: always strictly inside the prior.
    pub fn theta(&self, u: &[f64]) -> [f64; N_PARAM] {
        debug_assert_eq!(u.len(), self.n_free);
        let mut theta = self.template;
        let mut at = 0;
        for block in &self.blocks {
            match block {
                Block::Scalar { param, density } => theta[*param] = density.from_normal(u[at]),
                Block::Dirichlet { alpha } => {
                    theta[BETA..BETA + 4].copy_from_slice(&break_stick(alpha, &u[at..at + 3]));
                }
            }
            at += block.width();
        }
        theta
    }

    /// The coordinates `[n_free]` of a parameter row; the inverse of [`Prior::theta`].
    ///
    /// A value on the edge of the prior, whose coordinate would be infinite, gets the coordinate of
    /// the nearest value inside. Errors with [`PriorError::Outside`] for a row outside the prior.
    pub fn latent(&self, theta: &[f64; N_PARAM]) -> Result<Vec<f64>, PriorError> {
        let mut u = Vec::with_capacity(self.n_free);
        for block in &self.blocks {
            match block {
                Block::Scalar { param, density } => {
                    let (value, (lower, upper)) = (theta[*param], density.support());
                    if !(lower..=upper).contains(&value) {
                        let param = PARAMS[*param].name;
                        return Err(PriorError::Outside { param, value, lower, upper });
                    }
                    u.push(density.to_normal(value));
                }
                Block::Dirichlet { alpha } => {
                    let beta = &theta[BETA..BETA + 4];
                    let sum: f64 = beta.iter().sum();
                    for (i, &value) in beta.iter().enumerate() {
                        if !(0.0..=1.0).contains(&value) || (sum - 1.0).abs() > 1e-5 {
                            let param = PARAMS[BETA + i].name;
                            return Err(PriorError::Outside { param, value, lower: 0.0, upper: 1.0 });
                        }
                    }
                    u.extend(unbreak_stick(alpha, beta));
                }
            }
        }
        Ok(u)
    }

    /// Natural log of the prior density at a parameter row, with respect to the free parameters
    /// (`beta4` follows from the other three); minus infinity outside.
    pub fn ln_density(&self, theta: &[f64; N_PARAM]) -> f64 {
        self.blocks
            .iter()
            .map(|block| match block {
                Block::Scalar { param, density } => density.ln_density(theta[*param]),
                Block::Dirichlet { alpha } => ln_dirichlet(alpha, &theta[BETA..BETA + 4]),
            })
            .sum()
    }

    /// `ln |d theta / d u|` at coordinates `u`: what is subtracted from a density in `u` to give
    /// the density in the free parameters.
    pub fn ln_jacobian(&self, u: &[f64]) -> f64 {
        // The prior density is the standard normal one in u, so the Jacobian is their ratio.
        self.ln_density_latent(u) - self.ln_density(&self.theta(u))
    }

    /// Natural log of the prior density in coordinates: a standard normal.
    pub fn ln_density_latent(&self, u: &[f64]) -> f64 {
        u.iter().map(|&u| norm_ln_pdf(u)).sum()
    }

    /// A draw of the coordinates `[n_free]`.
    pub fn draw_latent(&self, rng: &mut impl Rng, u: &mut [f64]) {
        u.iter_mut().for_each(|u| *u = StandardNormal.sample(rng));
    }

    /// A draw of a parameter row.
    pub fn draw(&self, rng: &mut impl Rng) -> [f64; N_PARAM] {
        let mut u = vec![0.0; self.n_free];
        self.draw_latent(rng, &mut u);
        self.theta(&u)
    }

    /// A draw of the redshift.
    pub fn draw_zred(&self, rng: &mut impl Rng) -> f64 {
        let p: f64 = rng.random();
        self.spec.zred.quantile_pq(p, 1.0 - p)
    }

    /// Prior quantile of one parameter (of its marginal, for the SFH weights).
    pub fn quantile(&self, param: usize, p: f64) -> f64 {
        for block in &self.blocks {
            match block {
                Block::Scalar { param: free, density } if *free == param => {
                    return density.quantile_pq(p, 1.0 - p);
                }
                Block::Dirichlet { alpha } if (BETA..BETA + 4).contains(&param) => {
                    let a = alpha[param - BETA];
                    return beta_quantile_pq(p, 1.0 - p, a, alpha.iter().sum::<f64>() - a).0;
                }
                _ => {}
            }
        }
        self.template[param]
    }

    /// Prior density of one parameter on its own (its marginal, for the SFH weights); for plots.
    pub fn marginal_density(&self, param: usize, value: f64) -> f64 {
        for block in &self.blocks {
            match block {
                Block::Scalar { param: free, density } if *free == param => {
                    return density.ln_density(value).exp();
                }
                Block::Dirichlet { alpha } if (BETA..BETA + 4).contains(&param) => {
                    let a = alpha[param - BETA];
                    let b = alpha.iter().sum::<f64>() - a;
                    if !(0.0..=1.0).contains(&value) {
                        return 0.0;
                    }
                    return ((a - 1.0) * value.ln() + (b - 1.0) * (-value).ln_1p()
                        - crate::special::ln_beta(a, b))
                    .exp();
                }
                _ => {}
            }
        }
        0.0
    }

    /// The map for many rows in f32, for draws of a flow.
    pub fn theta_map(&self) -> ThetaMap {
        ThetaMap::new(self)
    }
}

impl Block {
    fn width(&self) -> usize {
        match self {
            Block::Scalar { .. } => 1,
            Block::Dirichlet { .. } => 3,
        }
    }
}

/// Fractions of the stick left after each break have beta distributions (Connor & Mosimann 1969).
fn stick_shapes(alpha: &[f64; 4]) -> [(f64, f64); 3] {
    [(alpha[0], alpha[1] + alpha[2] + alpha[3]), (alpha[1], alpha[2] + alpha[3]), (alpha[2], alpha[3])]
}

/// The smallest share of a stick: keeps every weight positive and every coordinate finite.
const SHARE_MIN: f64 = 1e-15;

fn break_stick(alpha: &[f64; 4], u: &[f64]) -> [f64; 4] {
    let mut beta = [0.0; 4];
    let mut left = 1.0;
    for (i, (a, b)) in stick_shapes(alpha).into_iter().enumerate() {
        let (taken, rest) = beta_quantile_pq(norm_cdf(u[i]), norm_cdf(-u[i]), a, b);
        beta[i] = left * taken.clamp(SHARE_MIN, 1.0 - SHARE_MIN);
        left *= rest.clamp(SHARE_MIN, 1.0 - SHARE_MIN);
    }
    beta[3] = left;
    beta
}

fn unbreak_stick(alpha: &[f64; 4], beta: &[f64]) -> [f64; 3] {
    let mut u = [0.0; 3];
    // What is left after each break, summed from the small end so that nothing cancels.
    let left = [beta[0] + beta[1] + beta[2] + beta[3], beta[1] + beta[2] + beta[3], beta[2] + beta[3]];
    let rest = [left[1], left[2], beta[3]];
    for (i, (a, b)) in stick_shapes(alpha).into_iter().enumerate() {
        let share = if left[i] > 0.0 { beta[i] / left[i] } else { 0.5 };
        let rest = if left[i] > 0.0 { rest[i] / left[i] } else { 0.5 };
        // The smaller of the two shares carries the digits.
        let (p, q) = if share <= rest {
            beta_cdf_pq(share.max(SHARE_MIN), a, b)
        } else {
            let (q, p) = beta_cdf_pq(rest.max(SHARE_MIN), b, a);
            (p, q)
        };
        u[i] = norm_quantile_pq(p, q);
    }
    u
}

fn ln_dirichlet(alpha: &[f64; 4], beta: &[f64]) -> f64 {
    if beta.iter().any(|b| !(0.0..=1.0).contains(b)) {
        return f64::NEG_INFINITY;
    }
    let norm = ln_gamma(alpha.iter().sum()) - alpha.iter().map(|&a| ln_gamma(a)).sum::<f64>();
    let body = |(&a, &b): (&f64, &f64)| if a == 1.0 { 0.0 } else { (a - 1.0) * b.ln() };
    norm + alpha.iter().zip(beta).map(body).sum::<f64>()
}

#[cfg(test)]
mod tests;
