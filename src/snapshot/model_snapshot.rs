//! The JSON of the key `model_snapshot`: TorchServe's fields, in its order. PURE.
//!
//! Read from files that TorchServe or a person wrote, so that every value is checked.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Which models a server had.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ModelSnapshot {
    /// The file's name.
    pub name: String,
    /// The number of models, each counted once however many versions it has.
    pub model_count: i64,
    /// Milliseconds since 1970.
    pub created: u64,
    /// The versions of each model.
    pub models: BTreeMap<String, BTreeMap<String, SnapshotModel>>,
}

/// One version of a model. What TorchServe does not write, or writes as a number that is none, is
/// none.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SnapshotModel {
    /// It answers requests that name no version.
    #[serde(default)]
    pub default_version: bool,
    /// The archive in the model store.
    pub mar_name: String,
    /// At least this many workers.
    pub min_workers: Option<i64>,
    /// At most this many.
    pub max_workers: Option<i64>,
    /// Rows of a batch.
    pub batch_size: Option<i64>,
    /// Milliseconds.
    pub max_batch_delay: Option<i64>,
    /// Seconds.
    pub response_timeout: Option<i64>,
    /// Seconds.
    pub startup_timeout: Option<i64>,
    /// The manifest's runtime, or the one it was registered with.
    pub runtime_type: Option<String>,
    /// Written by TorchServe when above 0; a model is not split over devices here.
    #[serde(skip_serializing)]
    pub parallel_level: Option<i64>,
    /// The handler that it was registered with in place of the manifest's; TorchServe forgets it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub handler: Option<String>,
}

/// Largest number of the format: Java's `int`.
const INT: i64 = i32::MAX as i64;

// === impl ModelSnapshot ===

impl ModelSnapshot {
    /// Reads the value of `model_snapshot`.
    ///
    /// # Errors
    /// What is wrong, and where in the JSON.
    pub fn read(json: &Value) -> Result<ModelSnapshot, String> {
        let Some(fields) = json.as_object() else {
            return Err(
                "a snapshot is an object: {\"modelCount\": 1, \"models\": {\"NAME\": {\"VERSION\": \
                 {\"marName\": \"FILE.mar\", \"minWorkers\": 1}}}}"
                    .to_owned(),
            );
        };
        let none = serde_json::Map::new();
        let models = match fields.get("models") {
            None | Some(Value::Null) => &none,
            Some(Value::Object(models)) => models,
            Some(_) => return Err("models: is no object of models by name".to_owned()),
        };
        let mut snapshot = ModelSnapshot {
            name: fields.get("name").and_then(Value::as_str).unwrap_or_default().to_owned(),
            model_count: fields.get("modelCount").and_then(Value::as_i64).unwrap_or(INT),
            created: fields.get("created").and_then(Value::as_u64).unwrap_or(0),
            models: BTreeMap::new(),
        };
        // As in TorchServe: a count of 0 starts with nothing, whatever is listed.
        if snapshot.model_count <= 0 {
            snapshot.model_count = 0;
            return Ok(snapshot);
        }
        for (name, versions) in models {
            let Some(versions) = versions.as_object() else {
                return Err(format!("models: {name}: is no object of versions by name"));
            };
            let mut read = BTreeMap::new();
            for (version, fields) in versions {
                let model = SnapshotModel::deserialize(fields)
                    .map_err(|error| format!("models: {name}: {version}: {error}"))?;
                model.check().map_err(|error| format!("models: {name}: {version}: {error}"))?;
                read.insert(version.clone(), model);
            }
            snapshot.models.insert(name.clone(), read);
        }
        snapshot.model_count = count(&snapshot.models);
        Ok(snapshot)
    }

    /// A snapshot of these models.
    pub fn new(
        name: String,
        created: u64,
        models: BTreeMap<String, BTreeMap<String, SnapshotModel>>,
    ) -> ModelSnapshot {
        ModelSnapshot { name, created, model_count: count(&models), models }
    }

    /// Every version: name, version, settings.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str, &SnapshotModel)> {
        self.models.iter().flat_map(|(name, versions)| {
            versions.iter().map(move |(version, model)| (name.as_str(), version.as_str(), model))
        })
    }

    /// The value of `model_snapshot`, on several lines as TorchServe has it.
    pub fn to_json(&self) -> String {
        // Maps with text keys and numbers can always be written.
        serde_json::to_string_pretty(self).unwrap_or_default()
    }
}

fn count<T>(models: &BTreeMap<String, T>) -> i64 {
    i64::try_from(models.len()).unwrap_or(i64::MAX)
}

// === impl SnapshotModel ===

impl SnapshotModel {
    /// A number that cannot be is an error; TorchServe's own -10000 for "not said" is not.
    fn check(&self) -> Result<(), String> {
        if self.mar_name.is_empty() {
            return Err("marName is empty; name a file of the model store".to_owned());
        }
        for (field, number) in [
            ("minWorkers", self.min_workers),
            ("maxWorkers", self.max_workers),
            ("batchSize", self.batch_size),
            ("maxBatchDelay", self.max_batch_delay),
            ("responseTimeout", self.response_timeout),
            ("startupTimeout", self.startup_timeout),
        ] {
            if let Some(number) = number.filter(|number| *number > INT) {
                return Err(format!("{field}: {number} is more than {INT}"));
            }
        }
        if let (Some(min), Some(max)) = (self.min_workers, self.max_workers)
            && min > max
        {
            return Err(format!("minWorkers {min} is more than maxWorkers {max}"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_snapshot_of_torchserve_is_read_and_written_field_by_field() {
        let text = r#"{
  "name": "20200329045334828-startup.cfg",
  "modelCount": 1,
  "created": 1585457614832,
  "models": {
    "noop": {
      "1.11": {
        "defaultVersion": true,
        "marName": "noop.mar",
        "minWorkers": 4,
        "maxWorkers": 4,
        "batchSize": 1,
        "maxBatchDelay": 100,
        "responseTimeout": 120,
        "startupTimeout": 120,
        "runtimeType": "python"
      }
    }
  }
}"#;
        let snapshot = ModelSnapshot::read(&serde_json::from_str(text).unwrap()).unwrap();
        assert_eq!(snapshot.to_json(), text);
        let all: Vec<_> = snapshot.iter().collect();
        assert_eq!((all.len(), all[0].0, all[0].1), (1, "noop", "1.11"));
        assert_eq!((all[0].2.min_workers, all[0].2.parallel_level), (Some(4), None));
    }

    #[test]
    fn a_count_of_none_starts_empty_and_a_wrong_count_is_put_right() {
        let models = json!({"a": {"1": {"marName": "a.mar"}}});
        let with = |count: Value| {
            let json = json!({"modelCount": count, "models": models});
            let snapshot = ModelSnapshot::read(&json).unwrap();
            (snapshot.model_count, snapshot.models.len())
        };
        assert_eq!((with(json!(0)), with(json!(-1)), with(json!(9))), ((0, 0), (0, 0), (1, 1)));
        assert_eq!(with(Value::Null), (1, 1));
        assert_eq!(ModelSnapshot::read(&json!({})).unwrap().models.len(), 0);
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        let model = |fields: Value| json!({"models": {"m": {"1.0": fields}}});
        for (json, part) in [
            (json!([]), "a snapshot is an object"),
            (json!({"models": 1}), "models: is no object"),
            (json!({"models": {"m": []}}), "models: m: is no object"),
            (model(json!({})), "models: m: 1.0: missing field `marName`"),
            (model(json!({"marName": ""})), "m: 1.0: marName is empty"),
            (model(json!({"marName": "a", "minWorkers": "x"})), "m: 1.0: invalid type"),
            (model(json!({"marName": "a", "batchSize": 1u64 << 40})), "batchSize: 1099511627776"),
            (
                model(json!({"marName": "a", "minWorkers": 2, "maxWorkers": 1})),
                "minWorkers 2 is more than maxWorkers 1",
            ),
        ] {
            let error = ModelSnapshot::read(&json).unwrap_err();
            assert!(error.contains(part), "{error} does not say {part}");
        }
    }
}
