//! What is told of dry runs.

use std::sync::Arc;

use super::Board;
use crate::status::DryRun;

impl Board {
    /// A dry run began, or was refused; none where desired state has changed, so that the last one holds no more.
    pub fn dry_run(&self, dry_run: Option<DryRun>) {
        self.status.send_if_modified(|all| {
            let changed = all.dry_run.as_deref() != dry_run.as_ref();
            all.dry_run = dry_run.map(Arc::new);
            changed
        });
    }

    /// How far a dry run has come, or what came of it, unless another one or another desired state came since.
    pub fn dry_run_got(&self, so_far: DryRun) {
        self.status.send_if_modified(|all| match &mut all.dry_run {
            Some(before) if before.run == so_far.run && **before != so_far => {
                *before = Arc::new(so_far);
                true
            }
            _ => false,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dry_run_that_no_longer_holds_is_not_told() {
        let board = Board::default();
        let dry_run = |run, code| DryRun { run, code, ..DryRun::default() };
        let told = || board.now().dry_run.map(|dry_run| (dry_run.run, dry_run.code));
        board.dry_run(Some(dry_run(1, 202)));
        board.dry_run_got(dry_run(1, 200));
        assert_eq!(told(), Some((1, 200)));
        board.dry_run(Some(dry_run(2, 202)));
        board.dry_run_got(dry_run(1, 500));
        assert_eq!(told(), Some((2, 202)));
        board.dry_run(None);
        board.dry_run_got(dry_run(2, 200));
        assert_eq!(told(), None);
    }
}
