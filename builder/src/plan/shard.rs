//! Parts of a build for several machines: which kernels belong to which part.
//!
//! A part has whole kernels, because a kernel's first compile makes stap's caches for all others of it. Which kernel belongs to
//! which part depends on nothing but its place in the plan, which is the same wherever the same kernels are asked for.

use std::fmt;
use std::str::FromStr;

use super::matrix::Plan;
use crate::job::CompileJob;

/// One part of so many: every `of`-th kernel, beginning with the `number`-th.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shard {
    number: u32,
    of: u32,
}

/// The text isn't `I/N` with I from 1 to N.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not I/N with I from 1 to N, such as 1/4")]
pub struct ShardError;

impl FromStr for Shard {
    type Err = ShardError;

    fn from_str(text: &str) -> Result<Self, ShardError> {
        let (number, of) = text.split_once('/').ok_or(ShardError)?;
        let plain =
            |text: &str| text.parse::<u32>().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()));
        let number = plain(number).ok_or(ShardError)?;
        let of = plain(of).ok_or(ShardError)?;
        if (1..=of).contains(&number) { Ok(Self { number, of }) } else { Err(ShardError) }
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.number, self.of)
    }
}

impl Shard {
    /// The part to which the kernel at a place of the plan belongs.
    fn of_place(place: usize, of: u32) -> Self {
        let of = of.max(1);
        let number = u32::try_from(place % of as usize).unwrap_or_default() + 1;
        Self { number, of }
    }
}

impl Plan {
    /// Leaves the kernels of one part, and their jobs.
    #[must_use]
    pub fn only(mut self, shard: Shard) -> Self {
        let all = std::mem::take(&mut self.kernels).into_iter().enumerate();
        let kept = all.filter(|(place, _)| Shard::of_place(*place, shard.of) == shard);
        self.kernels = kept.map(|(_, kernel)| kernel).collect();
        let kernels = &self.kernels;
        self.jobs.retain(|job| kernels.contains(&job.kernel));
        // There's nothing to do for them; the whole build names them.
        self.unbuilt.clear();
        self
    }

    /// The part of `of` to which a job of this plan belongs.
    #[must_use]
    pub fn shard_of(&self, job: &CompileJob, of: u32) -> Option<Shard> {
        let place = self.kernels.iter().position(|kernel| *kernel == job.kernel)?;
        Some(Shard::of_place(place, of))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_written_i_of_n() {
        for text in ["1/1", "1/4", "4/4", "12/300"] {
            assert_eq!(text.parse::<Shard>().unwrap().to_string(), text);
        }
        for text in
            ["", "1", "0/4", "5/4", "1/0", "-1/4", "+1/4", "1/4/2", " 1/4", "1 /4", "a/b", "1/99999999999"]
        {
            assert!(text.parse::<Shard>().is_err(), "{text}");
        }
    }

    #[test]
    fn every_kernel_belongs_to_one_part() {
        for of in 1..6 {
            let mut count = vec![0; of as usize];
            for place in 0..20 {
                let shard = Shard::of_place(place, of);
                assert_eq!(shard, shard.to_string().parse().unwrap());
                count[shard.number as usize - 1] += 1;
            }
            // None has two kernels more than another.
            assert!(count.iter().max().unwrap() - count.iter().min().unwrap() <= 1, "{count:?}");
        }
    }
}
