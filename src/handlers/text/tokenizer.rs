//! A Hugging Face `tokenizer.json`: texts to tokens, cut and padded.
//!
//! Read once by `tokens.rs`. The crate `tokenizers` does the work, as in Python's `transformers`; here
//! are the limits and the lengths that texts are padded to, so that texts of about one length share a
//! batch.

use std::panic::{AssertUnwindSafe, catch_unwind};

use tokenizers::{Encoding, PaddingDirection, Tokenizer, TruncationParams, TruncationStrategy};

use super::request::Text;
use super::settings::{TextSettings, TextTask};
use crate::handlers::{Files, HandlerError};

/// Texts to tokens.
pub(super) struct TextTokenizer {
    tokenizer: Tokenizer,
    /// Lengths that texts are padded to, rising; empty for none.
    lengths: Vec<usize>,
    pad: Option<Pad>,
}

/// What fills a short text.
#[derive(Clone, Debug)]
struct Pad {
    id: u32,
    type_id: u32,
    token: String,
    direction: PaddingDirection,
}

/// Its name where the settings do not name it.
pub(super) const TOKENIZER: &str = "tokenizer.json";

/// Bytes of the file: that of a vocabulary of 250 thousand words has 17 million.
const MAX_SIZE: u64 = 128 << 20;
/// Tokens of a text where neither the settings nor the tokenizer say it: as BERT.
const MAX_LENGTH: usize = 512;
/// The same for a question and a part of its context, as in `transformers`.
const MAX_QUESTION_LENGTH: usize = 384;
/// Tokens that two parts of a context share, as there.
const STRIDE: usize = 128;
/// The shortest length that texts are padded to.
const SHORTEST: usize = 8;
/// What fills texts in tokenizers that do not say it.
const PAD_TOKENS: [&str; 3] = ["[PAD]", "<pad>", "<PAD>"];

// === impl TextTokenizer ===

impl TextTokenizer {
    /// Reads the archive's tokenizer, if it has one.
    ///
    /// # Errors
    /// [`HandlerError::Model`]: it is none, or cannot do what the settings ask for.
    pub(super) fn read(
        files: &dyn Files,
        settings: &TextSettings,
    ) -> Result<Option<TextTokenizer>, HandlerError> {
        let name = settings.tokenizer.as_deref().unwrap_or(TOKENIZER);
        let wrong = |reason: String| HandlerError::Model(format!("{name}: {reason}"));
        let Some(file) = files.read(name, MAX_SIZE).map_err(HandlerError::Model)? else {
            return match settings.tokenizer {
                Some(_) => Err(wrong("the archive has no such file".to_owned())),
                None => Ok(None),
            };
        };
        let mut tokenizer = Tokenizer::from_bytes(&file).map_err(|error| {
            wrong(format!("it is no tokenizer of Hugging Face's `tokenizers`: {error}"))
        })?;
        let own = tokenizer.get_truncation().cloned();
        let is_question = settings.task == TextTask::QuestionAnswering;
        let unsaid = if is_question { MAX_QUESTION_LENGTH } else { MAX_LENGTH };
        let max_length = settings
            .max_length
            .or(own.as_ref().map(|own| own.max_length))
            .unwrap_or(unsaid)
            .clamp(2, 1 << 16);
        let truncation = match is_question {
            true => TruncationParams {
                max_length,
                strategy: TruncationStrategy::OnlySecond,
                stride: settings.stride.unwrap_or(STRIDE.min(max_length / 2)),
                direction: Default::default(),
            },
            false => TruncationParams {
                max_length,
                strategy: TruncationStrategy::LongestFirst,
                stride: 0,
                direction: own.map(|own| own.direction).unwrap_or_default(),
            },
        };
        let pad = pad(&tokenizer);
        tokenizer.with_padding(None);
        // It panics where the length is less than the special tokens.
        catch_unwind(AssertUnwindSafe(|| tokenizer.with_truncation(Some(truncation)).map(|_| ())))
            .unwrap_or_else(|_| Err("max_length is less than the special tokens".into()))
            .map_err(|error| wrong(error.to_string()))?;
        let mut lengths = settings.pad_to.clone().unwrap_or_else(|| powers_of_two(max_length));
        if pad.is_none() {
            if settings.pad_to.as_ref().is_some_and(|lengths| !lengths.is_empty()) {
                return Err(wrong("pad_to is given, and the tokenizer has no token to pad".into()));
            }
            lengths.clear();
        }
        Ok(Some(TextTokenizer { tokenizer, lengths, pad }))
    }

    /// The tokens of a text: one part, or, of a long context, several. Not padded.
    ///
    /// # Errors
    /// [`HandlerError::BadInput`], and what the reason is.
    pub(super) fn tokens(&self, text: &Text) -> Result<Vec<Encoding>, HandlerError> {
        let encode = || match &text.second {
            Some(second) => {
                self.tokenizer.encode_char_offsets((text.first.as_str(), second.as_str()), true)
            }
            None => self.tokenizer.encode_char_offsets(text.first.as_str(), true),
        };
        // A foreign file decides what is done with a foreign text.
        let encoded = catch_unwind(AssertUnwindSafe(encode))
            .map_err(|_| HandlerError::BadInput("the text cannot be tokenized".to_owned()))?;
        let mut first = encoded.map_err(|error| {
            HandlerError::BadInput(format!("the text cannot be tokenized: {error}"))
        })?;
        let more = first.take_overflowing();
        Ok(std::iter::once(first).chain(more).collect())
    }

    /// The length that texts of up to `longest` tokens are padded to.
    pub(super) fn length(&self, longest: usize) -> usize {
        self.lengths.iter().copied().find(|length| *length >= longest).unwrap_or(longest)
    }

    /// Fills a text up to a length.
    pub(super) fn pad(&self, tokens: &mut Encoding, length: usize) -> Result<(), HandlerError> {
        if tokens.len() >= length {
            return Ok(());
        }
        let Some(pad) = &self.pad else {
            let reason = "the tokenizer has no token to pad: send texts one by one";
            return Err(HandlerError::BadInput(reason.to_owned()));
        };
        tokens.pad(length, pad.id, pad.type_id, &pad.token, pad.direction);
        Ok(())
    }

    /// The number of a token.
    pub(super) fn id(&self, token: &str) -> Option<u32> {
        self.tokenizer.token_to_id(token)
    }

    /// Tokens as text again.
    pub(super) fn text(&self, tokens: Vec<String>) -> String {
        use tokenizers::Decoder as _;
        match self.tokenizer.get_decoder() {
            Some(decoder) => decoder.decode(tokens.clone()).unwrap_or_else(|_| tokens.join(" ")),
            None => tokens.join(" "),
        }
    }
}

fn pad(tokenizer: &Tokenizer) -> Option<Pad> {
    if let Some(own) = tokenizer.get_padding() {
        let (id, type_id, token) = (own.pad_id, own.pad_type_id, own.pad_token.clone());
        return Some(Pad { id, type_id, token, direction: own.direction });
    }
    let (token, id) =
        PAD_TOKENS.iter().find_map(|token| Some((token, tokenizer.token_to_id(token)?)))?;
    Some(Pad { id, type_id: 0, token: (*token).to_owned(), direction: PaddingDirection::Right })
}

fn powers_of_two(longest: usize) -> Vec<usize> {
    let mut lengths: Vec<usize> =
        std::iter::successors(Some(SHORTEST), |length| length.checked_mul(2))
            .take_while(|length| *length < longest)
            .collect();
    lengths.push(longest);
    lengths
}
