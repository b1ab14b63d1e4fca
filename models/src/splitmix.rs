//! SplitMix64: random numbers that depend on a number only, so that the same seed gives the same on every machine.

/// What the state grows by from one number to the next.
const GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;

/// The state after `state`.
pub fn next(state: u64) -> u64 {
    state.wrapping_add(GAMMA)
}

/// The number that the generator gives in `state`, before it goes on to [`next`].
pub fn mixed(state: u64) -> u64 {
    let x = next(state);
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_the_published_generator() {
        // The first three for the seed 1234567, as other implementations print them.
        let numbers = [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423];
        let mut state = 1_234_567;
        for number in numbers {
            assert_eq!(mixed(state), number);
            state = next(state);
        }
    }
}
