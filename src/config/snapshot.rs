//! Which snapshot is restored at the start, and what the snapshots of this server will hold.
//!
//! Called by `mod.rs`. TorchServe restores its latest snapshot unless it is told not to, so that an
//! edited `config.properties` has no effect; here a snapshot is restored only when it is asked for:
//!
//! - `model_snapshot` in the configuration file, as in TorchServe: `--ts-config SNAPSHOT.cfg` starts
//!   from a whole snapshot, settings and models;
//! - `restore_snapshot=FILE` (`--snapshot FILE`): the models of that file, the settings of this one;
//! - `restore_snapshot=latest` (`--snapshot`): the same with the latest one in the folder; with none
//!   there, as without it. It wins over `model_snapshot`, which is then what the first start has.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use super::Config;
use super::error::{ConfigError, Note};
use super::parse;
use super::properties::Properties;
use super::source::{Gathered, Setting, read_text};
use super::typed::Typed;
use crate::snapshot::{ModelSnapshot, SnapshotFolder};

/// The settings in force as texts, for snapshots. Shown without values: one may be a password.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Effective(BTreeMap<String, String>);

/// The value of `restore_snapshot` for the newest one.
const LATEST: &str = "latest";
/// Where snapshots are without `LOG_LOCATION`; TorchServe's.
pub(super) const LOGS: &str = "logs";

/// TorchServe's folder of snapshots.
pub(super) fn folder(log_location: Option<&Path>) -> SnapshotFolder {
    SnapshotFolder::new(log_location.unwrap_or(Path::new(LOGS)).join("config"))
}

/// The models to start with, if a snapshot is asked for.
pub(super) fn restore(
    config: &Config,
    typed: &Typed,
    found: &mut Gathered,
) -> Option<ModelSnapshot> {
    let asked = match find(config, typed, found)? {
        Ok(asked) => asked,
        Err(error) => {
            found.errors.push(error);
            return None;
        }
    };
    let read = ModelSnapshot::read(&asked.json)
        .and_then(|snapshot| check_workers(&snapshot, config).map(|()| snapshot));
    match read {
        Ok(snapshot) => {
            if let Some(setting) = found.settings.get("load_models") {
                let Setting { origin, key, .. } = setting;
                found.notes.push(Note::notice(format!(
                    "{origin}: {key}: has no effect: the models of the snapshot {} are restored",
                    asked.place
                )));
            }
            Some(snapshot)
        }
        Err(problem) => {
            let place = asked.place;
            found.errors.push(ConfigError::at(place, format!("model_snapshot: {problem}")));
            None
        }
    }
}

/// A snapshot that is to be restored.
struct Asked {
    json: serde_json::Value,
    /// Where it stands.
    place: String,
}

/// None when nothing is asked for.
fn find(
    config: &Config,
    typed: &Typed,
    found: &mut Gathered,
) -> Option<Result<Asked, ConfigError>> {
    let folder = folder(config.log_location.as_deref());
    if let Some(wish) = typed.text("restore_snapshot") {
        let setting = found.settings.get("restore_snapshot")?;
        let file = match wish.as_str() {
            LATEST => match folder.latest() {
                Ok(latest) => latest,
                Err(error) => {
                    let shown = folder.path().display();
                    let problem = format!("{shown} cannot be read: {error}; name a file instead");
                    return Some(Err(setting.error(problem)));
                }
            },
            file => Some(locate(file, &folder)),
        };
        if let Some(file) = file {
            return Some(read_file(&file).map_err(|problem| setting.error(problem)));
        }
        found.notes.push(Note::notice(format!(
            "{}: {}: there is no snapshot in {} yet",
            setting.origin,
            setting.key,
            folder.path().display()
        )));
    }
    let json = typed.json("model_snapshot")?.clone();
    let place = found.settings.get("model_snapshot")?.origin.clone();
    Some(Ok(Asked { json, place }))
}

/// A path, or the name of a file in the folder.
fn locate(file: &str, folder: &SnapshotFolder) -> PathBuf {
    let in_folder = folder.path().join(file);
    let path = PathBuf::from(file);
    if !path.is_file() && in_folder.is_file() { in_folder } else { path }
}

/// The snapshot in a file; its other settings are not looked at.
fn read_file(path: &Path) -> Result<Asked, String> {
    let shown = path.display();
    let fix = "name a file that a server has written to logs/config, or `latest`";
    let text = read_text(path).map_err(|problem| format!("{shown} {problem}; {fix}"))?;
    let entries = Properties::read(&text).entries;
    let value = entries
        .into_iter()
        .rfind(|entry| entry.key == "model_snapshot")
        .ok_or_else(|| format!("{shown} is no snapshot: it has no model_snapshot; {fix}"))?;
    let json = parse::json(&value.value)
        .map_err(|expected| format!("{shown}: model_snapshot: expected {expected}"))?;
    Ok(Asked { json, place: shown.to_string() })
}

fn check_workers(snapshot: &ModelSnapshot, config: &Config) -> Result<(), String> {
    let most = i64::try_from(config.workers_max.get()).unwrap_or(i64::MAX);
    for (name, version, model) in snapshot.iter() {
        if let Some(workers) = model.min_workers.max(model.max_workers)
            && workers > most
        {
            return Err(format!(
                "models: {name}: {version}: {workers} workers are more than workers_max ({most}); \
                 raise that first"
            ));
        }
    }
    Ok(())
}

// === impl Effective ===

impl Effective {
    /// What was found, as it was written: a `$$NAME$$` stays one, so that what the variable holds is
    /// not copied to the disk. A password from the environment is left out for the same reason.
    pub(super) fn of(found: &Gathered) -> Effective {
        let mut effective = BTreeMap::new();
        for setting in found.settings.values().chain(&found.cors) {
            let from_environment = setting.line.is_none() && setting.origin.contains("variable");
            let secret = setting.key == "keystore_pass" && from_environment;
            // What was restored is replaced by what is registered; asking for it is for this start.
            let of_this_start = matches!(&*setting.key, "model_snapshot" | "restore_snapshot");
            if !secret && !of_this_start {
                let template = found.templates.get(&setting.origin);
                let value = template.unwrap_or(&setting.value).clone();
                effective.insert(setting.key.clone(), value);
            }
        }
        if let Some(file) = &found.file {
            effective.insert("tsConfigFile".to_owned(), file.display().to_string());
        }
        Effective(effective)
    }

    /// The settings by key.
    pub fn as_map(&self) -> &BTreeMap<String, String> {
        &self.0
    }
}

impl fmt::Debug for Effective {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::cli::Overrides;
    use crate::config::ConfigErrors;
    use crate::snapshot::{Moment, SnapshotModel};

    const MODELS: &str = r#"{"name":"x","modelCount":1,"models":{"m":{"1.0":{"marName":"m.mar","minWorkers":1,"maxWorkers":2}}}}"#;

    struct Scene {
        folder: tempfile::TempDir,
        snapshot: Option<String>,
    }

    impl Scene {
        fn new(text: &str) -> Scene {
            let folder = tempfile::tempdir().unwrap();
            fs::write(folder.path().join("c"), text).unwrap();
            Scene { folder, snapshot: None }
        }

        fn load(&self) -> Result<Config, ConfigErrors> {
            let overrides = Overrides {
                ts_config: Some(self.folder.path().join("c")),
                model_store: Some(self.folder.path().into()),
                snapshot: self.snapshot.clone(),
                ..Overrides::default()
            };
            let variable = |name: &str, value: String| (name.to_owned(), value);
            let logs = self.folder.path().join("logs").display().to_string();
            let environment = BTreeMap::from([
                variable("LOG_LOCATION", logs),
                variable("SECRET", "hunter2".to_owned()),
                variable("TS_KEYSTORE_PASS", "hunter3".to_owned()),
            ]);
            Config::load(&overrides, &environment)
        }

        fn error(&self) -> String {
            self.load().unwrap_err().to_string()
        }
    }

    fn names(config: &Config) -> Vec<&str> {
        config.restore.iter().flat_map(ModelSnapshot::iter).map(|(name, _, _)| name).collect()
    }

    #[test]
    fn nothing_is_restored_that_is_not_asked_for() {
        let scene = Scene::new("load_models=m.mar");
        let snapshots = scene.load().unwrap().snapshots.unwrap();
        assert_eq!(snapshots.path(), scene.folder.path().join("logs/config"));
        let other = SnapshotModel { mar_name: "o.mar".to_owned(), ..SnapshotModel::default() };
        let models = BTreeMap::from([("o".to_owned(), BTreeMap::from([("1".to_owned(), other)]))]);
        let now = std::time::SystemTime::now();
        snapshots.write(Moment::Startup, now, &BTreeMap::new(), &models).unwrap();
        assert_eq!(scene.load().unwrap().restore, None);
        let asking = Scene { snapshot: Some(LATEST.to_owned()), ..scene };
        let config = asking.load().unwrap();
        assert_eq!(names(&config), ["o"]);
        let said: Vec<String> = config.notes.into_iter().map(|note| note.text).collect();
        assert!(said.iter().any(|text| text.contains("load_models: has no effect")), "{said:?}");
    }

    #[test]
    fn the_latest_snapshot_wins_over_the_files_own_which_is_for_the_first_start() {
        let mut scene = Scene::new(&format!("model_snapshot={MODELS}"));
        assert_eq!(names(&scene.load().unwrap()), ["m"]);
        scene.snapshot = Some(LATEST.to_owned());
        let config = scene.load().unwrap();
        assert_eq!(names(&config), ["m"]);
        assert!(config.notes.iter().any(|note| note.text.contains("there is no snapshot in")));
        config.snapshots.unwrap();
        let latest = scene.folder.path().join("logs/config/20200101000000000-snapshot.cfg");
        fs::create_dir_all(latest.parent().unwrap()).unwrap();
        fs::write(
            &latest,
            "model_snapshot={\"models\"\\:{\"n\"\\:{\"1\"\\:{\"marName\"\\:\"n\"}}}}",
        )
        .unwrap();
        assert_eq!(names(&scene.load().unwrap()), ["n"]);
        scene.snapshot = Some("20200101000000000-snapshot.cfg".to_owned());
        assert_eq!(names(&scene.load().unwrap()), ["n"]);
    }

    #[test]
    fn what_cannot_be_restored_stops_the_start_with_its_place() {
        let error = Scene::new("model_snapshot={\"models\": 1}").error();
        assert!(error.contains("/c:1: model_snapshot: models: is no object"), "{error}");
        let many = MODELS.replace("\"maxWorkers\":2", "\"maxWorkers\":300");
        let error = Scene::new(&format!("model_snapshot={many}")).error();
        assert!(error.contains("m: 1.0: 300 workers are more than workers_max (256)"), "{error}");
        let error = Scene::new("restore_snapshot=gone.cfg").error();
        assert!(error.contains("c:1: restore_snapshot: gone.cfg cannot be read"), "{error}");
        let scene = Scene::new("job_queue_size=1");
        let itself = scene.folder.path().join("c").display().to_string();
        let error = Scene { snapshot: Some(itself), ..scene }.error();
        assert!(
            error.contains("--snapshot: restore_snapshot: ") && error.contains("is no snapshot")
        );
    }

    #[test]
    fn snapshots_hold_what_is_set_and_no_secret_of_the_environment() {
        let scene = Scene::new(&format!(
            "enable_envvars_config=true\njob_queue_size=7\ndefault_service_handler=$$SECRET$$\n\
             cors.allowed.origin=https://a.example\nmodel_snapshot={MODELS}\n"
        ));
        let config = scene.load().unwrap();
        let text = format!("{:?}", config.effective.as_map());
        assert!(!text.contains("hunter") && !text.contains("model_snapshot"), "{text}");
        let get = |key: &str| config.effective.as_map().get(key).map(String::as_str);
        assert_eq!(get("default_service_handler"), Some("$$SECRET$$"));
        assert_eq!(get("job_queue_size"), Some("7"));
        assert_eq!(get("cors.allowed.origin"), Some("https://a.example"));
        let store = scene.folder.path().display().to_string();
        assert_eq!(get("model_store"), Some(&*store));
        assert_eq!(get("tsConfigFile"), Some(&*format!("{store}/c")));
        let shown = format!("{:?}", config.effective);
        assert!(shown.contains("job_queue_size") && !shown.contains("https://a.example"));
    }
}
