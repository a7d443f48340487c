//! Copies of a state directory, so that one agent's past can be lived through again and again.

use std::path::Path;

use crate::AgentBuilder;

impl AgentBuilder {
    /// Gives it a state directory of its own with all that is in this one.
    #[must_use]
    pub fn with_state_of(&self, whole: &Path) -> Self {
        let fresh = Self::new("");
        copy_dir(whole, fresh.state_dir());
        let mut copy = self.clone();
        for key in ["CACHE_DIR", "LOCAL_SOCKET"] {
            copy.env.insert(key.to_owned(), fresh.env[key].clone());
        }
        copy.state = fresh.state;
        copy
    }
}

/// Copies directories and regular files; what else there is, such as a socket, is not state.
fn copy_dir(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        let (kind, target) = (entry.file_type().unwrap(), to.join(entry.file_name()));
        if kind.is_dir() {
            copy_dir(&entry.path(), &target);
        } else if kind.is_file() {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}
