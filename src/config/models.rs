//! `models={...}`: settings per model name and version.
//!
//! Called by `mod.rs`; read by `registry/`. TorchServe's words and meaning; what TorchServe ignores
//! in silence is ignored with a warning.

use std::collections::BTreeMap;
use std::num::{NonZeroU32, NonZeroUsize};
use std::time::Duration;

use serde_json::Value;

use super::error::Note;
use super::parse;
use super::source::Setting;

/// The key `models`: settings by model name and version.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ModelsSetting(BTreeMap<String, BTreeMap<String, ModelEntry>>);

/// The settings of one version; what is not set comes from elsewhere.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ModelEntry {
    /// `minWorkers`.
    pub min_workers: Option<NonZeroUsize>,
    /// `maxWorkers`, at least `min_workers`.
    pub max_workers: Option<NonZeroUsize>,
    /// `batchSize`.
    pub batch_size: Option<NonZeroUsize>,
    /// `maxBatchDelay`, in milliseconds in the file.
    pub max_batch_delay: Option<Duration>,
    /// `responseTimeout`, in seconds in the file.
    pub response_timeout: Option<Duration>,
    /// `startupTimeout`, in seconds in the file.
    pub startup_timeout: Option<Duration>,
    /// `clientTimeoutInMills`; TorchServe reads it from `model-config.yaml` only.
    pub client_timeout: Option<Duration>,
    /// `defaultVersion`: this version answers requests that name none.
    pub default_version: Option<bool>,
    /// `marName`: the archive.
    pub mar_name: Option<String>,
    /// `runtimeType`, as written; models run in this process whatever it says.
    pub runtime_type: Option<String>,
    /// `parallelLevel`.
    pub parallel_level: Option<NonZeroU32>,
}

/// Collects what one `models` value gives besides its entries.
struct Reader<'a> {
    setting: &'a Setting,
    problems: Vec<String>,
    notes: &'a mut Vec<Note>,
}

// === impl ModelsSetting ===

impl ModelsSetting {
    /// The settings of one version.
    pub fn get(&self, name: &str, version: &str) -> Option<&ModelEntry> {
        self.0.get(name)?.get(version)
    }

    /// Every version that has settings: name, version, settings.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str, &ModelEntry)> {
        self.0.iter().flat_map(|(name, versions)| {
            versions.iter().map(move |(version, entry)| (name.as_str(), version.as_str(), entry))
        })
    }

    /// Reads the JSON of `setting`; ignored values are told through `notes`.
    ///
    /// # Errors
    /// Every problem, each with its path inside the JSON.
    pub(super) fn read(
        json: &Value,
        setting: &Setting,
        workers_max: usize,
        notes: &mut Vec<Note>,
    ) -> Result<ModelsSetting, Vec<String>> {
        let mut reader = Reader { setting, problems: Vec::new(), notes };
        let mut models = BTreeMap::new();
        for (name, versions) in reader.object("", json) {
            let mut entries = BTreeMap::new();
            for (version, fields) in reader.object(name, versions) {
                let path = format!("{name}/{version}");
                entries.insert(version.clone(), reader.entry(&path, fields, workers_max));
            }
            models.insert(name.clone(), entries);
        }
        if reader.problems.is_empty() { Ok(ModelsSetting(models)) } else { Err(reader.problems) }
    }
}

// === impl Reader ===

impl Reader<'_> {
    /// The members of an object; anything else is a problem.
    fn object<'v>(
        &mut self,
        path: &str,
        value: &'v Value,
    ) -> impl Iterator<Item = (&'v String, &'v Value)> + use<'v> {
        if !value.is_object() {
            let expected = "an object: {\"NAME\": {\"VERSION\": {\"minWorkers\": 1}}}";
            self.problem(path, value, expected);
        }
        value.as_object().into_iter().flatten()
    }

    fn entry(&mut self, path: &str, fields: &Value, workers_max: usize) -> ModelEntry {
        let mut entry = ModelEntry::default();
        for (field, value) in self.object(path, fields) {
            let path = format!("{path}/{field}");
            match field.as_str() {
                "minWorkers" => entry.min_workers = self.workers(&path, value, workers_max),
                "maxWorkers" => entry.max_workers = self.workers(&path, value, workers_max),
                "batchSize" => entry.batch_size = self.positive(&path, value).map(size),
                "maxBatchDelay" => {
                    entry.max_batch_delay = self.positive(&path, value).map(|v| millis(v.get()));
                }
                "responseTimeout" => {
                    entry.response_timeout = self.positive(&path, value).map(|v| seconds(v.get()));
                }
                "startupTimeout" => {
                    entry.startup_timeout = self.positive(&path, value).map(|v| seconds(v.get()));
                }
                "clientTimeoutInMills" => {
                    entry.client_timeout = self.positive(&path, value).map(|v| millis(v.get()));
                }
                "parallelLevel" => {
                    entry.parallel_level = self.positive(&path, value);
                    if entry.parallel_level.is_some_and(|level| level.get() > 1) {
                        self.note(
                            &path,
                            "has no effect: a model is not split over several devices",
                        );
                    }
                }
                "defaultVersion" => entry.default_version = self.boolean(&path, value),
                "marName" => entry.mar_name = self.text(&path, value),
                "runtimeType" => entry.runtime_type = self.text(&path, value),
                _ => self.note(&path, &unknown(field)),
            }
        }
        if let (Some(min), Some(max)) = (entry.min_workers, entry.max_workers)
            && min > max
        {
            self.problems.push(format!("{path}: minWorkers {min} is more than maxWorkers {max}"));
        }
        entry
    }

    /// A whole number above 0; TorchServe ignores 0 and less, so these are none with a warning.
    fn positive(&mut self, path: &str, value: &Value) -> Option<NonZeroU32> {
        // Gson, which TorchServe uses, takes a number in quotes as well.
        let number = value.as_i64().or_else(|| value.as_str()?.trim().parse().ok());
        match number {
            Some(number) if number <= 0 => {
                self.note(path, &format!("{number} is ignored, as by TorchServe; use 1 or more"));
                None
            }
            Some(number) if number <= i64::from(i32::MAX) => {
                u32::try_from(number).ok().and_then(NonZeroU32::new)
            }
            _ => {
                self.problem(path, value, &format!("a whole number from 1 to {}", i32::MAX));
                None
            }
        }
    }

    fn workers(&mut self, path: &str, value: &Value, workers_max: usize) -> Option<NonZeroUsize> {
        let workers = size(self.positive(path, value)?);
        if workers.get() > workers_max {
            let expected = format!("at most {workers_max} workers (workers_max)");
            self.problem(path, value, &expected);
            return None;
        }
        Some(workers)
    }

    fn boolean(&mut self, path: &str, value: &Value) -> Option<bool> {
        let boolean = value.as_bool().or_else(|| parse::boolean(value.as_str()?).ok());
        if boolean.is_none() {
            self.problem(path, value, "true or false");
        }
        boolean
    }

    fn text(&mut self, path: &str, value: &Value) -> Option<String> {
        let text = value.as_str().filter(|text| !text.is_empty()).map(String::from);
        if text.is_none() {
            self.problem(path, value, "text in quotes");
        }
        text
    }

    fn problem(&mut self, path: &str, value: &Value, expected: &str) {
        let path = if path.is_empty() { String::new() } else { format!("{path}: ") };
        let got = value.to_string();
        self.problems.push(format!("{path}{}", parse::got_expected(&got, expected)));
    }

    fn note(&mut self, path: &str, text: &str) {
        let Setting { origin, key, .. } = self.setting;
        self.notes.push(Note::warning(format!("{origin}: {key}: {path}: {text}")));
    }
}

/// The fields that an entry can have.
const FIELDS: [&str; 11] = [
    "minWorkers",
    "maxWorkers",
    "batchSize",
    "maxBatchDelay",
    "responseTimeout",
    "startupTimeout",
    "clientTimeoutInMills",
    "defaultVersion",
    "marName",
    "runtimeType",
    "parallelLevel",
];

fn unknown(field: &str) -> String {
    match parse::nearest(field, FIELDS) {
        Some(near) => format!("is unknown and ignored; did you mean {near}?"),
        None => format!("is unknown and ignored; known are {}", FIELDS.join(", ")),
    }
}

fn size(number: NonZeroU32) -> NonZeroUsize {
    NonZeroUsize::try_from(number).unwrap_or(NonZeroUsize::MAX)
}

fn seconds(number: u32) -> Duration {
    Duration::from_secs(u64::from(number))
}

fn millis(number: u32) -> Duration {
    Duration::from_millis(u64::from(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> (Result<ModelsSetting, Vec<String>>, Vec<String>) {
        let setting = Setting::new("models", text, "c:1");
        let mut notes = Vec::new();
        let models = ModelsSetting::read(&parse::json(text).unwrap(), &setting, 256, &mut notes);
        (models, notes.into_iter().map(|note| note.text).collect())
    }

    #[test]
    fn every_field_of_an_entry_is_read_in_its_unit() {
        let (models, notes) = read(
            r#"{"noop": {"1.0": {"defaultVersion": true, "marName": "noop.mar", "minWorkers": 1,
                "maxWorkers": "4", "batchSize": 8, "maxBatchDelay": 50, "responseTimeout": 120,
                "startupTimeout": 60, "clientTimeoutInMills": 250, "runtimeType": "python", "parallelLevel": 1}}}"#,
        );
        let models = models.unwrap();
        let entry = models.get("noop", "1.0").unwrap();
        assert_eq!(
            *entry,
            ModelEntry {
                min_workers: NonZeroUsize::new(1),
                max_workers: NonZeroUsize::new(4),
                batch_size: NonZeroUsize::new(8),
                max_batch_delay: Some(Duration::from_millis(50)),
                response_timeout: Some(Duration::from_secs(120)),
                startup_timeout: Some(Duration::from_secs(60)),
                client_timeout: Some(Duration::from_millis(250)),
                default_version: Some(true),
                mar_name: Some("noop.mar".to_string()),
                runtime_type: Some("python".to_string()),
                parallel_level: NonZeroU32::new(1),
            }
        );
        assert_eq!(models.iter().count(), 1);
        assert!(models.get("noop", "2.0").is_none() && models.get("x", "1.0").is_none());
        assert_eq!(notes, [""; 0]);
    }

    #[test]
    fn values_that_torchserve_ignores_are_ignored_with_a_warning() {
        let (models, notes) = read(
            r#"{"m": {"1": {"minWorkers": 0, "batchSize": -1, "batchsize": 4, "parallelLevel": 2}}}"#,
        );
        let models = models.unwrap();
        let entry = models.get("m", "1").unwrap();
        assert_eq!((entry.min_workers, entry.batch_size), (None, None));
        assert_eq!(
            notes,
            [
                "c:1: models: m/1/minWorkers: 0 is ignored, as by TorchServe; use 1 or more",
                "c:1: models: m/1/batchSize: -1 is ignored, as by TorchServe; use 1 or more",
                "c:1: models: m/1/batchsize: is unknown and ignored; did you mean batchSize?",
                "c:1: models: m/1/parallelLevel: has no effect: a model is not split over several \
                 devices",
            ]
            .map(String::from)
            .into_iter()
            .collect::<std::collections::BTreeSet<_>>()
            .into_iter()
            .collect::<Vec<_>>()
        );
    }

    #[test]
    fn all_wrong_values_are_reported_with_their_path() {
        let (models, _) = read(
            r#"{"a": 1, "b": {"1": []}, "c": {"1": {"minWorkers": 2, "maxWorkers": 1}},
               "d": {"1": {"batchSize": 1.5, "maxWorkers": 257, "marName": "",
                           "defaultVersion": "yes", "maxBatchDelay": 99999999999}}}"#,
        );
        let problems = models.unwrap_err();
        for (path, part) in [
            ("a: ", "an object"),
            ("b/1: ", "an object"),
            ("c/1: ", "minWorkers 2 is more than maxWorkers 1"),
            ("d/1/batchSize: ", "got \"1.5\", expected a whole number"),
            ("d/1/maxWorkers: ", "at most 256 workers"),
            ("d/1/marName: ", "text in quotes"),
            ("d/1/defaultVersion: ", "true or false"),
            ("d/1/maxBatchDelay: ", "a whole number from 1 to 2147483647"),
        ] {
            let found = problems.iter().any(|p| p.starts_with(path) && p.contains(part));
            assert!(found, "{path} {part} {problems:?}");
        }
        assert_eq!(problems.len(), 8);
        let (models, _) = read("[1]");
        assert!(models.unwrap_err()[0].starts_with("got \"[1]\", expected an object"));
    }
}
