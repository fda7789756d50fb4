//! Which handlers there are: the built-in ones, and those that an embedding program brings.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::envelope::Enveloped;
use super::{BUILT_IN, Handler, HandlerError, HandlerSettings, built_in};

/// Makes the handler of one model.
type Factory =
    Arc<dyn Fn(HandlerSettings<'_>) -> Result<Arc<dyn Handler>, HandlerError> + Send + Sync>;

/// Handlers by the name that a manifest gives.
#[derive(Clone, Default)]
pub struct Catalog {
    own: BTreeMap<String, Factory>,
}

// === impl Catalog ===

impl Catalog {
    /// Adds a handler, in place of a built-in one of that name.
    #[must_use]
    pub fn with<F>(mut self, name: &str, factory: F) -> Catalog
    where
        F: Fn(HandlerSettings<'_>) -> Result<Arc<dyn Handler>, HandlerError>,
        F: Send + Sync + 'static,
    {
        self.own.insert(name.to_owned(), Arc::new(factory));
        self
    }

    /// Every name, built-in ones last.
    pub fn names(&self) -> Vec<&str> {
        self.own.keys().map(String::as_str).chain(BUILT_IN.iter().copied()).collect()
    }

    /// The handler of a model, in its envelope.
    ///
    /// # Errors
    /// [`HandlerError::Model`] when there is no such handler, or it does not fit the model.
    pub fn make(
        &self,
        name: &str,
        settings: HandlerSettings<'_>,
    ) -> Result<Arc<dyn Handler>, HandlerError> {
        let (envelope, max_response_size) = (settings.envelope, settings.max_response_size);
        let handler = match self.own.get(name) {
            Some(factory) => factory(settings)?,
            None => built_in(name, settings)?,
        };
        Ok(Arc::new(Enveloped::new(handler, envelope, max_response_size)))
    }
}
