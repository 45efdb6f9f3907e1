//! Which earlier frames can be a reference, and which of them is (`docs/bundle-spec.md`, section 10).

use std::io;
use std::sync::Arc;

use crate::container::{Encoding, compress};
use crate::limits::{MAX_LIVE_REFERENCES, MAX_REFERENCE_AND_FRAME};

/// How many frames without a reference are kept. With one frame that refers to the best of them, no frame is
/// tried against more than four.
const FAMILIES: usize = 3;

/// A frame that takes at most this part of its plain bytes is a near copy of its reference: no other candidate
/// could save anything to speak of, so none is tried.
const NEAR_COPY: usize = 64;

/// Up to so many frames are few: a hundredth of the bundle is then worth a third frame to read for some kernels.
const FEW: usize = 16;

/// An earlier frame whose plain tar is kept.
#[derive(Debug, Clone)]
pub(super) struct Kept {
    pub(super) index: usize,
    pub(super) plain: Arc<Vec<u8>>,
}

/// A frame without a reference, and what refers to it.
#[derive(Debug)]
struct Family {
    first: Kept,
    /// The newest frame that refers to it and yet has much of its own: the centre of a family within the family.
    hub: Option<Kept>,
    /// Whether it has a base, which is a step too: then what refers to it is the end of the chain.
    has_base: bool,
}

/// What a frame is to refer to.
#[derive(Debug)]
pub(super) struct Choice {
    pub(super) reference: Option<Kept>,
    pub(super) encoding: Encoding,
    /// Whether it is to refer to its base instead.
    pub(super) by_base: bool,
    /// Whether a frame that refers to the first of a family may itself be worth referring to.
    has_much_of_its_own: bool,
    /// Most bytes that a near copy may take before it is compressed as any other frame too.
    pub(super) promised: usize,
}

impl Choice {
    const ALONE: Self = Self {
        reference: None,
        encoding: Encoding::Whole,
        by_base: false,
        has_much_of_its_own: true,
        promised: 0,
    };
}

/// The frames that a later one can refer to, the one used last first.
#[derive(Debug)]
pub(super) struct Candidates {
    families: Vec<Family>,
    /// Whether the bundle has few frames.
    few: bool,
}

impl Candidates {
    /// None yet, for a bundle of that many frames.
    pub(super) const fn new(frames: usize) -> Self {
        Self { families: Vec::new(), few: frames <= FEW }
    }

    /// Chooses for a frame by the sizes that cheap trials give, never by name or time.
    pub(super) fn choose(&self, plain: &[u8]) -> io::Result<Choice> {
        self.choose_by(plain.len(), &|reference| {
            let reference = reference.map(|kept| kept.plain.as_slice());
            compress(plain, reference, Encoding::Trial).map(|bytes| bytes.len())
        })
    }

    /// The same for a frame of a delta that has a base: that is taken where it makes a near copy, or no more bytes than
    /// what would be chosen without it.
    pub(super) fn choose_beside(&self, plain: &[u8], base: &[u8]) -> io::Result<Choice> {
        let size =
            |reference: Option<&[u8]>| compress(plain, reference, Encoding::Trial).map(|bytes| bytes.len());
        if (plain.len() + base.len()) as u64 > MAX_REFERENCE_AND_FRAME {
            return self.choose(plain);
        }
        let by_base = size(Some(base))?;
        let near = is_near_copy(by_base, plain.len());
        if !near {
            let other = self.choose(plain)?;
            if size(other.reference.as_ref().map(|kept| kept.plain.as_slice()))? < by_base {
                return Ok(other);
            }
        }
        let encoding = if near { Encoding::NearCopy } else { Encoding::Whole };
        // A delta is all that must be brought, so it is worth holding the trial to its word.
        let promised = 2 * by_base;
        Ok(Choice { reference: None, encoding, by_base: true, has_much_of_its_own: false, promised })
    }

    fn choose_by(&self, len: usize, trial: &Trial<'_>) -> io::Result<Choice> {
        let mut best: Option<(usize, &Family)> = None;
        for family in self.families.iter().filter(|family| fits(len, &family.first)) {
            let size = trial(Some(&family.first))?;
            if is_near_copy(size, len) {
                return Ok(Choice {
                    reference: Some(family.first.clone()),
                    encoding: Encoding::NearCopy,
                    has_much_of_its_own: false,
                    promised: most_of_near_copy(len),
                    ..Choice::ALONE
                });
            }
            if best.is_none_or(|(smallest, _)| size < smallest) {
                best = Some((size, family));
            }
        }
        let Some((by_first, family)) = best else { return Ok(Choice::ALONE) };
        let alone = trial(None)?;
        // What saves less than a quarter is another family: its first frame stands alone, so that the others need
        // two frames and not three. Only where few share the cost of that frame, less is enough.
        let least = if self.few && family.hub.is_none() { alone / 100 } else { alone / 4 };
        let takes_first = by_first + least.max(1) <= alone;
        let mut chosen = takes_first.then_some(&family.first);
        let mut size = if takes_first { by_first } else { alone };
        if let Some(hub) = family.hub.as_ref().filter(|hub| fits(len, hub)) {
            let by_hub = trial(Some(hub))?;
            // 5 % of what the frame takes alone, for a third frame to read and to decode.
            if by_hub + alone / 4 <= alone && by_hub + alone.div_ceil(20) <= size {
                chosen = Some(hub);
                size = by_hub;
            }
        }
        let near = chosen.is_some() && is_near_copy(size, len);
        Ok(Choice {
            reference: chosen.cloned(),
            encoding: if near { Encoding::NearCopy } else { Encoding::Whole },
            has_much_of_its_own: 20 * size >= alone,
            promised: most_of_near_copy(len),
            ..Choice::ALONE
        })
    }

    /// Takes in the frame for which `choice` was made.
    pub(super) fn made(&mut self, index: usize, plain: Arc<Vec<u8>>, choice: &Choice) {
        let reference = choice.reference.as_ref().map(|kept| kept.index);
        self.take(Kept { index, plain }, reference, choice.has_much_of_its_own, choice.by_base);
    }

    /// Takes in a frame that was copied from an older bundle, where later ones refer to it or not.
    pub(super) fn copied(
        &mut self,
        index: usize,
        plain: Arc<Vec<u8>>,
        reference: Option<usize>,
        was_reference: bool,
    ) {
        self.take(Kept { index, plain }, reference, was_reference, false);
    }

    /// Whether frame `index` can still be referred to.
    pub(super) fn holds(&self, index: usize) -> bool {
        self.families.iter().any(|family| family.indexes().any(|kept| kept == index))
    }

    fn take(&mut self, frame: Kept, reference: Option<usize>, may_be_hub: bool, has_base: bool) {
        let used = |family: &Family| {
            reference.is_some_and(|reference| family.indexes().any(|kept| kept == reference))
        };
        match self.families.iter().position(used) {
            None => {
                self.families.insert(0, Family { first: frame, hub: None, has_base });
                self.families.truncate(FAMILIES);
            }
            Some(position) => {
                let mut family = self.families.remove(position);
                if may_be_hub && !family.has_base && reference == Some(family.first.index) {
                    family.hub = Some(frame);
                }
                self.families.insert(0, family);
            }
        }
        self.keep_within_limit();
    }

    /// What can be referred to is what a reader must keep, so the same limit holds for it.
    fn keep_within_limit(&mut self) {
        while self.bytes() > MAX_LIVE_REFERENCES {
            match self.families.last_mut() {
                Some(Family { hub: hub @ Some(_), .. }) => *hub = None,
                _ => drop(self.families.pop()),
            }
        }
    }

    fn bytes(&self) -> u64 {
        let kept = self.families.iter().flat_map(|family| std::iter::once(&family.first).chain(&family.hub));
        kept.map(|kept| kept.plain.len() as u64).sum()
    }
}

/// The bytes that a frame takes with this reference, by a cheap trial.
type Trial<'t> = dyn Fn(Option<&Kept>) -> io::Result<usize> + 't;

impl Family {
    fn indexes(&self) -> impl Iterator<Item = usize> {
        std::iter::once(self.first.index).chain(self.hub.as_ref().map(|hub| hub.index))
    }
}

fn fits(len: usize, kept: &Kept) -> bool {
    (len + kept.plain.len()) as u64 <= MAX_REFERENCE_AND_FRAME
}

const fn is_near_copy(size: usize, len: usize) -> bool {
    NEAR_COPY * size <= len
}

/// Most bytes of a near copy of a frame of `len` bytes.
const fn most_of_near_copy(len: usize) -> usize {
    len / NEAR_COPY
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEN: usize = 640_000;

    /// The choice of a frame of `LEN` bytes that takes these bytes, by the reference's index; `None` is alone.
    fn choice(candidates: &Candidates, sizes: &[(Option<usize>, usize)]) -> Choice {
        let trial = |kept: Option<&Kept>| {
            let index = kept.map(|kept| kept.index);
            Ok(sizes.iter().find(|(of, _)| *of == index).unwrap_or_else(|| panic!("tried {index:?}")).1)
        };
        candidates.choose_by(LEN, &trial).unwrap()
    }

    fn take(candidates: &mut Candidates, index: usize, sizes: &[(Option<usize>, usize)]) -> Option<usize> {
        let choice = choice(candidates, sizes);
        let reference = choice.reference.as_ref().map(|kept| kept.index);
        candidates.made(index, Arc::new(vec![0; LEN]), &choice);
        reference
    }

    #[test]
    fn a_near_copy_ends_the_search() {
        let mut candidates = Candidates::new(FEW + 1);
        assert_eq!(take(&mut candidates, 0, &[]), None);
        // Neither alone nor anything else is tried.
        assert_eq!(take(&mut candidates, 1, &[(Some(0), LEN / 64)]), Some(0));
        assert_eq!(choice(&candidates, &[(Some(0), LEN / 64)]).encoding, Encoding::NearCopy);
        let further = choice(&candidates, &[(Some(0), LEN / 64 + 1), (None, 100_000)]);
        assert_eq!((further.reference.unwrap().index, further.encoding), (0, Encoding::Whole));
    }

    #[test]
    fn a_saving_below_a_quarter_begins_a_family() {
        let mut candidates = Candidates::new(FEW + 1);
        take(&mut candidates, 0, &[]);
        assert_eq!(take(&mut candidates, 1, &[(Some(0), 75_001), (None, 100_000)]), None);
        assert_eq!(
            take(&mut candidates, 2, &[(Some(0), 75_000), (Some(1), 80_000), (None, 100_000)]),
            Some(0)
        );
    }

    #[test]
    fn where_frames_are_few_a_small_saving_is_taken_once() {
        let few = || {
            let mut candidates = Candidates::new(FEW);
            take(&mut candidates, 0, &[]);
            candidates
        };
        assert_eq!(take(&mut few(), 1, &[(Some(0), 99_001), (None, 100_000)]), None);
        let mut candidates = few();
        assert_eq!(take(&mut candidates, 1, &[(Some(0), 99_000), (None, 100_000)]), Some(0));
        // The second family is the hub of the first; a third one would take its place, so it stands alone.
        assert_eq!(take(&mut candidates, 2, &[(Some(0), 99_000), (Some(1), 97_000), (None, 100_000)]), None);
        assert_eq!([0, 1, 2].map(|index| candidates.holds(index)), [true; 3]);
    }

    #[test]
    fn a_chain_of_two_is_taken_only_for_a_gain_of_five_per_cent() {
        let with_hub = || {
            let mut candidates = Candidates::new(FEW + 1);
            take(&mut candidates, 0, &[]);
            assert_eq!(take(&mut candidates, 1, &[(Some(0), 40_000), (None, 100_000)]), Some(0));
            candidates
        };
        let sizes = |by_hub| [(Some(0), 40_000), (Some(1), by_hub), (None, 100_000)];
        assert_eq!(take(&mut with_hub(), 2, &sizes(35_001)), Some(0));
        assert_eq!(take(&mut with_hub(), 2, &sizes(35_000)), Some(1));
        // The one after it may refer to the hub too, but not to the end of the chain.
        let mut candidates = with_hub();
        take(&mut candidates, 2, &sizes(20_000));
        assert!(!candidates.holds(2));
        assert_eq!(take(&mut candidates, 3, &sizes(11_000)), Some(1));
        // Also where the root alone would not do.
        let far = [(Some(0), 90_000), (Some(1), 30_000), (None, 100_000)];
        assert_eq!(take(&mut with_hub(), 2, &far), Some(1));
    }

    #[test]
    fn what_its_root_explains_is_no_hub() {
        let mut candidates = Candidates::new(FEW + 1);
        take(&mut candidates, 0, &[]);
        take(&mut candidates, 1, &[(Some(0), 40_000), (None, 100_000)]);
        take(&mut candidates, 2, &[(Some(0), 11_000), (Some(1), 39_000), (None, 300_000)]);
        assert!(candidates.holds(1) && !candidates.holds(2), "the smaller one would have taken its place");
    }

    #[test]
    fn the_family_that_was_used_longest_ago_is_let_go() {
        let mut candidates = Candidates::new(FEW + 1);
        let alone = 100_000;
        take(&mut candidates, 0, &[]);
        take(&mut candidates, 1, &[(Some(0), alone), (None, alone)]);
        take(&mut candidates, 2, &[(Some(0), alone), (Some(1), alone), (None, alone)]);
        take(&mut candidates, 3, &[(Some(2), alone), (Some(1), alone), (Some(0), LEN / 64)]);
        let all = [(Some(0), alone), (Some(1), alone), (Some(2), alone), (None, alone)];
        take(&mut candidates, 4, &all);
        assert_eq!([0, 1, 2, 4].map(|index| candidates.holds(index)), [true, false, true, true]);
    }

    #[test]
    fn what_is_kept_stays_within_what_a_reader_may_have_to_keep() {
        let mut candidates = Candidates::new(FEW + 1);
        let large = Arc::new(vec![0; 32 << 20]);
        let mut index = 0;
        let mut add = |reference: Option<usize>| {
            candidates.copied(index, Arc::clone(&large), reference, true);
            index += 1;
            (candidates.bytes(), (0..index).filter(|index| candidates.holds(*index)).collect::<Vec<_>>())
        };
        add(None);
        add(Some(0));
        add(None);
        assert_eq!(add(Some(2)), (MAX_LIVE_REFERENCES, vec![0, 1, 2, 3]));
        // The hub of the family that was used longest ago goes first, then its root.
        assert_eq!(add(None), (MAX_LIVE_REFERENCES, vec![0, 2, 3, 4]));
        assert_eq!(add(Some(4)), (MAX_LIVE_REFERENCES, vec![2, 3, 4, 5]));
    }
}
