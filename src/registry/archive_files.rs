//! What a handler may read of its archive.

use crate::archive::ModelArchive;
use crate::handlers::Files;

/// TorchServe's name of a vocabulary that the manifest does not name.
const SOURCE_VOCAB: &str = "source_vocab.pt";

/// The files of an archive that is on disk.
pub(super) struct ArchiveFiles<'a>(pub(super) &'a ModelArchive);

impl Files for ArchiveFiles<'_> {
    fn read(&self, name: &str, max: u64) -> Result<Option<Vec<u8>>, String> {
        let named = self.0.manifest().source_vocab.as_deref().filter(|_| name == SOURCE_VOCAB);
        self.0.read_file(named.unwrap_or(name), max).map_err(|error| error.to_string())
    }
}
