//! The files of an archive, as a handler may read them when it is made: a vocabulary, a tokenizer.

/// Reads files of one archive.
pub trait Files {
    /// The file called `name` at the top of the archive, if it is there. The vocabulary that the
    /// manifest names (`sourceVocab`) is found as `source_vocab.pt` too.
    ///
    /// # Errors
    /// It has more than `max` bytes, or cannot be read.
    fn read(&self, name: &str, max: u64) -> Result<Option<Vec<u8>>, String>;
}

/// An archive without further files.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoFiles;

impl Files for NoFiles {
    fn read(&self, _: &str, _: u64) -> Result<Option<Vec<u8>>, String> {
        Ok(None)
    }
}
