//! Numbers that look random and are the same for the same seed; knows nothing of what they decide.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A generator of such numbers, by splitmix64.
#[derive(Debug, Clone)]
pub struct Dice(u64);

impl Dice {
    /// Begins with this seed.
    pub fn of(seed: u64) -> Self {
        Self(seed)
    }

    /// For one try of a fault: other numbers than any other try, fault or seed has.
    pub fn of_try(seed: u64, fault: &str, number: u32) -> Self {
        // FNV-1a, since what the standard library hashes with may change.
        let hash = fault.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        let mut dice = Self(seed ^ hash ^ u64::from(number).rotate_left(32));
        dice.any();
        dice
    }

    /// Begins with what stands in this variable of the environment, or with a seed that nobody has had; prints it, so
    /// that a failure can be repeated.
    pub fn from_env(variable: &str) -> Self {
        let seed = std::env::var(variable).map_or_else(|_| fresh_seed(), |seed| seed.parse().unwrap());
        eprintln!("{variable}={seed}");
        Self(seed)
    }

    /// Any number.
    pub fn any(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// One of `0..below`.
    pub fn throw(&mut self, below: u64) -> u64 {
        self.any() % below
    }

    /// One of `0..below`, as an index.
    pub fn index(&mut self, below: usize) -> usize {
        usize::try_from(self.throw(u64::try_from(below).unwrap())).unwrap()
    }

    /// One of these.
    pub fn pick<'a, T>(&mut self, among: &'a [T]) -> &'a T {
        &among[self.index(among.len())]
    }

    /// Any byte.
    pub fn byte(&mut self) -> u8 {
        self.any().to_le_bytes()[0]
    }

    /// Lets a random time up to `longest` go by. Not a wait for anything: the moment itself is what is random.
    pub fn pause(&mut self, longest: Duration) {
        std::thread::sleep(self.up_to(longest));
    }

    /// A random time up to `longest`.
    pub fn up_to(&mut self, longest: Duration) -> Duration {
        let longest = u64::try_from(longest.as_micros()).unwrap();
        Duration::from_micros(self.throw(longest.max(1)))
    }
}

/// A seed that nobody has had.
pub fn fresh_seed() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().subsec_nanos().into()
}
