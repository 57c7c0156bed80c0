-- Medians with their galaxy: a condition on medians and columns of galaxies is answered from the index, and the 1.3 kB
-- of summary beside it are read for what is found alone.

DROP INDEX posterior_summary_log_mstar;
CREATE INDEX posterior_summary_log_mstar ON posterior_summary (posterior_set_id, log_mstar_q50, galaxy_id);
DROP INDEX posterior_summary_beta1;
CREATE INDEX posterior_summary_beta1 ON posterior_summary (posterior_set_id, beta1_q50, galaxy_id);
DROP INDEX posterior_summary_beta2;
CREATE INDEX posterior_summary_beta2 ON posterior_summary (posterior_set_id, beta2_q50, galaxy_id);
DROP INDEX posterior_summary_beta3;
CREATE INDEX posterior_summary_beta3 ON posterior_summary (posterior_set_id, beta3_q50, galaxy_id);
DROP INDEX posterior_summary_beta4;
CREATE INDEX posterior_summary_beta4 ON posterior_summary (posterior_set_id, beta4_q50, galaxy_id);
DROP INDEX posterior_summary_fburst;
CREATE INDEX posterior_summary_fburst ON posterior_summary (posterior_set_id, fburst_q50, galaxy_id);
DROP INDEX posterior_summary_tburst;
CREATE INDEX posterior_summary_tburst ON posterior_summary (posterior_set_id, tburst_q50, galaxy_id);
DROP INDEX posterior_summary_log_gamma1;
CREATE INDEX posterior_summary_log_gamma1 ON posterior_summary (posterior_set_id, log_gamma1_q50, galaxy_id);
DROP INDEX posterior_summary_log_gamma2;
CREATE INDEX posterior_summary_log_gamma2 ON posterior_summary (posterior_set_id, log_gamma2_q50, galaxy_id);
DROP INDEX posterior_summary_tau_bc;
CREATE INDEX posterior_summary_tau_bc ON posterior_summary (posterior_set_id, tau_bc_q50, galaxy_id);
DROP INDEX posterior_summary_tau_ism;
CREATE INDEX posterior_summary_tau_ism ON posterior_summary (posterior_set_id, tau_ism_q50, galaxy_id);
DROP INDEX posterior_summary_n_dust;
CREATE INDEX posterior_summary_n_dust ON posterior_summary (posterior_set_id, n_dust_q50, galaxy_id);
DROP INDEX posterior_summary_log_sfr_1gyr;
CREATE INDEX posterior_summary_log_sfr_1gyr ON posterior_summary (posterior_set_id, log_sfr_1gyr_q50, galaxy_id);
DROP INDEX posterior_summary_log_sfr_100myr;
CREATE INDEX posterior_summary_log_sfr_100myr ON posterior_summary (posterior_set_id, log_sfr_100myr_q50, galaxy_id);
DROP INDEX posterior_summary_log_z_mw;
CREATE INDEX posterior_summary_log_z_mw ON posterior_summary (posterior_set_id, log_z_mw_q50, galaxy_id);
DROP INDEX posterior_summary_t_age_mw_gyr;
CREATE INDEX posterior_summary_t_age_mw_gyr ON posterior_summary (posterior_set_id, t_age_mw_gyr_q50, galaxy_id);
DROP INDEX posterior_summary_log_mstar_surviving;
CREATE INDEX posterior_summary_log_mstar_surviving
    ON posterior_summary (posterior_set_id, log_mstar_surviving_q50, galaxy_id);
