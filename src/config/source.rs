//! Where settings come from: file, command line, environment, and which of them wins.
//!
//! Called by `mod.rs`. TorchServe's order, from weak to strong: built-in defaults, the file, the
//! command line, `TS_<KEY>` variables; the last only where the file says
//! `enable_envvars_config=true`. The only file of the project that reads the environment.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use ::config::{Map, Value};

use super::cors;
use super::error::{ConfigError, Note};
use super::interpolate::interpolate;
use super::keys::{self, EnvName, Key};
use super::parse;
use super::properties::{Entry, Properties, ROOT, under_root};
use crate::cli::Overrides;

/// Largest configuration file in bytes; a larger one is something else.
const MAX_FILE_SIZE: u64 = 1 << 20;

/// The file in the working directory that is used when no other is named.
const DEFAULT_FILE: &str = "config.properties";

/// The environment, so that tests can pass a map.
pub trait Environment {
    /// The value of a variable; none when it is unset or not Unicode.
    fn get(&self, name: &str) -> Option<String>;
}

/// The environment of this process.
#[derive(Debug, Clone, Copy, Default)]
pub struct ProcessEnvironment;

/// One value, and where it comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// The key.
    pub key: String,
    /// The value, with `$$NAME$$` replaced.
    pub value: String,
    /// `config.properties:12`, `--model-store` or `environment variable TS_MODEL_STORE`.
    pub origin: String,
    /// The line in the file, from 1; none for other origins.
    pub line: Option<usize>,
}

/// Everything that was found, before any value is given a type.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    /// The file that was read; none for the built-in defaults alone.
    pub(super) file: Option<PathBuf>,
    /// True when a file was named and could not be read: nothing is known to be unset then.
    pub(super) unread: bool,
    /// One setting per key that is not of the CORS vocabulary: the strongest.
    pub(super) settings: BTreeMap<String, Setting>,
    /// The CORS settings in their order, duplicates included; the room `cors` judges them.
    pub(super) cors: Vec<Setting>,
    /// What stood in the file where a `$$NAME$$` was replaced, by origin.
    pub(super) templates: BTreeMap<String, String>,
    pub(super) notes: Vec<Note>,
    pub(super) errors: Vec<ConfigError>,
}

/// One source in the order of strength.
#[derive(Debug, Clone)]
struct Layer(Vec<Setting>);

// === impl Environment ===

impl Environment for ProcessEnvironment {
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the environment")]
    fn get(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }
}

impl Environment for BTreeMap<String, String> {
    fn get(&self, name: &str) -> Option<String> {
        BTreeMap::get(self, name).cloned()
    }
}

/// Where archives are unpacked: `TEMP` as TorchServe's launcher reads it, else the system's folder.
pub fn temp_dir(environment: &dyn Environment) -> PathBuf {
    match environment.get("TEMP").filter(|path| !path.is_empty()) {
        Some(path) => PathBuf::from(path),
        None => std::env::temp_dir(),
    }
}

// === impl Setting ===

impl Setting {
    /// A setting that is not from a file.
    pub(super) fn new(key: &str, value: &str, origin: &str) -> Setting {
        let (key, value, origin) = (key.to_string(), value.to_string(), origin.to_string());
        Setting { key, value, origin, line: None }
    }

    /// The error for a value that could not be read.
    pub(super) fn wrong(&self, expected: &str) -> ConfigError {
        self.error(parse::got_expected(&self.value, expected))
    }

    /// An error about this setting.
    pub(super) fn error(&self, problem: impl Into<String>) -> ConfigError {
        ConfigError {
            origin: Some(self.origin.clone()),
            line: self.line,
            key: Some(self.key.clone()),
            problem: problem.into(),
        }
    }
}

// === impl Layer ===

impl ::config::Source for Layer {
    fn clone_into_box(&self) -> Box<dyn ::config::Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Map<String, Value>, ::config::ConfigError> {
        Ok(under_root(self.0.iter().map(|setting| {
            (setting.key.clone(), Value::new(Some(&setting.origin), setting.value.as_str()))
        })))
    }
}

// === impl Gathered ===

impl Gathered {
    /// Collects all sources.
    pub(super) fn gather(overrides: &Overrides, environment: &dyn Environment) -> Gathered {
        let mut gathered = Gathered::default();
        gathered.file = gathered.choose_file(overrides, environment);
        gathered.collect(overrides, environment);
        gathered
    }

    /// Collects this file and the variables that it lets in; nothing else can replace the file.
    pub(super) fn of_file(file: &Path, environment: &dyn Environment) -> Gathered {
        let mut gathered = Gathered { file: Some(file.to_path_buf()), ..Gathered::default() };
        gathered.collect(&Overrides::default(), environment);
        gathered
    }

    fn collect(&mut self, overrides: &Overrides, environment: &dyn Environment) {
        let mut file = match self.file.clone() {
            Some(path) => self.read_file(&path, environment),
            None => Vec::new(),
        };
        self.warn_of_duplicates(&file);
        self.cors = file.extract_if(.., |setting| cors::is_key(&setting.key)).collect();
        let enabled = |name: &str| {
            let setting = file.iter().rfind(|setting| setting.key == name);
            setting.is_some_and(|setting| parse::boolean(&setting.value) == Ok(true))
        };
        let all_variables = enabled("enable_envvars_config");
        if all_variables {
            cors::override_from(environment, &mut self.cors);
        }
        let variables = keys::all()
            .filter(|key| match key.env {
                EnvName::Always(_) => true,
                EnvName::Gated(gate) => all_variables && enabled(gate),
                _ => all_variables,
            })
            .filter_map(|key| from_environment(key, environment))
            .collect();
        self.merge([Layer(file), Layer(from_command_line(overrides)), Layer(variables)]);
    }

    /// `TS_CONFIG_FILE`, else `--ts-config`, else `./config.properties` where it exists. Snapshots
    /// are not looked for: a restart must not silently prefer an old state to the edited file.
    fn choose_file(
        &mut self,
        overrides: &Overrides,
        environment: &dyn Environment,
    ) -> Option<PathBuf> {
        let variable = environment.get("TS_CONFIG_FILE").filter(|path| !path.is_empty());
        if let (Some(variable), Some(flag)) = (&variable, &overrides.ts_config)
            && Path::new(variable) != flag
        {
            self.notes.push(Note::warning(format!(
                "--ts-config {} is not used: the environment variable TS_CONFIG_FILE={variable} \
                 comes first; unset it to use the flag",
                flag.display()
            )));
        }
        let (path, origin) = match (variable, &overrides.ts_config) {
            (Some(path), _) => (PathBuf::from(path), "TS_CONFIG_FILE"),
            (None, Some(path)) => (path.clone(), "--ts-config"),
            (None, None) => {
                return Some(PathBuf::from(DEFAULT_FILE)).filter(|path| path.is_file());
            }
        };
        if path.is_file() {
            return Some(path);
        }
        let problem = format!("file not found: {}; give the path of a file", path.display());
        self.errors.push(ConfigError::at(origin, problem));
        self.unread = true;
        None
    }

    /// The properties of the file, `$$NAME$$` replaced; every problem goes to `errors`.
    fn read_file(&mut self, path: &Path, environment: &dyn Environment) -> Vec<Setting> {
        let name = path.display().to_string();
        let text = match read_text(path) {
            Ok(text) => text,
            Err(problem) => {
                self.errors.push(ConfigError::at(name, problem));
                self.unread = true;
                return Vec::new();
            }
        };
        let properties = Properties::read(&text);
        self.errors.extend(properties.errors.into_iter().map(|error| {
            let place = format!("{name}:{}", error.line);
            ConfigError { line: Some(error.line), ..ConfigError::at(place, error.problem) }
        }));
        let mut settings = Vec::with_capacity(properties.entries.len());
        for Entry { key, value, line } in properties.entries {
            let origin = format!("{name}:{line}");
            let mut setting = Setting { key, value, origin, line: Some(line) };
            match interpolate(&setting.value, environment) {
                Ok(value) => {
                    let template = std::mem::replace(&mut setting.value, value);
                    if template != setting.value {
                        self.templates.insert(setting.origin.clone(), template);
                    }
                    settings.push(setting);
                }
                Err(problem) => self.errors.push(setting.error(problem)),
            }
        }
        settings
    }

    /// Java silently takes the last of equal keys. For CORS keys it is an error, said elsewhere.
    fn warn_of_duplicates(&mut self, file: &[Setting]) {
        let mut last: BTreeMap<&str, &Setting> = BTreeMap::new();
        for setting in file.iter().filter(|setting| !cors::is_key(&setting.key)) {
            if let Some(before) = last.insert(&setting.key, setting) {
                self.notes.push(Note::warning(format!(
                    "{}: {}: is set on line {} already; the last one is used, remove the other",
                    setting.origin,
                    setting.key,
                    before.line.unwrap_or(0),
                )));
            }
        }
    }

    /// The strongest value of each key, through the crate `config`.
    fn merge(&mut self, layers: [Layer; 3]) {
        let lines: BTreeMap<String, Option<usize>> = layers
            .iter()
            .flat_map(|layer| &layer.0)
            .map(|setting| (setting.origin.clone(), setting.line))
            .collect();
        let builder = layers
            .into_iter()
            .fold(::config::Config::builder(), |builder, layer| builder.add_source(layer));
        let merged = match builder.build().and_then(|merged| merged.get_table(ROOT)) {
            Ok(merged) => merged,
            Err(error) => {
                self.errors.push(ConfigError::at("configuration", error.to_string()));
                return;
            }
        };
        for (key, value) in merged {
            let origin = value.origin().unwrap_or_default().to_string();
            let line = lines.get(&origin).copied().flatten();
            // Every layer holds text only, so that this cannot lose a value.
            let value = value.into_string().unwrap_or_default();
            self.settings.insert(key.clone(), Setting { key, value, origin, line });
        }
    }
}

/// The whole file as text: UTF-8, else ISO-8859-1 as Java reads it.
pub(super) fn read_text(path: &Path) -> Result<String, String> {
    let unreadable = |error: std::io::Error| format!("cannot be read: {error}");
    let file = std::fs::File::open(path).map_err(unreadable)?;
    let mut bytes = Vec::new();
    // The size is checked on what was read, not on metadata: a pipe or a growing file has none.
    file.take(MAX_FILE_SIZE + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > MAX_FILE_SIZE {
        return Err(format!("is larger than {MAX_FILE_SIZE} bytes; is it a properties file?"));
    }
    Ok(match String::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => error.as_bytes().iter().map(|byte| char::from(*byte)).collect(),
    })
}

/// What the flags set. A flag that is absent sets nothing: two of them can only turn a thing on.
fn from_command_line(overrides: &Overrides) -> Vec<Setting> {
    let path = |path: &Option<PathBuf>| path.as_ref().map(|path| path.display().to_string());
    let flag = |on: bool| on.then(|| "true".to_string());
    let models = Some(overrides.models.join(",")).filter(|models| !models.is_empty());
    [
        ("model_store", "--model-store", path(&overrides.model_store)),
        ("workflow_store", "--workflow-store", path(&overrides.workflow_store)),
        ("load_models", "--models", models),
        ("cpp_log_config", "--cpp-log-config", path(&overrides.cpp_log_config)),
        ("plugins_path", "--plugins-path", path(&overrides.plugins_path)),
        ("disable_token_authorization", "--disable-token-auth", flag(overrides.disable_token_auth)),
        ("enable_model_api", "--enable-model-api", flag(overrides.enable_model_api)),
        ("restore_snapshot", "--snapshot", overrides.snapshot.clone()),
    ]
    .into_iter()
    .filter_map(|(key, origin, value)| Some(Setting::new(key, &value?, origin)))
    .collect()
}

fn from_environment(key: &Key, environment: &dyn Environment) -> Option<Setting> {
    let variable = key.env_name()?;
    let value = environment.get(&variable)?;
    Some(Setting::new(key.name, &value, &format!("environment variable {variable}")))
}
