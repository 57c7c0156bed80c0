-- The first schema: everything needed to answer, years later, "what is known of this galaxy, and who
-- made it from what". One row of `dictionary` describes each column; `schema/README.md` is printed
-- from it.
--
-- Rules of this and every later migration:
--   * tables are STRICT; units are in column names; NULL has a stated meaning;
--   * times are UTC text (2026-01-31T12:00:00.000Z); JSON is text and checked; hashes are BLAKE3, 32 bytes;
--   * a BLOB column x that is not itself a hash has a companion x_hash, the hash of its bytes;
--   * products are immutable: what exists is never updated, and a set that is complete takes no more rows.

PRAGMA application_id = 1397048390; -- "SEDF"

CREATE TABLE dictionary (
    table_name   TEXT NOT NULL,
    column_name  TEXT NOT NULL,
    type         TEXT NOT NULL,
    unit         TEXT,
    ucd          TEXT,
    description  TEXT NOT NULL CHECK (length(description) > 0),
    null_meaning TEXT,
    PRIMARY KEY (table_name, column_name)
) STRICT, WITHOUT ROWID;

CREATE TABLE setting (
    key   TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- Runs: who made what ---------------------------------------------------------------------------

CREATE TABLE run (
    run_id          INTEGER PRIMARY KEY,
    command         TEXT NOT NULL,
    arguments       TEXT NOT NULL CHECK (json_type(arguments) = 'array'),
    config          TEXT NOT NULL CHECK (json_type(config) = 'object'),
    seed            INTEGER,
    program_version TEXT NOT NULL,
    git_commit      TEXT NOT NULL,
    host_arch       TEXT NOT NULL,
    host_os         TEXT NOT NULL,
    host_cores      INTEGER NOT NULL CHECK (host_cores > 0),
    process_id      INTEGER NOT NULL,
    started_utc     TEXT NOT NULL CHECK (started_utc GLOB '????-??-??T??:??:??.???Z'),
    ended_utc       TEXT CHECK (ended_utc GLOB '????-??-??T??:??:??.???Z'),
    state           TEXT NOT NULL CHECK (state IN ('running', 'done', 'failed', 'interrupted')),
    message         TEXT,
    resumes_run_id  INTEGER REFERENCES run,
    CHECK ((state IN ('running', 'interrupted')) OR ended_utc IS NOT NULL)
) STRICT;

CREATE TABLE run_input (
    run_id   INTEGER NOT NULL REFERENCES run,
    position INTEGER NOT NULL,
    kind     TEXT NOT NULL,
    name     TEXT NOT NULL,
    hash     BLOB NOT NULL CHECK (length(hash) = 32),
    n_bytes  INTEGER CHECK (n_bytes >= 0),
    PRIMARY KEY (run_id, position)
) STRICT, WITHOUT ROWID;
CREATE INDEX run_input_hash ON run_input (hash);

CREATE TABLE run_output (
    run_id   INTEGER NOT NULL REFERENCES run,
    position INTEGER NOT NULL,
    kind     TEXT NOT NULL,
    name     TEXT NOT NULL,
    hash     BLOB NOT NULL CHECK (length(hash) = 32),
    n_bytes  INTEGER CHECK (n_bytes >= 0),
    PRIMARY KEY (run_id, position)
) STRICT, WITHOUT ROWID;
CREATE INDEX run_output_hash ON run_output (hash);

-- Surveys, bands, galaxies ----------------------------------------------------------------------

CREATE TABLE filter_curve (
    filter_id     INTEGER PRIMARY KEY,
    hash          BLOB NOT NULL UNIQUE CHECK (length(hash) = 32),
    name          TEXT NOT NULL,
    wave_pivot_aa REAL NOT NULL CHECK (wave_pivot_aa > 0),
    n_wave        INTEGER NOT NULL CHECK (n_wave > 1),
    curve         BLOB NOT NULL CHECK (length(curve) = 16 * n_wave),
    curve_hash    BLOB NOT NULL CHECK (length(curve_hash) = 32),
    run_id        INTEGER NOT NULL REFERENCES run
) STRICT;

CREATE TABLE band_set (
    band_set_id INTEGER PRIMARY KEY,
    hash        BLOB NOT NULL UNIQUE CHECK (length(hash) = 32),
    name        TEXT NOT NULL,
    run_id      INTEGER NOT NULL REFERENCES run
) STRICT;

CREATE TABLE band (
    band_id     INTEGER PRIMARY KEY,
    band_set_id INTEGER NOT NULL REFERENCES band_set,
    position    INTEGER NOT NULL CHECK (position >= 0),
    name        TEXT NOT NULL,
    filter_id   INTEGER REFERENCES filter_curve,
    ucd         TEXT,
    UNIQUE (band_set_id, position),
    UNIQUE (band_set_id, name)
) STRICT;

CREATE TABLE survey (
    survey_id   INTEGER PRIMARY KEY,
    name        TEXT NOT NULL UNIQUE CHECK (length(name) > 0),
    band_set_id INTEGER NOT NULL REFERENCES band_set,
    description TEXT,
    reference   TEXT,
    run_id      INTEGER NOT NULL REFERENCES run
) STRICT;

CREATE TABLE ingest (
    ingest_id   INTEGER PRIMARY KEY,
    survey_id   INTEGER NOT NULL REFERENCES survey,
    run_id      INTEGER NOT NULL REFERENCES run,
    hash        BLOB NOT NULL UNIQUE CHECK (length(hash) = 32),
    file_name   TEXT NOT NULL,
    file_hash   BLOB NOT NULL CHECK (length(file_hash) = 32),
    n_bytes     INTEGER NOT NULL CHECK (n_bytes >= 0),
    format      TEXT NOT NULL,
    layout      TEXT NOT NULL,
    config      TEXT NOT NULL CHECK (json_type(config) = 'object'),
    extinction  TEXT NOT NULL,
    n_read      INTEGER NOT NULL DEFAULT 0 CHECK (n_read >= 0),
    n_kept      INTEGER NOT NULL DEFAULT 0 CHECK (n_kept >= 0),
    n_rejected  INTEGER NOT NULL DEFAULT 0 CHECK (n_rejected >= 0),
    complete    INTEGER NOT NULL DEFAULT 0 CHECK (complete IN (0, 1)),
    CHECK (n_read = n_kept + n_rejected)
) STRICT;

CREATE TABLE ingest_reject (
    ingest_id  INTEGER NOT NULL REFERENCES ingest,
    source_row INTEGER NOT NULL CHECK (source_row >= 0),
    reason     TEXT NOT NULL,
    detail     TEXT,
    object_id  TEXT,
    PRIMARY KEY (ingest_id, source_row)
) STRICT, WITHOUT ROWID;

CREATE TABLE ingest_count (
    ingest_id INTEGER NOT NULL REFERENCES ingest,
    item      TEXT NOT NULL,
    n         INTEGER NOT NULL CHECK (n >= 0),
    PRIMARY KEY (ingest_id, item)
) STRICT, WITHOUT ROWID;

CREATE TABLE extra_column (
    ingest_id   INTEGER NOT NULL REFERENCES ingest,
    position    INTEGER NOT NULL CHECK (position >= 0),
    name        TEXT NOT NULL,
    unit        TEXT,
    ucd         TEXT,
    description TEXT,
    PRIMARY KEY (ingest_id, position),
    UNIQUE (ingest_id, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE cut_rule (
    cut_id      INTEGER PRIMARY KEY,
    survey_id   INTEGER NOT NULL REFERENCES survey,
    bit         INTEGER NOT NULL CHECK (bit BETWEEN 0 AND 62),
    name        TEXT NOT NULL,
    definition  TEXT NOT NULL CHECK (json_type(definition) = 'object'),
    description TEXT NOT NULL,
    hash        BLOB NOT NULL CHECK (length(hash) = 32),
    run_id      INTEGER NOT NULL REFERENCES run,
    UNIQUE (survey_id, bit),
    UNIQUE (survey_id, hash)
) STRICT;

CREATE TABLE galaxy (
    galaxy_id    INTEGER PRIMARY KEY,
    survey_id    INTEGER NOT NULL REFERENCES survey,
    ingest_id    INTEGER NOT NULL REFERENCES ingest,
    source_row   INTEGER NOT NULL CHECK (source_row >= 0),
    object_id    TEXT NOT NULL CHECK (length(object_id) > 0),
    ra_deg       REAL CHECK (ra_deg >= 0 AND ra_deg < 360),
    dec_deg      REAL CHECK (dec_deg BETWEEN -90 AND 90),
    healpix29    INTEGER CHECK (healpix29 >= 0 AND healpix29 < 3458764513820540928),
    redshift     REAL CHECK (redshift > -1),
    redshift_err REAL CHECK (redshift_err >= 0),
    cuts_failed  INTEGER NOT NULL DEFAULT 0 CHECK (cuts_failed >= 0),
    extra        TEXT CHECK (json_type(extra) = 'object'),
    UNIQUE (survey_id, object_id),
    CHECK ((ra_deg IS NULL) = (dec_deg IS NULL) AND (ra_deg IS NULL) = (healpix29 IS NULL))
) STRICT;
CREATE INDEX galaxy_healpix29 ON galaxy (healpix29);
CREATE INDEX galaxy_redshift ON galaxy (redshift);

CREATE TABLE photometry (
    galaxy_id INTEGER NOT NULL REFERENCES galaxy,
    band_id   INTEGER NOT NULL REFERENCES band,
    flux_nmgy REAL,
    ivar_nmgy REAL CHECK (ivar_nmgy > 0),
    flags     INTEGER NOT NULL DEFAULT 0 CHECK (flags >= 0),
    PRIMARY KEY (galaxy_id, band_id),
    -- a measurement has an error; only an upper limit (flag 1) may come without one
    CHECK (flux_nmgy IS NULL AND ivar_nmgy IS NULL
           OR flux_nmgy IS NOT NULL AND (ivar_nmgy IS NOT NULL OR flags & 1))
) STRICT, WITHOUT ROWID;

-- Models, priors, noise -------------------------------------------------------------------------

CREATE TABLE ssp_grid (
    ssp_grid_id INTEGER PRIMARY KEY,
    hash        BLOB NOT NULL UNIQUE CHECK (length(hash) = 32),
    name        TEXT NOT NULL,
    imf         TEXT NOT NULL,
    isochrones  TEXT NOT NULL,
    library     TEXT NOT NULL,
    lsun_erg_s  REAL NOT NULL CHECK (lsun_erg_s > 0),
    grid        BLOB,
    grid_hash   BLOB CHECK (length(grid_hash) = 32),
    run_id      INTEGER NOT NULL REFERENCES run,
    CHECK ((grid IS NULL) = (grid_hash IS NULL))
) STRICT;

CREATE TABLE sed_model (
    sed_model_id INTEGER PRIMARY KEY,
    hash         BLOB NOT NULL UNIQUE CHECK (length(hash) = 32),
    name         TEXT NOT NULL,
    ssp_grid_id  INTEGER NOT NULL REFERENCES ssp_grid,
    definition   TEXT NOT NULL CHECK (json_type(definition) = 'object'),
    run_id       INTEGER NOT NULL REFERENCES run
) STRICT;

CREATE TABLE prior (
    prior_id   INTEGER PRIMARY KEY,
    hash       BLOB NOT NULL UNIQUE CHECK (length(hash) = 32),
    name       TEXT NOT NULL,
    definition TEXT NOT NULL CHECK (json_type(definition) = 'object'),
    run_id     INTEGER NOT NULL REFERENCES run
) STRICT;

CREATE TABLE prior_parameter (
    prior_id  INTEGER NOT NULL REFERENCES prior,
    position  INTEGER NOT NULL CHECK (position >= 0),
    parameter TEXT NOT NULL,
    kind      TEXT NOT NULL
              CHECK (kind IN ('uniform', 'log_uniform', 'normal', 'truncated_normal', 'dirichlet', 'fixed')),
    lower     REAL,
    upper     REAL,
    mean      REAL,
    sd        REAL CHECK (sd > 0),
    alpha     REAL CHECK (alpha > 0),
    value     REAL,
    PRIMARY KEY (prior_id, position),
    UNIQUE (prior_id, parameter),
    CHECK (lower < upper),
    CHECK (kind NOT IN ('uniform', 'truncated_normal') OR lower IS NOT NULL AND upper IS NOT NULL),
    CHECK (kind <> 'log_uniform' OR lower > 0 AND upper IS NOT NULL),
    CHECK (kind NOT IN ('normal', 'truncated_normal') OR mean IS NOT NULL AND sd IS NOT NULL),
    CHECK (kind <> 'dirichlet' OR alpha IS NOT NULL),
    CHECK (kind <> 'fixed' OR value IS NOT NULL)
) STRICT, WITHOUT ROWID;

CREATE TABLE noise_model (
    noise_model_id INTEGER PRIMARY KEY,
    hash           BLOB NOT NULL UNIQUE CHECK (length(hash) = 32),
    name           TEXT NOT NULL,
    source         TEXT NOT NULL,
    definition     TEXT NOT NULL CHECK (json_type(definition) = 'object'),
    run_id         INTEGER NOT NULL REFERENCES run
) STRICT;

CREATE TABLE noise_bin (
    noise_model_id INTEGER NOT NULL REFERENCES noise_model,
    filter_name    TEXT NOT NULL,
    mag            REAL NOT NULL,
    sigma_mag      REAL NOT NULL CHECK (sigma_mag >= 0),
    sigma_mag_sd   REAL NOT NULL CHECK (sigma_mag_sd >= 0),
    n_galaxies     INTEGER NOT NULL CHECK (n_galaxies >= 0),
    PRIMARY KEY (noise_model_id, filter_name, mag)
) STRICT, WITHOUT ROWID;

-- Training --------------------------------------------------------------------------------------

CREATE TABLE training_set (
    training_set_id INTEGER PRIMARY KEY,
    hash            BLOB NOT NULL UNIQUE CHECK (length(hash) = 32),
    name            TEXT UNIQUE,
    sed_model_id    INTEGER NOT NULL REFERENCES sed_model,
    prior_id        INTEGER NOT NULL REFERENCES prior,
    noise_model_id  INTEGER REFERENCES noise_model,
    band_set_id     INTEGER NOT NULL REFERENCES band_set,
    recipe          TEXT NOT NULL CHECK (json_type(recipe) = 'object'),
    seed            INTEGER NOT NULL,
    stored          INTEGER NOT NULL CHECK (stored IN (0, 1)),
    n_rows          INTEGER NOT NULL CHECK (n_rows > 0),
    content_hash    BLOB CHECK (length(content_hash) = 32),
    complete        INTEGER NOT NULL DEFAULT 0 CHECK (complete IN (0, 1)),
    run_id          INTEGER NOT NULL REFERENCES run
) STRICT;

CREATE TABLE training_chunk (
    training_chunk_id INTEGER PRIMARY KEY,
    training_set_id   INTEGER NOT NULL REFERENCES training_set,
    chunk             INTEGER NOT NULL CHECK (chunk >= 0),
    first_row         INTEGER NOT NULL CHECK (first_row >= 0),
    n_rows            INTEGER NOT NULL CHECK (n_rows > 0),
    data_hash         BLOB NOT NULL CHECK (length(data_hash) = 32),
    data              BLOB NOT NULL,
    UNIQUE (training_set_id, chunk)
) STRICT;

CREATE TABLE training_reject (
    training_set_id INTEGER NOT NULL REFERENCES training_set,
    chunk           INTEGER NOT NULL CHECK (chunk >= 0),
    reason          TEXT NOT NULL,
    n               INTEGER NOT NULL CHECK (n >= 0),
    PRIMARY KEY (training_set_id, chunk, reason)
) STRICT, WITHOUT ROWID;

CREATE TABLE training (
    training_id     INTEGER PRIMARY KEY,
    hash            BLOB NOT NULL UNIQUE CHECK (length(hash) = 32),
    name            TEXT,
    training_set_id INTEGER NOT NULL REFERENCES training_set,
    search          TEXT,
    trial           INTEGER CHECK (trial >= 0),
    config          TEXT NOT NULL CHECK (json_type(config) = 'object'),
    run_id          INTEGER NOT NULL REFERENCES run
) STRICT;

CREATE TABLE training_history (
    training_id       INTEGER NOT NULL REFERENCES training,
    epoch             INTEGER NOT NULL CHECK (epoch >= 0),
    n_examples        INTEGER NOT NULL CHECK (n_examples >= 0),
    train_ln_prob     REAL,
    valid_ln_prob     REAL,
    learning_rate     REAL NOT NULL,
    elapsed_s         REAL NOT NULL CHECK (elapsed_s >= 0),
    examples_per_s    REAL,
    note              TEXT,
    PRIMARY KEY (training_id, epoch)
) STRICT, WITHOUT ROWID;

CREATE TABLE training_state (
    training_id INTEGER PRIMARY KEY REFERENCES training,
    epoch       INTEGER NOT NULL CHECK (epoch >= 0),
    saved_utc   TEXT NOT NULL CHECK (saved_utc GLOB '????-??-??T??:??:??.???Z'),
    data_hash   BLOB NOT NULL CHECK (length(data_hash) = 32),
    data        BLOB NOT NULL
) STRICT;

CREATE TABLE checkpoint (
    checkpoint_id    INTEGER PRIMARY KEY,
    hash             BLOB NOT NULL UNIQUE CHECK (length(hash) = 32),
    name             TEXT UNIQUE,
    kind             TEXT NOT NULL CHECK (kind IN ('npe', 'nle')),
    architecture     TEXT NOT NULL,
    config           TEXT NOT NULL CHECK (json_type(config) = 'object'),
    training_id      INTEGER REFERENCES training,
    sed_model_id     INTEGER NOT NULL REFERENCES sed_model,
    prior_id         INTEGER NOT NULL REFERENCES prior,
    noise_model_id   INTEGER REFERENCES noise_model,
    band_set_id      INTEGER NOT NULL REFERENCES band_set,
    n_weights        INTEGER NOT NULL CHECK (n_weights > 0),
    valid_ln_prob    REAL,
    run_id           INTEGER NOT NULL REFERENCES run,
    data_hash        BLOB NOT NULL CHECK (length(data_hash) = 32),
    data             BLOB NOT NULL
) STRICT;

CREATE TABLE ensemble_member (
    ensemble      TEXT NOT NULL,
    position      INTEGER NOT NULL CHECK (position >= 0),
    checkpoint_id INTEGER NOT NULL REFERENCES checkpoint,
    weight        REAL NOT NULL CHECK (weight > 0),
    run_id        INTEGER NOT NULL REFERENCES run,
    PRIMARY KEY (ensemble, position)
) STRICT, WITHOUT ROWID;

CREATE TABLE validation (
    validation_id INTEGER PRIMARY KEY,
    hash          BLOB NOT NULL UNIQUE CHECK (length(hash) = 32),
    name          TEXT UNIQUE,
    checkpoint_id INTEGER NOT NULL REFERENCES checkpoint,
    config        TEXT NOT NULL CHECK (json_type(config) = 'object'),
    report        TEXT CHECK (json_type(report) = 'object'),
    run_id        INTEGER NOT NULL REFERENCES run,
    data_hash     BLOB CHECK (length(data_hash) = 32),
    data          BLOB,
    CHECK ((data IS NULL) = (data_hash IS NULL))
) STRICT;

CREATE TABLE validation_metric (
    validation_id INTEGER NOT NULL REFERENCES validation,
    metric        TEXT NOT NULL,
    parameter     TEXT NOT NULL DEFAULT '',
    subset        TEXT NOT NULL DEFAULT '',
    value         REAL NOT NULL,
    low           REAL,
    high          REAL,
    p_value       REAL CHECK (p_value BETWEEN 0 AND 1),
    PRIMARY KEY (validation_id, metric, parameter, subset)
) STRICT, WITHOUT ROWID;

-- Posteriors ------------------------------------------------------------------------------------

CREATE TABLE posterior_set (
    posterior_set_id INTEGER PRIMARY KEY,
    hash             BLOB NOT NULL UNIQUE CHECK (length(hash) = 32),
    name             TEXT NOT NULL UNIQUE CHECK (length(name) > 0),
    checkpoint_id    INTEGER REFERENCES checkpoint,
    sed_model_id     INTEGER NOT NULL REFERENCES sed_model,
    prior_id         INTEGER NOT NULL REFERENCES prior,
    config           TEXT NOT NULL CHECK (json_type(config) = 'object'),
    seed             INTEGER NOT NULL,
    n_draws          INTEGER NOT NULL CHECK (n_draws > 0),
    parameters       TEXT NOT NULL CHECK (json_type(parameters) = 'array'),
    content_hash     BLOB CHECK (length(content_hash) = 32),
    complete         INTEGER NOT NULL DEFAULT 0 CHECK (complete IN (0, 1)),
    run_id           INTEGER NOT NULL REFERENCES run
) STRICT;

CREATE TABLE posterior (
    posterior_id     INTEGER PRIMARY KEY,
    posterior_set_id INTEGER NOT NULL REFERENCES posterior_set,
    galaxy_id        INTEGER NOT NULL REFERENCES galaxy,
    method           TEXT CHECK (method IN ('npe', 'npe+is', 'mcmc')),
    reason           TEXT CHECK (length(reason) > 0),
    n_draws          INTEGER NOT NULL CHECK (n_draws >= 0),
    n_bands          INTEGER NOT NULL CHECK (n_bands >= 0),
    ess              REAL CHECK (ess >= 0),
    efficiency       REAL CHECK (efficiency BETWEEN 0 AND 1),
    pareto_k         REAL,
    ln_evidence      REAL,
    ln_evidence_err  REAL CHECK (ln_evidence_err >= 0),
    r_hat            REAL CHECK (r_hat >= 0),
    acceptance       REAL CHECK (acceptance BETWEEN 0 AND 1),
    ood_score        REAL,
    chi2_best        REAL CHECK (chi2_best >= 0),
    ppc_p_value      REAL CHECK (ppc_p_value BETWEEN 0 AND 1),
    codec            TEXT,
    codec_ks         REAL CHECK (codec_ks BETWEEN 0 AND 1),
    draws_hash       BLOB CHECK (length(draws_hash) = 32),
    samples_hash     BLOB CHECK (length(samples_hash) = 32),
    samples          BLOB,
    UNIQUE (posterior_set_id, galaxy_id),
    -- no row without an answer or a reason
    CHECK (method IS NOT NULL OR reason IS NOT NULL),
    CHECK ((method IS NULL) = (n_draws = 0)),
    CHECK ((samples IS NULL) = (samples_hash IS NULL) AND (samples IS NULL OR codec IS NOT NULL))
) STRICT;
CREATE INDEX posterior_galaxy ON posterior (galaxy_id);
CREATE INDEX posterior_reason ON posterior (posterior_set_id, reason) WHERE reason IS NOT NULL;

CREATE TABLE posterior_summary (
    posterior_id     INTEGER PRIMARY KEY REFERENCES posterior,
    posterior_set_id INTEGER NOT NULL REFERENCES posterior_set,
    galaxy_id        INTEGER NOT NULL REFERENCES galaxy,
    log_mstar_mean REAL, log_mstar_std REAL,
    log_mstar_q025 REAL, log_mstar_q16 REAL, log_mstar_q50 REAL,
    log_mstar_q84 REAL, log_mstar_q975 REAL, log_mstar_map REAL, log_mstar_edge_frac REAL,
    beta1_mean REAL, beta1_std REAL,
    beta1_q025 REAL, beta1_q16 REAL, beta1_q50 REAL,
    beta1_q84 REAL, beta1_q975 REAL, beta1_map REAL, beta1_edge_frac REAL,
    beta2_mean REAL, beta2_std REAL,
    beta2_q025 REAL, beta2_q16 REAL, beta2_q50 REAL,
    beta2_q84 REAL, beta2_q975 REAL, beta2_map REAL, beta2_edge_frac REAL,
    beta3_mean REAL, beta3_std REAL,
    beta3_q025 REAL, beta3_q16 REAL, beta3_q50 REAL,
    beta3_q84 REAL, beta3_q975 REAL, beta3_map REAL, beta3_edge_frac REAL,
    beta4_mean REAL, beta4_std REAL,
    beta4_q025 REAL, beta4_q16 REAL, beta4_q50 REAL,
    beta4_q84 REAL, beta4_q975 REAL, beta4_map REAL, beta4_edge_frac REAL,
    fburst_mean REAL, fburst_std REAL,
    fburst_q025 REAL, fburst_q16 REAL, fburst_q50 REAL,
    fburst_q84 REAL, fburst_q975 REAL, fburst_map REAL, fburst_edge_frac REAL,
    tburst_mean REAL, tburst_std REAL,
    tburst_q025 REAL, tburst_q16 REAL, tburst_q50 REAL,
    tburst_q84 REAL, tburst_q975 REAL, tburst_map REAL, tburst_edge_frac REAL,
    log_gamma1_mean REAL, log_gamma1_std REAL,
    log_gamma1_q025 REAL, log_gamma1_q16 REAL, log_gamma1_q50 REAL,
    log_gamma1_q84 REAL, log_gamma1_q975 REAL, log_gamma1_map REAL, log_gamma1_edge_frac REAL,
    log_gamma2_mean REAL, log_gamma2_std REAL,
    log_gamma2_q025 REAL, log_gamma2_q16 REAL, log_gamma2_q50 REAL,
    log_gamma2_q84 REAL, log_gamma2_q975 REAL, log_gamma2_map REAL, log_gamma2_edge_frac REAL,
    tau_bc_mean REAL, tau_bc_std REAL,
    tau_bc_q025 REAL, tau_bc_q16 REAL, tau_bc_q50 REAL,
    tau_bc_q84 REAL, tau_bc_q975 REAL, tau_bc_map REAL, tau_bc_edge_frac REAL,
    tau_ism_mean REAL, tau_ism_std REAL,
    tau_ism_q025 REAL, tau_ism_q16 REAL, tau_ism_q50 REAL,
    tau_ism_q84 REAL, tau_ism_q975 REAL, tau_ism_map REAL, tau_ism_edge_frac REAL,
    n_dust_mean REAL, n_dust_std REAL,
    n_dust_q025 REAL, n_dust_q16 REAL, n_dust_q50 REAL,
    n_dust_q84 REAL, n_dust_q975 REAL, n_dust_map REAL, n_dust_edge_frac REAL,
    log_sfr_1gyr_mean REAL, log_sfr_1gyr_std REAL,
    log_sfr_1gyr_q025 REAL, log_sfr_1gyr_q16 REAL, log_sfr_1gyr_q50 REAL,
    log_sfr_1gyr_q84 REAL, log_sfr_1gyr_q975 REAL, log_sfr_1gyr_map REAL, log_sfr_1gyr_edge_frac REAL,
    log_sfr_100myr_mean REAL, log_sfr_100myr_std REAL,
    log_sfr_100myr_q025 REAL, log_sfr_100myr_q16 REAL, log_sfr_100myr_q50 REAL,
    log_sfr_100myr_q84 REAL, log_sfr_100myr_q975 REAL, log_sfr_100myr_map REAL, log_sfr_100myr_edge_frac REAL,
    log_z_mw_mean REAL, log_z_mw_std REAL,
    log_z_mw_q025 REAL, log_z_mw_q16 REAL, log_z_mw_q50 REAL,
    log_z_mw_q84 REAL, log_z_mw_q975 REAL, log_z_mw_map REAL, log_z_mw_edge_frac REAL,
    t_age_mw_gyr_mean REAL, t_age_mw_gyr_std REAL,
    t_age_mw_gyr_q025 REAL, t_age_mw_gyr_q16 REAL, t_age_mw_gyr_q50 REAL,
    t_age_mw_gyr_q84 REAL, t_age_mw_gyr_q975 REAL, t_age_mw_gyr_map REAL, t_age_mw_gyr_edge_frac REAL,
    log_mstar_surviving_mean REAL, log_mstar_surviving_std REAL,
    log_mstar_surviving_q025 REAL, log_mstar_surviving_q16 REAL, log_mstar_surviving_q50 REAL,
    log_mstar_surviving_q84 REAL, log_mstar_surviving_q975 REAL, log_mstar_surviving_map REAL, log_mstar_surviving_edge_frac REAL,
    UNIQUE (posterior_set_id, galaxy_id)
) STRICT;
CREATE INDEX posterior_summary_galaxy ON posterior_summary (galaxy_id);
-- every median can be filtered and sorted by index; about 20 bytes each beside 1.3 kB of row
CREATE INDEX posterior_summary_log_mstar ON posterior_summary (posterior_set_id, log_mstar_q50);
CREATE INDEX posterior_summary_beta1 ON posterior_summary (posterior_set_id, beta1_q50);
CREATE INDEX posterior_summary_beta2 ON posterior_summary (posterior_set_id, beta2_q50);
CREATE INDEX posterior_summary_beta3 ON posterior_summary (posterior_set_id, beta3_q50);
CREATE INDEX posterior_summary_beta4 ON posterior_summary (posterior_set_id, beta4_q50);
CREATE INDEX posterior_summary_fburst ON posterior_summary (posterior_set_id, fburst_q50);
CREATE INDEX posterior_summary_tburst ON posterior_summary (posterior_set_id, tburst_q50);
CREATE INDEX posterior_summary_log_gamma1 ON posterior_summary (posterior_set_id, log_gamma1_q50);
CREATE INDEX posterior_summary_log_gamma2 ON posterior_summary (posterior_set_id, log_gamma2_q50);
CREATE INDEX posterior_summary_tau_bc ON posterior_summary (posterior_set_id, tau_bc_q50);
CREATE INDEX posterior_summary_tau_ism ON posterior_summary (posterior_set_id, tau_ism_q50);
CREATE INDEX posterior_summary_n_dust ON posterior_summary (posterior_set_id, n_dust_q50);
CREATE INDEX posterior_summary_log_sfr_1gyr ON posterior_summary (posterior_set_id, log_sfr_1gyr_q50);
CREATE INDEX posterior_summary_log_sfr_100myr ON posterior_summary (posterior_set_id, log_sfr_100myr_q50);
CREATE INDEX posterior_summary_log_z_mw ON posterior_summary (posterior_set_id, log_z_mw_q50);
CREATE INDEX posterior_summary_t_age_mw_gyr ON posterior_summary (posterior_set_id, t_age_mw_gyr_q50);
CREATE INDEX posterior_summary_log_mstar_surviving ON posterior_summary (posterior_set_id, log_mstar_surviving_q50);

CREATE TABLE release (
    release_id       INTEGER PRIMARY KEY,
    hash             BLOB NOT NULL UNIQUE CHECK (length(hash) = 32),
    name             TEXT NOT NULL UNIQUE CHECK (length(name) > 0),
    posterior_set_id INTEGER NOT NULL REFERENCES posterior_set,
    file_name        TEXT NOT NULL,
    licence          TEXT,
    citation         TEXT,
    doi              TEXT,
    manifest         TEXT NOT NULL CHECK (json_type(manifest) = 'object'),
    run_id           INTEGER NOT NULL REFERENCES run
) STRICT;

-- One list of all products, for walking from any of them back to its run ------------------------

CREATE VIEW product (kind, id, name, hash, run_id) AS
    SELECT 'filter', filter_id, name, hash, run_id FROM filter_curve
    UNION ALL SELECT 'band-set', band_set_id, name, hash, run_id FROM band_set
    UNION ALL SELECT 'ingest', ingest_id, file_name, hash, run_id FROM ingest
    UNION ALL SELECT 'ssp-grid', ssp_grid_id, name, hash, run_id FROM ssp_grid
    UNION ALL SELECT 'sed-model', sed_model_id, name, hash, run_id FROM sed_model
    UNION ALL SELECT 'prior', prior_id, name, hash, run_id FROM prior
    UNION ALL SELECT 'noise-model', noise_model_id, name, hash, run_id FROM noise_model
    UNION ALL SELECT 'training-set', training_set_id, name, hash, run_id FROM training_set
    UNION ALL SELECT 'training', training_id, name, hash, run_id FROM training
    UNION ALL SELECT 'checkpoint', checkpoint_id, name, hash, run_id FROM checkpoint
    UNION ALL SELECT 'validation', validation_id, name, hash, run_id FROM validation
    UNION ALL SELECT 'posterior-set', posterior_set_id, name, hash, run_id FROM posterior_set
    UNION ALL SELECT 'release', release_id, name, hash, run_id FROM release;

-- Immutability ----------------------------------------------------------------------------------

CREATE TRIGGER run_input_is_immutable BEFORE UPDATE ON run_input
BEGIN SELECT RAISE(ABORT, 'run_input rows are immutable: a changed product is a new one'); END;
CREATE TRIGGER run_output_is_immutable BEFORE UPDATE ON run_output
BEGIN SELECT RAISE(ABORT, 'run_output rows are immutable: a changed product is a new one'); END;
CREATE TRIGGER filter_curve_is_immutable BEFORE UPDATE ON filter_curve
BEGIN SELECT RAISE(ABORT, 'filter_curve rows are immutable: a changed product is a new one'); END;
CREATE TRIGGER band_set_is_immutable BEFORE UPDATE ON band_set
BEGIN SELECT RAISE(ABORT, 'band_set rows are immutable: a changed product is a new one'); END;
CREATE TRIGGER band_is_immutable BEFORE UPDATE ON band
BEGIN SELECT RAISE(ABORT, 'band rows are immutable: a changed product is a new one'); END;
CREATE TRIGGER ingest_reject_is_immutable BEFORE UPDATE ON ingest_reject
BEGIN SELECT RAISE(ABORT, 'ingest_reject rows are immutable: a changed product is a new one'); END;
CREATE TRIGGER extra_column_is_immutable BEFORE UPDATE ON extra_column
BEGIN SELECT RAISE(ABORT, 'extra_column rows are immutable: a changed product is a new one'); END;
CREATE TRIGGER cut_rule_is_immutable BEFORE UPDATE ON cut_rule
BEGIN SELECT RAISE(ABORT, 'cut_rule rows are immutable: a changed product is a new one'); END;
CREATE TRIGGER galaxy_is_immutable BEFORE UPDATE ON galaxy
BEGIN SELECT RAISE(ABORT, 'galaxy rows are immutable: a changed product is a new one'); END;
CREATE TRIGGER photometry_is_immutable BEFORE UPDATE ON photometry
BEGIN SELECT RAISE(ABORT, 'photometry rows are immutable: a changed product is a new one'); END;
CREATE TRIGGER ssp_grid_is_immutable BEFORE UPDATE ON ssp_grid
BEGIN SELECT RAISE(ABORT, 'ssp_grid rows are immutable: a changed product is a new one'); END;
CREATE TRIGGER sed_model_is_immutable BEFORE UPDATE ON sed_model
BEGIN SELECT RAISE(ABORT, 'sed_model rows are immutable: a changed product is a new one'); END;
CREATE TRIGGER prior_is_immutable BEFORE UPDATE ON prior
BEGIN SELECT RAISE(ABORT, 'prior rows are immutable: a changed product is a new one'); END;
CREATE TRIGGER prior_parameter_is_immutable BEFORE UPDATE ON prior_parameter
BEGIN SELECT RAISE(ABORT, 'prior_parameter rows are immutable: a changed product is a new one'); END;
CREATE TRIGGER noise_model_is_immutable BEFORE UPDATE ON noise_model
BEGIN SELECT RAISE(ABORT, 'noise_model rows are immutable: a changed product is a new one'); END;
CREATE TRIGGER noise_bin_is_immutable BEFORE UPDATE ON noise_bin
BEGIN SELECT RAISE(ABORT, 'noise_bin rows are immutable: a changed product is a new one'); END;
CREATE TRIGGER training_chunk_is_immutable BEFORE UPDATE ON training_chunk
BEGIN SELECT RAISE(ABORT, 'training_chunk rows are immutable: a changed product is a new one'); END;
CREATE TRIGGER training_reject_is_immutable BEFORE UPDATE ON training_reject
BEGIN SELECT RAISE(ABORT, 'training_reject rows are immutable: a changed product is a new one'); END;
CREATE TRIGGER training_is_immutable BEFORE UPDATE ON training
BEGIN SELECT RAISE(ABORT, 'training rows are immutable: a changed product is a new one'); END;
CREATE TRIGGER training_history_is_immutable BEFORE UPDATE ON training_history
BEGIN SELECT RAISE(ABORT, 'training_history rows are immutable: a changed product is a new one'); END;
CREATE TRIGGER ensemble_member_is_immutable BEFORE UPDATE ON ensemble_member
BEGIN SELECT RAISE(ABORT, 'ensemble_member rows are immutable: a changed product is a new one'); END;
CREATE TRIGGER validation_is_immutable BEFORE UPDATE ON validation
BEGIN SELECT RAISE(ABORT, 'validation rows are immutable: a changed product is a new one'); END;
CREATE TRIGGER validation_metric_is_immutable BEFORE UPDATE ON validation_metric
BEGIN SELECT RAISE(ABORT, 'validation_metric rows are immutable: a changed product is a new one'); END;
CREATE TRIGGER posterior_is_immutable BEFORE UPDATE ON posterior
BEGIN SELECT RAISE(ABORT, 'posterior rows are immutable: a changed product is a new one'); END;
CREATE TRIGGER posterior_summary_is_immutable BEFORE UPDATE ON posterior_summary
BEGIN SELECT RAISE(ABORT, 'posterior_summary rows are immutable: a changed product is a new one'); END;
CREATE TRIGGER release_is_immutable BEFORE UPDATE ON release
BEGIN SELECT RAISE(ABORT, 'release rows are immutable: a changed product is a new one'); END;
-- a checkpoint may be given or lose its name, nothing else
CREATE TRIGGER checkpoint_is_immutable BEFORE UPDATE OF
    checkpoint_id, hash, kind, architecture, config, training_id, sed_model_id, prior_id, noise_model_id,
    band_set_id, n_weights, valid_ln_prob, run_id, data_hash, data ON checkpoint
BEGIN SELECT RAISE(ABORT, 'checkpoint rows are immutable: a changed product is a new one'); END;
CREATE TRIGGER complete_ingest_is_immutable BEFORE UPDATE ON ingest WHEN OLD.complete
BEGIN SELECT RAISE(ABORT, 'this ingest is complete and immutable'); END;
CREATE TRIGGER complete_training_set_is_immutable BEFORE UPDATE ON training_set WHEN OLD.complete
BEGIN SELECT RAISE(ABORT, 'this training_set is complete and immutable'); END;
CREATE TRIGGER complete_posterior_set_is_immutable BEFORE UPDATE ON posterior_set WHEN OLD.complete
BEGIN SELECT RAISE(ABORT, 'this posterior_set is complete and immutable'); END;
CREATE TRIGGER complete_ingest_takes_no_galaxy BEFORE INSERT ON galaxy
WHEN (SELECT complete FROM ingest WHERE ingest_id = NEW.ingest_id)
BEGIN SELECT RAISE(ABORT, 'this ingest is complete and immutable'); END;
CREATE TRIGGER complete_training_set_takes_no_training_chunk BEFORE INSERT ON training_chunk
WHEN (SELECT complete FROM training_set WHERE training_set_id = NEW.training_set_id)
BEGIN SELECT RAISE(ABORT, 'this training_set is complete and immutable'); END;
CREATE TRIGGER complete_posterior_set_takes_no_posterior BEFORE INSERT ON posterior
WHEN (SELECT complete FROM posterior_set WHERE posterior_set_id = NEW.posterior_set_id)
BEGIN SELECT RAISE(ABORT, 'this posterior_set is complete and immutable'); END;
CREATE TRIGGER complete_posterior_set_takes_no_posterior_summary BEFORE INSERT ON posterior_summary
WHEN (SELECT complete FROM posterior_set WHERE posterior_set_id = NEW.posterior_set_id)
BEGIN SELECT RAISE(ABORT, 'this posterior_set is complete and immutable'); END;
CREATE TRIGGER ended_run_is_immutable BEFORE UPDATE ON run WHEN OLD.state IN ('done', 'failed')
BEGIN SELECT RAISE(ABORT, 'this run has ended and is immutable'); END;
