//! `source_vocab.pt`: the numbers of a model's words, as TorchServe's archives have them.
//!
//! Read once by `words.rs`. The file is what `torch.save` writes of a `Counter`, `defaultdict(int)`,
//! `dict` or `OrderedDict` of `str` to `int`: a zip with a pickle, which is read without being executed
//! (`pickle.rs`).

use std::collections::HashMap;
use std::io::{Cursor, Read};
use std::sync::Arc;

use zip::ZipArchive;

use super::pickle::word_numbers;
use crate::handlers::{Files, HandlerError};

/// Numbers of words.
#[derive(Debug)]
pub(super) struct Vocabulary {
    numbers: HashMap<Arc<str>, i64>,
    /// The number of every other word.
    unknown: Option<i64>,
}

/// Its name where the manifest does not name it (`sourceVocab`).
pub(super) const SOURCE_VOCAB: &str = "source_vocab.pt";

/// Bytes of the file, and of the pickle in it: a million words have 25.
const MAX_SIZE: u64 = 128 << 20;

/// The words that stand for every unknown one, in a mapping that has no number of its own for them.
const UNKNOWN: [&str; 2] = ["<unk>", "<UNK>"];

// === impl Vocabulary ===

impl Vocabulary {
    /// Reads the archive's vocabulary, if it has one.
    ///
    /// # Errors
    /// [`HandlerError::Model`] that says what the file is.
    pub(super) fn read(files: &dyn Files) -> Result<Option<Vocabulary>, HandlerError> {
        let Some(file) = files.read(SOURCE_VOCAB, MAX_SIZE).map_err(HandlerError::Model)? else {
            return Ok(None);
        };
        Vocabulary::parse(file).map(Some).map_err(|reason| {
            HandlerError::Model(format!(
                "{SOURCE_VOCAB} is not a vocabulary that can be read: {reason}. Save it with \
                 torch.save(collections.Counter(words), ...), where words is a dict of word to number"
            ))
        })
    }

    fn parse(file: Vec<u8>) -> Result<Vocabulary, String> {
        let mut zip = ZipArchive::new(Cursor::new(file))
            .map_err(|_| "it is no file of torch.save (a zip)".to_owned())?;
        let names = zip.file_names().filter_map(|name| name.ok().map(|name| name.into_owned()));
        let name = { names }
            .find(|name| name.split('/').next_back() == Some("data.pkl"))
            .ok_or_else(|| "it is a zip without data.pkl".to_owned())?;
        let mut pickle = Vec::new();
        zip.by_name(&name)
            .map_err(|error| error.to_string())?
            .take(MAX_SIZE + 1)
            .read_to_end(&mut pickle)
            .map_err(|error| error.to_string())?;
        if pickle.len() as u64 > MAX_SIZE {
            return Err(format!("it has more than {MAX_SIZE} bytes"));
        }
        let found = word_numbers(&pickle)?;
        let numbers: HashMap<Arc<str>, i64> = found.pairs.into_iter().collect();
        let unknown = match found.zero_without {
            true => Some(0),
            false => UNKNOWN.iter().find_map(|word| numbers.get(*word).copied()),
        };
        Ok(Vocabulary { numbers, unknown })
    }

    /// The number of a word; none when the vocabulary has none for it.
    pub(super) fn number(&self, word: &str) -> Option<i64> {
        self.numbers.get(word).copied().or(self.unknown)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use zip::write::SimpleFileOptions;

    use super::*;

    fn zipped(entry: &str, pickle: &[u8]) -> Vec<u8> {
        let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
        zip.start_file(entry, SimpleFileOptions::default()).unwrap();
        zip.write_all(pickle).unwrap();
        zip.finish().unwrap().into_inner()
    }

    #[test]
    fn unknown_words_are_zero_in_a_counter_and_unk_in_a_dict() {
        let pairs = b"X\x01\0\0\0aK\x07X\x05\0\0\0<unk>K\x05";
        let counter = [b"\x80\x02ccollections\nCounter\n}(", &pairs[..], b"u\x85R."].concat();
        let counter = Vocabulary::parse(zipped("v/data.pkl", &counter)).unwrap();
        assert_eq!((counter.number("a"), counter.number("b")), (Some(7), Some(0)));
        let dict =
            Vocabulary::parse(zipped("v/data.pkl", &[b"\x80\x02}(", &pairs[..], b"u."].concat()));
        let dict = dict.unwrap();
        assert_eq!((dict.number("a"), dict.number("b")), (Some(7), Some(5)));
        let without = Vocabulary::parse(zipped("v/data.pkl", b"\x80\x02}."));
        assert_eq!(without.unwrap().number("a"), None);
    }

    #[test]
    fn what_torch_save_has_not_written_is_told() {
        let error = |file| Vocabulary::parse(file).unwrap_err();
        assert!(error(b"not a zip".to_vec()).contains("no file of torch.save"));
        assert!(error(zipped("v/other", b"")).contains("without data.pkl"));
        assert!(error(zipped("v/data.pkl", b"\x80\x02cos\nsystem\n.")).contains("os.system"));
    }
}
