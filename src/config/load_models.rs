//! `load_models`: which archives of the model store are loaded at the start.
//!
//! Called by `mod.rs`; read by `registry/`. Whether an archive exists is known when it is loaded: as
//! in TorchServe, one that fails does not stop the others.

use super::parse;

/// Which archives of the model store are loaded at the start.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum LoadModels {
    /// None: models are registered through the management API.
    #[default]
    None,
    /// Every archive of the model store.
    All,
    /// These, in this order.
    List(Vec<LoadModel>),
}

/// One entry of `load_models`: `resnet.mar` or `name=resnet.mar`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadModel {
    /// The name to register under; none takes the archive's own.
    pub name: Option<String>,
    /// A file or folder name in the model store, as written.
    pub archive: String,
}

// === impl LoadModels ===

impl LoadModels {
    /// Reads `none`, `all` (any case), or `a.mar, name=b.mar`; `standalone` is TorchServe's
    /// documented word for `none`.
    ///
    /// # Errors
    /// What was expected.
    pub(super) fn parse(value: &str) -> Result<LoadModels, String> {
        let parts = parse::list(value);
        if let [word] = parts.as_slice() {
            match word.to_ascii_lowercase().as_str() {
                "all" => return Ok(LoadModels::All),
                "none" | "standalone" => return Ok(LoadModels::None),
                _ => {}
            }
        }
        if parts.is_empty() {
            return Ok(LoadModels::None);
        }
        let models = parts.iter().map(|part| LoadModel::parse(part));
        models.collect::<Result<_, _>>().map(LoadModels::List)
    }
}

impl LoadModel {
    fn parse(part: &str) -> Result<LoadModel, String> {
        let (name, archive) = match part.split_once('=') {
            // The query of a URL is none of ours.
            Some((name, archive)) if !name.contains("://") => (Some(name.trim()), archive.trim()),
            _ => (None, part),
        };
        if archive.is_empty() || name.is_some_and(str::is_empty) {
            return Err("all, none, or a list like `a.mar, name=b.mar`".to_string());
        }
        Ok(LoadModel { name: name.map(String::from), archive: archive.to_string() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn load_models_is_none_all_or_a_list() {
        let list = |pairs: &[(Option<&str>, &str)]| {
            LoadModels::List(
                pairs
                    .iter()
                    .map(|(name, archive)| LoadModel {
                        name: name.map(String::from),
                        archive: (*archive).to_string(),
                    })
                    .collect(),
            )
        };
        for (value, expected) in [
            ("", LoadModels::None),
            (" , ", LoadModels::None),
            ("none", LoadModels::None),
            ("standalone", LoadModels::None),
            ("all", LoadModels::All),
            ("ALL", LoadModels::All),
            ("all.mar", list(&[(None, "all.mar")])),
            ("a.mar,  n = b.mar ,", list(&[(None, "a.mar"), (Some("n"), "b.mar")])),
            ("all,a.mar", list(&[(None, "all"), (None, "a.mar")])),
        ] {
            assert_eq!(LoadModels::parse(value), Ok(expected), "{value}");
        }
        assert!(LoadModels::parse("=a.mar").is_err() && LoadModels::parse("a=").is_err());
    }
}
