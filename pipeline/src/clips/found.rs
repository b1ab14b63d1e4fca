//! A piece of evidence that is there, and its bytes.

use futures_util::stream::{self, Stream};

use super::fate::Absent;
use super::index::Key;
use super::store::{Store, StoreError};
use crate::timeline::UtcTime;

/// Bytes that are read of a file at once.
const PART: u64 = 1 << 20;

/// A piece of evidence that is there.
#[derive(Debug, Clone)]
pub struct Found {
    pub(super) store: Store,
    pub(super) key: Key,
    pub(super) name: String,
    /// The type of its contents.
    pub media_type: &'static str,
    /// What a file of it may be called.
    pub file_name: String,
    /// Its bytes.
    pub size: u64,
    /// Changes when it does.
    pub tag: String,
    /// When it was kept.
    pub modified: UtcTime,
}

impl Found {
    /// Some of its bytes, as they come.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn read(
        &self,
        range: std::ops::Range<u64>,
    ) -> Result<impl Stream<Item = std::io::Result<bytes::Bytes>> + use<>, Absent> {
        let first = self.part(&range).await.map_err(|error| Absent::Store(error.to_string()))?;
        let rest = range.start + first.len() as u64..range.end;
        let state = (self.clone(), Some(first), rest);
        Ok(stream::unfold(state, |(found, ready, mut rest)| async move {
            if let Some(ready) = ready {
                return Some((Ok(bytes::Bytes::from(ready)), (found, None, rest)));
            }
            if rest.is_empty() {
                return None;
            }
            let part = match found.part(&rest).await {
                Ok(part) => part,
                Err(error) => return Some((Err(std::io::Error::other(error)), (found, None, 0..0))),
            };
            rest.start += part.len() as u64;
            Some((Ok(part.into()), (found, None, rest)))
        }))
    }

    /// The first bytes of a range.
    async fn part(&self, range: &std::ops::Range<u64>) -> Result<Vec<u8>, StoreError> {
        let part = range.start..range.end.min(range.start + PART);
        let read = self.store.get(&self.key, &self.name, Some(part)).await?;
        // Deleted or cut off meanwhile.
        let gone = || StoreError::Server("the file is gone".to_owned());
        read.filter(|bytes| !bytes.is_empty()).ok_or_else(gone)
    }
}
