//! Which processor a compile gets that may use one only.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The processors of this process, and how many compiles have each.
#[derive(Debug)]
pub(crate) struct Processors {
    taken: Mutex<BTreeMap<usize, usize>>,
}

/// A processor that a compile has until this is dropped.
#[derive(Debug)]
pub(crate) struct Reserved<'a> {
    of: &'a Processors,
    pub number: usize,
}

impl Processors {
    /// Those on which this process may run; none if they can't be known, which only who reserves one is told.
    pub(crate) fn of_this_process() -> Self {
        Self::numbered(child::processors().unwrap_or_default())
    }

    fn numbered(numbers: impl IntoIterator<Item = usize>) -> Self {
        Self { taken: Mutex::new(numbers.into_iter().map(|number| (number, 0)).collect()) }
    }

    /// The one that the fewest compiles have.
    pub(crate) fn reserve(&self) -> io::Result<Reserved<'_>> {
        let mut taken = self.counts();
        let (number, users) = taken.iter_mut().min_by_key(|(_, users)| **users).ok_or_else(|| {
            io::Error::new(io::ErrorKind::NotFound, "which processors this process may use isn't known")
        })?;
        *users += 1;
        Ok(Reserved { of: self, number: *number })
    }

    fn counts(&self) -> MutexGuard<'_, BTreeMap<usize, usize>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Reserved<'_> {
    fn drop(&mut self) {
        if let Some(users) = self.of.counts().get_mut(&self.number) {
            *users -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compiles_are_spread_over_all_processors() {
        let processors = Processors::numbered([3, 5]);
        let first = processors.reserve().unwrap();
        let second = processors.reserve().unwrap();
        assert_eq!((first.number, second.number), (3, 5));
        let third = processors.reserve().unwrap();
        drop(second);
        assert_eq!((third.number, processors.reserve().unwrap().number), (3, 5));
        assert!(Processors::numbered([]).reserve().is_err());
    }
}
