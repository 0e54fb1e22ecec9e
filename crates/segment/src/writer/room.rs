//! Room for what is to come.

use super::SegmentWriter;

impl SegmentWriter {
    /// Makes room for an object of about so many bytes, so that it is not moved while it grows.
    pub fn reserve(&mut self, bytes: usize) {
        let object = &mut self.regions.object;
        object.reserve(bytes.saturating_sub(object.len()));
    }
}
