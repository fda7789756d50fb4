//! `text_classifier`: texts in; classes, entities, answers or embeddings out.
//!
//! ```text
//!   request.rs       what a request may be                 settings.rs   model-config.yaml
//!   words.rs         TorchServe's archives: source_vocab.pt
//!     english.rs       text to words   contractions.rs     vocabulary.rs pickle.rs   words to numbers
//!   tokens.rs        archives with a Hugging Face tokenizer.json
//!     tokenizer.rs     text to tokens, cut and padded
//!     class_answers.rs entities.rs questions.rs embeddings.rs   the tasks
//! ```

mod class_answers;
mod contractions;
mod embeddings;
mod english;
mod entities;
mod pickle;
mod questions;
mod request;
mod settings;
mod tokenizer;
mod tokens;
mod vocabulary;
mod words;

use std::sync::Arc;

use self::settings::{TextSettings, TextTask};
use self::tokenizer::TextTokenizer;
use self::tokens::TokenModel;
use self::vocabulary::Vocabulary;
use self::words::WordClassifier;
use super::{Handler, HandlerError, HandlerSettings};

/// The handler for an archive: with a `tokenizer.json` the one of tokens, else that of words.
///
/// # Errors
/// [`HandlerError::Model`]: the settings are wrong, or the archive has neither file.
pub(super) fn text_classifier(
    handler: &HandlerSettings<'_>,
) -> Result<Arc<dyn Handler>, HandlerError> {
    let settings = TextSettings::read(handler.model_config)?;
    if let Some(tokenizer) = TextTokenizer::read(handler.files, &settings)? {
        return Ok(Arc::new(TokenModel::new(handler, settings, tokenizer)?));
    }
    if settings.task != TextTask::Classification {
        return Err(HandlerError::Model(
            "model-config.yaml: text_classifier: this task needs a tokenizer.json in the archive"
                .to_owned(),
        ));
    }
    match Vocabulary::read(handler.files)? {
        Some(vocabulary) => Ok(Arc::new(WordClassifier::new(handler, settings, vocabulary)?)),
        None => Err(HandlerError::Model(
            "text_classifier needs a source_vocab.pt or a tokenizer.json in the archive: pack it \
             with --extra-files"
                .to_owned(),
        )),
    }
}
