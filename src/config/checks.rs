//! Values that are right by themselves, and do not go together or with this machine.

use std::time::Duration;

use super::source::Gathered;
use super::{Config, ConfigError, Role};

/// What is less than that rounds to nothing.
const MIN_TOKEN_EXPIRATION: Duration = Duration::from_millis(1);
/// A hundred years: long enough for "never", and the key file can name the day.
const MAX_TOKEN_EXPIRATION: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// Of the listeners.
pub(super) fn addresses(config: &Config, found: &mut Gathered) {
    apart(config, found);
    exposure(config, found);
}

/// Of everything else that needs no look at this machine.
pub(super) fn values(config: &Config, found: &mut Gathered) {
    workers(config, found);
    token_expiration(config, found);
}

/// Inference and management may share one listener, as in TorchServe; nothing else may.
fn apart(config: &Config, found: &mut Gathered) {
    let roles =
        Role::ALL.into_iter().filter(|role| config.enable_metrics_api || *role != Role::Metrics);
    let roles: Vec<Role> = roles.collect();
    for (at, role) in roles.iter().enumerate() {
        let address = config.address(*role);
        for earlier in &roles[..at] {
            let other = config.address(*earlier);
            let shared = *earlier == Role::Inference && *role == Role::Management;
            if !address.collides(other) || (shared && address == other) {
                continue;
            }
            let fix = if shared {
                "write both alike to share one listener, or choose another port"
            } else {
                "choose another port; only inference and management may share one"
            };
            let problem = format!("{address} is taken by {} ({other}); {fix}", earlier.key());
            found.errors.push(error_about(*role, found, problem));
        }
    }
}

/// Not by accident: anybody who reaches an open management API can change the models.
fn exposure(config: &Config, found: &mut Gathered) {
    let exposed = !config.management.is_loopback() && config.disable_token_authorization;
    if exposed && !config.allow_open_management {
        let problem = format!(
            "other machines can reach {}, and token authorization is off: anybody there could \
             change the models; listen on 127.0.0.1, leave token authorization on, or say that \
             this is wanted: allow_open_management=true",
            config.management
        );
        found.errors.push(error_about(Role::Management, found, problem));
    }
}

fn workers(config: &Config, found: &mut Gathered) {
    if let Some(setting) = found.settings.get("default_workers_per_model")
        && config.default_workers_per_model.is_some_and(|workers| workers > config.workers_max)
    {
        let expected = format!("at most workers_max ({}); raise that first", config.workers_max);
        found.errors.push(setting.wrong(&expected));
    }
}

/// 0 is not "never": every key would be expired when it is made.
fn token_expiration(config: &Config, found: &mut Gathered) {
    if let Some(setting) = found.settings.get("token_expiration_min")
        && !(MIN_TOKEN_EXPIRATION..=MAX_TOKEN_EXPIRATION).contains(&config.token_expiration)
    {
        let most = MAX_TOKEN_EXPIRATION.as_secs() / 60;
        let expected = format!("minutes, more than 0 and at most {most}");
        found.errors.push(setting.wrong(&expected));
    }
}

/// A server without a folder of models can serve nothing: TorchServe refuses to start, so do we.
pub(super) fn model_store(config: &Config, found: &mut Gathered) {
    let fix = "give a folder with .mar files: model_store=DIR in the file, or --model-store DIR";
    let Some(path) = &config.model_store else {
        // A file that could not be read may have set it: one message is enough then.
        if found.unread {
            return;
        }
        found.errors.push(ConfigError::unset("model_store", format!("is not set; {fix}")));
        return;
    };
    let Some(setting) = found.settings.get("model_store") else { return };
    let shown = path.display();
    if !path.exists() {
        let here = if path.is_relative() { " in the working directory" } else { "" };
        found.errors.push(setting.error(format!("{shown} does not exist{here}; {fix}")));
    } else if !path.is_dir() {
        found.errors.push(setting.error(format!("{shown} is not a directory; {fix}")));
    }
}

/// An error about an address, at the place where it was set.
fn error_about(role: Role, found: &Gathered, problem: String) -> ConfigError {
    match found.settings.get(role.key()) {
        Some(setting) => setting.error(problem),
        None => ConfigError::unset(role.key(), problem),
    }
}
