//! Numbers as strings of bits: Elias gamma codes (P. Elias, "Universal codeword sets", 1975), which are short for small numbers.

/// Stored bytes that no sketch was written as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a stored sketch is damaged")]
pub(crate) struct Damaged;

/// Writes bits from the highest of each byte down; the last byte is filled with zeros.
#[derive(Default)]
pub(super) struct BitWriter {
    bytes: Vec<u8>,
    /// Bits that do not fill eight bytes yet, from the highest down.
    pending: u64,
    /// How many those are; less than 64.
    held: u32,
}

impl BitWriter {
    /// Writes the lowest bits of a value, at most 64; its other bits must be zero.
    pub(super) fn write(&mut self, value: u64, bits: u32) {
        if bits == 0 {
            return;
        }
        let free = 64 - self.held;
        if bits < free {
            self.pending |= value << (free - bits);
            self.held += bits;
            return;
        }
        let left = bits - free;
        self.pending |= value >> left;
        self.bytes.extend_from_slice(&self.pending.to_be_bytes());
        self.pending = value.checked_shl(64 - left).unwrap_or(0);
        self.held = left;
    }

    /// As many zeros as the number has bits after its first one, then the number. `n` is at least 1.
    pub(super) fn gamma(&mut self, n: u64) {
        let bits = 64 - n.leading_zeros();
        self.write(0, bits.saturating_sub(1));
        self.write(n, bits);
    }

    pub(super) fn finish(mut self) -> Vec<u8> {
        let bytes = self.held.div_ceil(8) as usize;
        let pending = self.pending.to_be_bytes();
        self.bytes.extend(pending.iter().take(bytes));
        self.bytes
    }
}

/// Short codes are read several at a time: by the next bits from a table of what they begin with.
const LOOKED_AT: u32 = 11;
/// Codes of one look at most.
const A_LOOK: usize = 6;

#[derive(Clone, Copy)]
struct Codes {
    /// How many whole codes there are.
    count: u8,
    /// How many bits they take.
    bits: u8,
    /// Behind the last of them, zeros.
    numbers: [u8; A_LOOK],
}

static CODES: [Codes; 1 << LOOKED_AT] = {
    let none = Codes {
        count: 0,
        bits: 0,
        numbers: [0; A_LOOK],
    };
    let mut table = [none; 1 << LOOKED_AT];
    let mut place = 0;
    while place < table.len() {
        table[place] = codes_in(place as u32);
        place += 1;
    }
    table
};

/// The codes that some bits begin with.
const fn codes_in(bits: u32) -> Codes {
    let mut codes = Codes {
        count: 0,
        bits: 0,
        numbers: [0; A_LOOK],
    };
    while (codes.count as usize) < A_LOOK && (codes.bits as u32) < LOOKED_AT {
        let rest = bits << (u32::BITS - LOOKED_AT + codes.bits as u32);
        let length = 2 * rest.leading_zeros() + 1;
        if rest == 0 || codes.bits as u32 + length > LOOKED_AT {
            break;
        }
        codes.numbers[codes.count as usize] = (rest >> (u32::BITS - length)) as u8;
        codes.count += 1;
        codes.bits += length as u8;
    }
    codes
}

/// As [`Codes`], but whole pairs of them, each a gap and a count.
#[derive(Clone, Copy)]
pub(super) struct Pairs {
    /// How many pairs there are.
    pub(super) count: u8,
    bits: u8,
    /// All gaps together.
    pub(super) gaps: u8,
    /// Behind the last of them, zeros.
    pub(super) numbers: [[u8; 2]; A_LOOK / 2],
}

static PAIRS: [Pairs; 1 << LOOKED_AT] = {
    let none = Pairs {
        count: 0,
        bits: 0,
        gaps: 0,
        numbers: [[0; 2]; A_LOOK / 2],
    };
    let mut table = [none; 1 << LOOKED_AT];
    let mut place = 0;
    while place < table.len() {
        let codes = codes_in(place as u32);
        let pairs = &mut table[place];
        while pairs.count < codes.count / 2 {
            let nth = pairs.count as usize;
            let (gap, count) = (codes.numbers[2 * nth], codes.numbers[2 * nth + 1]);
            pairs.numbers[nth] = [gap, count];
            pairs.gaps += gap;
            pairs.bits += (2 * (gap.ilog2() + count.ilog2()) + 2) as u8;
            pairs.count += 1;
        }
        place += 1;
    }
    table
};

pub(super) struct BitReader<'a> {
    bytes: &'a [u8],
    at: usize,
    /// The bits from `at` on, from the highest down; beyond those that are held, zeros.
    window: u64,
    /// How many of them are sure to be in the window.
    held: u32,
}

impl<'a> BitReader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            at: 0,
            window: 0,
            held: 0,
        }
    }

    /// Fills the window. What lies beyond the end reads as zeros, which no code ends with.
    fn fill(&mut self) {
        let rest = self.bytes.get(self.at / 8..).unwrap_or_default();
        let next = rest.first_chunk().copied().unwrap_or_else(|| {
            let mut padded = [0; 8];
            padded[..rest.len()].copy_from_slice(rest);
            padded
        });
        let skipped = (self.at % 8) as u32;
        self.window = u64::from_be_bytes(next) << skipped;
        self.held = 64 - skipped;
    }

    fn advance(&mut self, bits: u32) {
        self.at += bits as usize;
        self.window = self.window.checked_shl(bits).unwrap_or(0);
        self.held -= bits;
    }

    /// Reads a few bits, at most 57.
    pub(super) fn read(&mut self, bits: u32) -> Result<u64, Damaged> {
        if self.at + bits as usize > self.bytes.len() * 8 {
            return Err(Damaged);
        }
        if bits > self.held {
            self.fill();
        }
        let value = self.window.checked_shr(64 - bits).unwrap_or(0);
        self.advance(bits);
        Ok(value)
    }

    /// Reads a code. One that ends beyond the bytes is noticed by [`BitReader::check`] at the latest.
    #[inline]
    pub(super) fn gamma(&mut self) -> Result<u64, Damaged> {
        let length = 2 * self.window.leading_zeros() + 1;
        if length <= self.held {
            let value = self.window >> (64 - length);
            self.advance(length);
            return Ok(value);
        }
        self.gamma_beyond_window()
    }

    /// Reads as many codes as there is room for.
    pub(super) fn gammas(&mut self, numbers: &mut [u64]) -> Result<(), Damaged> {
        let mut done = 0;
        while let Some(rest) = numbers.get_mut(done..)
            && !rest.is_empty()
        {
            if self.held < LOOKED_AT {
                self.fill();
            }
            let codes = &CODES[(self.window >> (u64::BITS - LOOKED_AT)) as usize];
            match rest.first_chunk_mut::<A_LOOK>() {
                Some(room) if codes.count > 0 => {
                    // All of them: what lies behind the last code is written over by the next look.
                    for (number, code) in room.iter_mut().zip(&codes.numbers) {
                        *number = u64::from(*code);
                    }
                    self.advance(u32::from(codes.bits));
                    done += usize::from(codes.count);
                }
                _ => {
                    rest[0] = self.gamma()?;
                    done += 1;
                }
            }
        }
        Ok(())
    }

    /// The pairs of codes that follow, as far as a look shows them; [`BitReader::take`] goes on behind them.
    #[inline]
    pub(super) fn pairs(&mut self) -> &'static Pairs {
        if self.held < LOOKED_AT {
            self.fill();
        }
        &PAIRS[(self.window >> (u64::BITS - LOOKED_AT)) as usize]
    }

    /// Goes on behind what the last look showed.
    #[inline]
    pub(super) fn take(&mut self, pairs: &Pairs) {
        self.advance(u32::from(pairs.bits));
    }

    #[cold]
    #[inline(never)]
    fn gamma_beyond_window(&mut self) -> Result<u64, Damaged> {
        self.fill();
        let zeros = self.window.leading_zeros().min(self.held);
        if 2 * zeros < self.held {
            let value = self.window >> (63 - 2 * zeros);
            self.advance(2 * zeros + 1);
            return Ok(value);
        }
        // A code of more bits than there are in a window.
        let mut zeros = 0;
        while self.read(1)? == 0 {
            zeros += 1;
            if zeros > 63 {
                return Err(Damaged);
            }
        }
        let (high, low) = (zeros / 2, zeros - zeros / 2);
        let high = (1 << high) | self.read(high)?;
        Ok((high << low) | self.read(low)?)
    }

    /// Whether everything that was read lay within the bytes; asking at each code would take as long as reading it.
    pub(super) fn check(&self) -> Result<(), Damaged> {
        if self.at > self.bytes.len() * 8 {
            return Err(Damaged);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn codes_of_any_length_are_read_back(numbers in prop::collection::vec((prop_oneof![0_u32..64, 58_u32..64], any::<u64>()), 0..60)) {
            let numbers: Vec<u64> = numbers.into_iter().map(|(shift, n)| (n >> shift).max(1)).collect();
            let mut writer = BitWriter::default();
            for &n in &numbers {
                writer.gamma(n);
            }
            let bytes = writer.finish();
            let mut bits = BitReader::new(&bytes);
            for n in &numbers {
                prop_assert_eq!(bits.gamma(), Ok(*n));
            }
            prop_assert_eq!(bits.at.div_ceil(8), bytes.len());
            let mut at_once = vec![0; numbers.len()];
            let mut bits = BitReader::new(&bytes);
            prop_assert_eq!(bits.gammas(&mut at_once), Ok(()));
            prop_assert_eq!(at_once, numbers);
            prop_assert_eq!(bits.check(), Ok(()));
        }
    }
}
