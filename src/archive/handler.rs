//! Which handler serves a model: a built-in one, or Python that the archive brings. PURE but for
//! asking whether a file is in the archive.
//!
//! Called by `model_archive.rs`. The names of the built-in handlers are an argument: this room
//! does not know them.

use super::error::ArchiveError;
use super::printable::Printable;

/// A handler reference, understood as TorchServe's `model_loader.py` does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Handler {
    /// One of the built-in handlers, for example `image_classifier`.
    Default(String),
    /// A Python file of the archive (or one that should be there).
    Custom {
        /// The file's name, for example `handler.py`.
        file: String,
        /// The function of `module:function`.
        function: Option<String>,
    },
    /// Neither built in nor a file of the archive.
    Unknown,
}

/// Where a model's handler may come from.
#[derive(Clone, Copy, Debug, Default)]
pub struct HandlerChoice<'a> {
    /// `handler` of the register call; wins over the manifest.
    pub handler_override: Option<&'a str>,
    /// `default_service_handler` of the configuration; used when the manifest has none.
    pub default_service_handler: Option<&'a str>,
    /// Names of the handlers that this server has.
    pub built_in: &'a [&'a str],
}

// === impl Handler ===

impl Handler {
    /// Understands `name`, `file.py`, `module` or `module:function`. A Python file of that name in
    /// the archive hides a built-in handler, as an import from the model's directory does.
    pub fn classify(
        reference: &str,
        built_in: &[&str],
        in_archive: impl Fn(&str) -> bool,
    ) -> Handler {
        let (module, function) = match reference.split_once(':') {
            Some((module, function)) => (module, Some(function.to_owned())),
            None => (reference, None),
        };
        // TorchServe imports the basename, whatever directory is given.
        let file_name = module.rsplit('/').next().unwrap_or(module);
        let name = file_name.strip_suffix(".py").unwrap_or(file_name);
        let file = format!("{name}.py");
        if !name.is_empty() && in_archive(&file) {
            return Handler::Custom { file, function };
        }
        if function.is_none() && built_in.contains(&name) {
            return Handler::Default(name.to_owned());
        }
        if function.is_some() || file_name != name {
            return Handler::Custom { file, function };
        }
        Handler::Unknown
    }
}

// === impl HandlerChoice ===

impl HandlerChoice<'_> {
    /// The built-in handler that serves a model whose manifest asks for `from_manifest`.
    ///
    /// # Errors
    /// [`ArchiveError::HandlerMissing`] and [`ArchiveError::HandlerNotSupported`].
    pub(super) fn choose(
        &self,
        from_manifest: Option<&str>,
        in_archive: impl Fn(&str) -> bool,
    ) -> Result<String, ArchiveError> {
        let given = |handler: &&str| !handler.is_empty();
        let reference = self
            .handler_override
            .filter(given)
            .or(from_manifest.filter(given))
            .or(self.default_service_handler.filter(given));
        let built_in = self.built_in.join(", ");
        let Some(reference) = reference else {
            return Err(ArchiveError::HandlerMissing { built_in });
        };
        let reason = match Handler::classify(reference, self.built_in, in_archive) {
            Handler::Default(name) => return Ok(name),
            Handler::Custom { .. } => "is a Python handler; Python handlers are not run here",
            Handler::Unknown => "is neither built in nor a file of the archive",
        };
        Err(ArchiveError::HandlerNotSupported {
            handler: Printable::new(reference),
            reason,
            built_in,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUILT_IN: [&str; 2] = ["image_classifier", "base_handler"];

    fn classify(reference: &str) -> Handler {
        Handler::classify(reference, &BUILT_IN, |file| file == "handler.py" || file == "mine.py")
    }

    fn custom(file: &str, function: Option<&str>) -> Handler {
        Handler::Custom { file: file.to_owned(), function: function.map(str::to_owned) }
    }

    #[test]
    fn takes_built_in_names_with_or_without_py() {
        let expected = Handler::Default("image_classifier".to_owned());
        assert_eq!(classify("image_classifier"), expected);
        assert_eq!(classify("image_classifier.py"), expected);
    }

    #[test]
    fn sees_python_of_the_archive_in_every_spelling() {
        assert_eq!(classify("handler.py"), custom("handler.py", None));
        assert_eq!(classify("handler"), custom("handler.py", None));
        assert_eq!(classify("src/handler.py"), custom("handler.py", None));
        assert_eq!(classify("handler:run"), custom("handler.py", Some("run")));
        assert_eq!(classify("handler.py:run"), custom("handler.py", Some("run")));
    }

    #[test]
    fn takes_python_that_is_not_there_for_python_all_the_same() {
        assert_eq!(classify("gone.py"), custom("gone.py", None));
        assert_eq!(classify("service:handle"), custom("service.py", Some("handle")));
        assert_eq!(classify("base_handler:handle"), custom("base_handler.py", Some("handle")));
    }

    #[test]
    fn does_not_guess_at_unknown_names() {
        for reference in ["", "nope", "../x", "TorchScriptHandler", "a/"] {
            assert_eq!(classify(reference), Handler::Unknown, "{reference}");
        }
    }

    #[test]
    fn a_python_file_hides_the_built_in_handler_of_its_name() {
        let handler =
            Handler::classify("base_handler", &BUILT_IN, |file| file == "base_handler.py");
        assert_eq!(handler, custom("base_handler.py", None));
    }

    #[test]
    fn the_register_call_wins_over_the_manifest_and_that_over_the_default() {
        let choice = HandlerChoice {
            handler_override: Some("base_handler"),
            default_service_handler: Some("image_classifier"),
            built_in: &BUILT_IN,
        };
        let none = |_: &str| false;
        assert_eq!(choice.choose(Some("x.py"), none).expect("overridden"), "base_handler");
        let choice = HandlerChoice { handler_override: None, ..choice };
        assert!(choice.choose(Some("x.py"), none).is_err());
        assert_eq!(choice.choose(None, none).expect("the default"), "image_classifier");
        assert_eq!(choice.choose(Some(""), none).expect("the default"), "image_classifier");
    }

    #[test]
    fn names_the_handler_and_the_built_in_ones_in_the_error() {
        let choice = HandlerChoice { built_in: &BUILT_IN, ..HandlerChoice::default() };
        let error = choice.choose(Some("my_handler.py"), |_| true).expect_err("python");
        let text = error.to_string();
        assert!(text.contains("`my_handler.py` is a Python handler"), "{text}");
        assert!(text.contains("image_classifier, base_handler"), "{text}");
        let error = choice.choose(None, |_| true).expect_err("none");
        assert!(error.to_string().contains("default_service_handler"), "{error}");
    }
}
